"""No secret of the environment stands in what a command says, whether it works or not."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from identity.cli.start import new_secret_key, read_settings
from identity.errors import StartError
from identity.migrate.logins import connect
from identity.settings import Settings
from tests.edge.canaries import found_in, new_key
from tests.edge.process import password_of
from tests.operation.command import environment, identity
from tests.running import free_port
from tests.server import Database, new_database

COMMANDS = [
    ["serve"],
    ["init", "--yes"],
    ["reset", "--yes"],
    ["migrate", "plan"],
    ["migrate", "apply"],
    ["migrate", "status"],
    ["migrate", "rollback", "--yes"],
    ["keys", "issue", "platform", "identity"],
    ["keys", "export", "platform"],
    ["tenants", "list"],
    ["users", "get", "platform", "nobody"],
    ["access", "list", "platform", "identity"],
    ["verify", "/dev/null"],
    ["seed", "--tenants", "1", "--users", "1", "--branches", "1", "--keys", "1"],
]
CANARY = new_key()
BROKEN = {
    "nobody there": f"postgresql://identity:{CANARY}@127.0.0.1:1/identity",
    "no URL": f"postgresql://identity:{CANARY}@[127.0.0.1/identity",
    "in the wrong place": f"host=127.0.0.1 port={CANARY} sslmode={CANARY}",
}


def run(command: list[str], tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    more = ["--port", str(free_port())] if command == ["serve"] else []
    return identity(*command, *more, cwd=tmp_path, data_dir=str(tmp_path / "data"), **variables)


def gives_away(done: subprocess.CompletedProcess[str], *secrets: str) -> list[str]:
    return found_in(done.stdout + done.stderr, secrets)


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("command", [*COMMANDS[:6], ["tenants", "list"]], ids=" ".join)
def test_a_broken_url_is_not_quoted(command: list[str], what: str, tmp_path: Path) -> None:
    done = run(
        command,
        tmp_path,
        database_url=BROKEN[what],
        lanes_database_url=BROKEN[what],
        migrate_database_url=BROKEN[what],
        secret_key=new_secret_key(),
    )
    assert done.returncode == 1 or command[0] == "reset"
    assert "Traceback" not in done.stderr
    assert gives_away(done, CANARY) == []


@pytest.mark.parametrize("command", COMMANDS[:9], ids=" ".join)
def test_nor_a_broken_secret_key(command: list[str], tmp_path: Path) -> None:
    short = base64.b64encode(b"31 bytes, which are one too few").decode()
    for key in (CANARY, short):
        done = run(command, tmp_path, secret_key=key, secret_key_previous=key)
        assert (done.returncode, "IDENTITY_SECRET_KEY" in done.stderr) == (1, True)
        assert gives_away(done, key) == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_nor_any_other_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"IDENTITY_{name.upper()}", f"{CANARY} ")
    try:
        said = repr(read_settings())
    except StartError as error:
        said = str(error)
        assert f"IDENTITY_{name.upper()}" in said
    if name not in ("data_dir", "metrics_dir", "host"):
        assert found_in(said, [CANARY]) == []


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if each not in (["serve"], ["init", "--yes"])], ids=" ".join
)
def test_nor_what_works(command: list[str], tmp_path: Path) -> None:
    """(serve has tests of its own, and init shows the key that it makes.)"""
    with new_database() as database:
        secret_key = new_secret_key()
        done = run(
            command,
            tmp_path,
            database_url=database.service_url,
            migrate_database_url=database.admin_url,
            secret_key=secret_key,
        )
        assert gives_away(done, password_of(database), secret_key) == []


def test_a_start_that_fails_in_the_service_itself_says_where_and_no_more(database: Database) -> None:
    secret_key = new_secret_key()
    variables = {"database_url": database.service_url, "secret_key": secret_key}
    done = subprocess.run(
        [sys.executable, "-m", "tests.edge.broken", "serve", "--port", str(free_port())],
        env=environment(**variables) | {"IDENTITY_TEST_BROKEN_START": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert '"error": "BugError", "where": "lifespan (broken.py:' in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert gives_away(done, password_of(database), secret_key, database.service_url) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('connection failed: FATAL:  password authentication failed for user "u"', "password is wrong"),
        (
            "connection is bad: connection to server at 127.0.0.1 failed: Connection refused\n\tIs it?",
            "nothing listens",
        ),
        ("failed to resolve host 'half@127.0.0.1': [Errno -2]", "percent-encoded"),
        ("connection is bad: No such file or directory", "socket"),
        ("connection timeout expired", "does not answer"),
        ('invalid sslmode value: "half"', "URL is not as"),
    ],
)
def test_why_a_database_cannot_be_reached_is_told_without_its_url(
    said: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(psycopg, "connect", fail)
    with pytest.raises(StartError, match=told) as raised:
        connect("")
    assert "half" not in str(raised.value)
