"""identity tenants export and import: files and pipes, who gives the passphrase, and what is said."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identity.copies.lines import Tallies
from identity.settings import Settings
from tests.cli.cut import cut
from tests.cli.shell import Shell, shell_for
from tests.cli.terminal import terminal
from tests.conftest import Organisation, settings_for
from tests.copies.test_refusals import rewritten
from tests.operation.command import identity
from tests.server import Database, execute, new_database

PASSPHRASE = "eight slow otters downstream"


@pytest.fixture(scope="module")
def other() -> Iterator[Database]:
    with new_database() as found:
        yield found


@pytest.fixture
def here(settings: Settings, tmp_path: Path) -> Shell:
    return shell_for(settings, tmp_path, passphrase=PASSPHRASE)


@pytest.fixture
def there(other: Database, tmp_path: Path) -> Shell:
    return shell_for(settings_for(other), tmp_path, passphrase=PASSPHRASE)


def tenants(database: Database) -> list[str]:
    return [id for (id,) in execute(database.admin_url, "SELECT id FROM identity.tenants")]


def test_a_tenant_moves_by_a_file(
    org: Organisation, here: Shell, there: Shell, tmp_path: Path, database: Database
) -> None:
    execute(database.admin_url, "UPDATE identity.factors SET secret = sha256(secret) WHERE tenant_id = %s", org.id)
    done = here("tenants", "export", org.id, "org.jsonl")
    assert (done.exit_code, done.stdout) == (0, f"{org.id} exported: {COUNTS}.\n"), done.stderr
    assert (tmp_path / "org.jsonl").stat().st_mode & 0o777 == 0o600
    assert "open nowhere: 1." in done.stderr, "Ana's factor is sealed under nobody's key"
    tried = there("tenants", "import", "org.jsonl", "--dry-run")
    assert (tried.exit_code, tried.stdout) == (0, f"{org.id} would be imported: {COUNTS}.\n")
    assert "open nowhere: 1." in tried.stderr
    imported = there.answer("tenants", "import", "org.jsonl")
    assert (imported["tenant_id"], imported["rows"]["app_keys"]) == (org.id, 2)
    assert there("verify", typed=org.key.key).exit_code == 0
    again = there("tenants", "import", "org.jsonl").refusal
    assert "(tenant_taken)" in again
    assert "purge it" in again


COUNTS = "2 apps, 1 branches, 1 users, 1 passwords, 1 last_logins, 1 user_apps, 2 app_keys, 1 factors"


def test_and_by_a_pipe(org: Organisation, here: Shell, there: Shell, other: Database) -> None:
    sender, receiver = dict[str, Any](here.variables), dict[str, Any](there.variables)
    written = identity("tenants", "export", org.id, "--json", **sender)
    assert json.loads(written.stderr.splitlines()[-1])["tenant_id"] == org.id
    assert written.stdout.count("\n") == 13
    taken = identity("tenants", "import", "-", typed=written.stdout, **receiver)
    assert (taken.returncode, taken.stdout) == (0, f"{org.id} imported: {COUNTS}.\n"), taken.stderr
    assert org.id in tenants(other)


def test_the_passphrase_comes_from_a_file_or_a_variable_and_is_long(
    org: Organisation, settings: Settings, there: Shell, tmp_path: Path
) -> None:
    nobody = shell_for(settings, tmp_path)
    assert "no terminal to ask" in nobody("tenants", "export", org.id, "org.jsonl").refusal
    (tmp_path / "short").write_text("too short\n")
    (tmp_path / "long").write_text(f"{PASSPHRASE}\n\n")
    export = ("tenants", "export", org.id, "org.jsonl", "--passphrase-file")
    assert "at least 12 characters" in nobody(*export, "short").refusal
    assert "cannot be read" in nobody(*export, "nothing").refusal
    assert not (tmp_path / "org.jsonl").exists()
    assert nobody(*export, "long").exit_code == 0
    refused = there("tenants", "import", "org.jsonl", passphrase="nine slow otters downstream").refusal
    assert "passphrase is not that of this copy" in refused
    assert there("tenants", "import", "org.jsonl", "--dry-run").exit_code == 0
    assert there("tenants", "import", "org.jsonl", "--dry-run", "--passphrase-file", "short").exit_code == 1


def test_at_a_terminal_it_is_asked_for_twice_and_not_shown(
    org: Organisation, settings: Settings, there: Shell, tmp_path: Path
) -> None:
    variables = shell_for(settings, tmp_path).variables
    with terminal("tenants", "export", org.id, "org.jsonl", cwd=tmp_path, variables=variables) as shown:
        shown.wait_for("Passphrase: ")
        shown.type(PASSPHRASE)
        shown.wait_for("Repeat for confirmation: ")
        shown.type(PASSPHRASE)
        assert shown.end() == 0
    assert PASSPHRASE not in shown.screen
    assert there("tenants", "import", "org.jsonl", "--dry-run").exit_code == 0


def test_without_the_secret_key_nothing_goes(org: Organisation, here: Shell, tmp_path: Path) -> None:
    bare = Shell(tmp_path, {name: value for name, value in here.variables.items() if name != "secret_key"})
    assert "IDENTITY_SECRET_KEY is missing" in bare("tenants", "export", org.id, "org.jsonl").refusal
    assert "(tenant_not_found)" in here("tenants", "export", "nobody", "org.jsonl").refusal
    assert list(tmp_path.iterdir()) == []


def test_what_the_database_does_not_take_is_no_traceback(org: Organisation, here: Shell, there: Shell) -> None:
    assert here("tenants", "export", org.id, "org.jsonl").exit_code == 0
    file = here.directory / "org.jsonl"
    file.write_bytes(rewritten(file.read_bytes(), without_names, PASSPHRASE))
    assert "does not take the copy (23502). Nothing was written." in there("tenants", "import", "org.jsonl").refusal


def without_names(line: dict[str, Any], _: Tallies) -> None:
    if line.get("table") == "users":
        line["row"]["username"] = None


def test_killed_before_its_end_it_leaves_nothing(
    org: Organisation, here: Shell, there: Shell, other: Database, tmp_path: Path
) -> None:
    assert here("tenants", "export", org.id, "org.jsonl").exit_code == 0
    last = ("identity.copies.importing:_must_agree", "after")
    killed = cut(*last, signal.SIGKILL, ["tenants", "import", "org.jsonl"], tmp_path, **there.variables)
    assert killed.returncode == -signal.SIGKILL
    assert org.id not in tenants(other)
    assert there("tenants", "import", "org.jsonl").exit_code == 0
