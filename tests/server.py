"""The PostgreSQL that the tests run on: one embedded server for all workers, or the one that a variable names; a
template made from the migrations, and a clone of it for each worker."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from identity import embedded, migrate

URL = "IDENTITY_TEST_DATABASE_URL"
"""Of a login that may make databases and roles; without it the server is embedded."""
_SERVER = "IDENTITY_TEST_SERVER"
_TEMPLATE = "IDENTITY_TEST_TEMPLATE"
_LOGIN = "IDENTITY_TEST_LOGIN"
_PASSWORD = "IDENTITY_TEST_PASSWORD"


@dataclass(frozen=True)
class Database:
    """A database of its own, migrated, and the two logins: the one that made it, and the service's."""

    name: str
    admin_url: str
    service_url: str


def execute(url: str, statement: sql.SQL | sql.Composed | str, *args: Any) -> list[Any]:
    """One statement as the given login, committed at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        text = sql.SQL(statement) if isinstance(statement, str) else statement
        cursor = connection.execute(text, args or None)
        return cursor.fetchall() if cursor.description else []


def start(stack: ExitStack) -> None:
    """Once, in the process that starts the workers; they learn of it by the environment."""
    url = os.environ.get(URL) or _start_embedded(stack)
    template = f"identity_template_{_hash()}_{secrets.token_hex(4)}"
    execute(url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template)))
    stack.callback(drop, url, template)
    template_url = make_conninfo(url, dbname=template)
    migrate.apply(template_url)
    login = f"identity_test_{secrets.token_hex(4)}"
    password = migrate.new_password()
    migrate.make_login(template_url, login, password)
    stack.callback(execute, url, sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))
    os.environ.update({_SERVER: url, _TEMPLATE: template, _LOGIN: login, _PASSWORD: password})


def _start_embedded(stack: ExitStack) -> str:
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    directory.chmod(0o711)
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    place = stack.enter_context(embedded.server(directory, embedded.THROW_AWAY))
    return place.url(embedded.SUPERUSER, "postgres")


def _hash() -> str:
    files = sorted(migrate.directory("migrations").glob("*.sql"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def drop(url: str, name: str) -> None:
    execute(url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def new_database(*, empty: bool = False) -> Iterator[Database]:
    """A clone of the template, or an empty one, for as long as it is used."""
    url, name = os.environ[_SERVER], f"identity_test_{secrets.token_hex(6)}"
    template = sql.SQL("" if empty else " TEMPLATE {}").format(sql.Identifier(os.environ[_TEMPLATE]))
    execute(url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + template)
    service = make_conninfo(url, dbname=name, user=os.environ[_LOGIN], password=os.environ[_PASSWORD])
    try:
        yield Database(name, make_conninfo(url, dbname=name), service)
    finally:
        drop(url, name)
