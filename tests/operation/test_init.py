"""`identity init` on a managed PostgreSQL: by a login that is no superuser, with nothing but a URL, unattended."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from identity import embedded
from identity.settings import Settings
from identity.verify import open_verifier
from tests.operation.command import identity, is_one_sentence, started
from tests.operation.http import get, wait_until_ready
from tests.running import free_port
from tests.server import execute

ENTRIES = "local all postgres trust\nlocal all all scram-sha-256\n"


@dataclass(frozen=True)
class Setup:
    """What `identity init` was given, said and left behind, on a server whose log shows every statement."""

    url: str
    done: subprocess.CompletedProcess[str]
    directory: Path
    log: Path

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=self.directory / ".env")

    @property
    def password(self) -> str:
        return str(conninfo_to_dict(self.settings.main_url)["password"])

    @property
    def key(self) -> str:
        shown = re.findall(r"isk_live_\w+", self.done.stdout)
        assert len(shown) == 1
        return str(shown[0])


@pytest.fixture(scope="module")
def managed() -> Iterator[embedded.Server]:
    """A server of its own: roles belong to the cluster, and whoever made them may grant them."""
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    directory.chmod(0o711)
    with embedded.server(directory, {**embedded.THROW_AWAY, "log_statement": "all"}) as place:
        (place.cluster / "pg_hba.conf").write_text(ENTRIES)
        admin = place.url(embedded.SUPERUSER, "postgres")
        execute(admin, "CREATE ROLE deploy LOGIN CREATEROLE PASSWORD 'deploying'")
        execute(admin, "CREATE DATABASE managed OWNER deploy")
        execute(admin, "SELECT pg_reload_conf()")
        yield place
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def setup(managed: embedded.Server, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    directory = tmp_path_factory.mktemp("empty")
    url = make_conninfo(managed.url("deploy", "managed"), password="deploying")
    done = identity("init", "--yes", cwd=directory, migrate_database_url=url)
    assert done.returncode == 0, done.stderr
    return Setup(url, done, directory, managed.log)


def test_it_leaves_one_file_that_only_its_owner_may_read(setup: Setup) -> None:
    assert [path.name for path in setup.directory.iterdir()] == [".env"]
    assert (setup.directory / ".env").stat().st_mode & 0o777 == 0o600


def test_the_services_login_works_with_its_password_alone(setup: Setup) -> None:
    assert execute(setup.settings.main_url, "SELECT current_user") == [("identity_service",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        execute(make_conninfo(setup.settings.main_url, password="another"), "SELECT 1")


async def test_the_key_that_is_shown_verifies(setup: Setup) -> None:
    async with open_verifier(setup.settings) as verifier:
        verdict = await verifier.look_up(setup.key)
    assert (verdict.code, verdict.tenant_id, verdict.scopes) == ("valid", "platform", ("*",))


def test_no_secret_is_shown_but_the_key_nor_sent_in_clear(setup: Setup) -> None:
    assert setup.settings.secret_key is not None
    log = setup.log.read_text()
    assert "CREATE ROLE" in log
    for secret in (setup.password, setup.settings.secret_key.get_secret_value()):
        assert secret not in setup.done.stdout + setup.done.stderr + log
    assert setup.key not in setup.done.stderr + log
    assert "deploying" not in setup.done.stdout + setup.done.stderr


def test_once_more_is_refused(setup: Setup) -> None:
    before = (setup.directory / ".env").read_bytes()
    again = identity("init", "--yes", cwd=setup.directory, migrate_database_url=setup.url)
    assert again.returncode == 1
    assert is_one_sentence(again.stderr)
    assert (setup.directory / ".env").read_bytes() == before


def test_elsewhere_too_since_the_login_is_there(setup: Setup, tmp_path: Path) -> None:
    again = identity("init", "--yes", cwd=tmp_path, migrate_database_url=setup.url)
    assert again.returncode == 1
    assert is_one_sentence(again.stderr)
    assert "--service-login" in again.stderr
    assert list(tmp_path.iterdir()) == []


def test_that_login_may_go_on_migrating(setup: Setup) -> None:
    assert identity("migrate", "status", cwd=setup.directory, migrate_database_url=setup.url).returncode == 0
    assert identity("migrate", "apply", cwd=setup.directory, migrate_database_url=setup.url).returncode == 0


def test_what_it_leaves_is_all_that_serve_needs_also_when_the_database_is_ahead(setup: Setup) -> None:
    execute(setup.url, "SET ROLE identity_owner; INSERT INTO identity.applied_migrations VALUES ('9999_later', 'x')")
    port = free_port()
    try:
        with started("serve", "--port", str(port), cwd=setup.directory) as service:
            wait_until_ready(port)
            assert get(port, "/v1/tenants", setup.key).status_code == 200
            service.send_signal(signal.SIGTERM)
            assert service.wait(15) in (0, -signal.SIGTERM)  # uvicorn ends, then dies of the signal that it was sent
    finally:
        execute(setup.url, "SET ROLE identity_owner; DELETE FROM identity.applied_migrations WHERE id = '9999_later'")
