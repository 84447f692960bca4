"""A PostgreSQL as others manage it: real passwords, and logins that are no superuser."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from identity import embedded
from tests.conftest import unique
from tests.server import execute

ENTRIES = "local all postgres trust\nlocal all all scram-sha-256\n"
PASSWORD = "deploying-7c1f"
"""Of all its logins; no word that anything else says."""


@dataclass(frozen=True)
class Managed:
    """The server, and what its administrator may do."""

    place: embedded.Server

    @property
    def admin_url(self) -> str:
        return self.place.url(embedded.SUPERUSER, "postgres")

    def url(self, login: str, database: str, password: str = PASSWORD) -> str:
        return make_conninfo(self.place.url(login, database), password=password)

    def execute(self, statement: str, *names: str) -> None:
        """With {} for each name."""
        execute(self.admin_url, sql.SQL(statement).format(*map(sql.Identifier, names)))

    def new_login(self, rights: str = "CREATEROLE") -> str:
        name = unique("login")
        self.execute(f"CREATE ROLE {{}} LOGIN {rights} PASSWORD '{PASSWORD}'", name)
        return name

    def new_database(self, owner: str, options: str = "") -> str:
        name = unique("database")
        self.execute(f"CREATE DATABASE {{}} OWNER {{}} {options}", name, owner)
        return name

    def knows(self, login: str) -> bool:
        return bool(execute(self.admin_url, "SELECT FROM pg_roles WHERE rolname = %s", login))

    def has_schema(self, database: str) -> bool:
        url = self.place.url(embedded.SUPERUSER, database)
        return bool(execute(url, "SELECT FROM pg_namespace WHERE nspname = 'identity'"))


@contextmanager
def managed_server() -> Iterator[Managed]:
    """One of its own: roles belong to the cluster, and whoever made them may grant them."""
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    directory.chmod(0o711)
    try:
        with embedded.server(directory, {**embedded.THROW_AWAY, "log_statement": "all"}) as place:
            (place.cluster / "pg_hba.conf").write_text(ENTRIES)
            execute(place.url(embedded.SUPERUSER, "postgres"), "SELECT pg_reload_conf()")
            yield Managed(place)
    finally:
        shutil.rmtree(directory)
