"""Import and export as somebody types them: exit codes, one sentence, and JSON for machines."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from identity.cli.start import new_secret_key
from tests.conftest import Organisation
from tests.operation.command import COMMAND, environment, identity
from tests.server import Database, execute


def run(database: Database, *arguments: str, cwd: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    settings = {"database_url": database.service_url, "secret_key": new_secret_key()}
    return identity(*arguments, cwd=cwd, typed=typed, **settings)


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence in which it says what to do."""
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("identity: ")]
    assert "Traceback" not in done.stderr
    return sentence


def test_a_spreadsheet_goes_in_and_out(org: Organisation, database: Database, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("Login;E-Mail;Dept\nben;ben@example.com;Sales\n", encoding="utf-8-sig")
    done = run(database, "users", "import", org.id, "people.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 created, 0 changed, 0 unchanged, 0 refused.\n")
    assert "unknown, left out" in done.stderr
    done = run(database, "users", "export", org.id, "out.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "2 exported.\n")
    again = run(database, "users", "import", org.id, "out.jsonl", "--json", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(again.stdout) == {
        "created": 0, "changed": 0, "unchanged": 2, "refused": 0, "refused_file": None, "dry_run": False,
    }  # fmt: skip


def test_streams_go_in_and_out(org: Organisation, database: Database, tmp_path: Path) -> None:
    out = run(database, "branches", "export", org.id, "shop", cwd=tmp_path).stdout
    assert out.splitlines()[0].startswith("id,code,name,type,status,address.street,")
    arguments = ("branches", "import", org.id, "shop", "-", "--json")
    done = run(database, *arguments, cwd=tmp_path, typed=out + "jfk,JFK,New York,store\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["created"] == 1
    keys = run(database, "keys", "export", org.id, "--format", "jsonl", cwd=tmp_path)
    assert {json.loads(line)["id"] for line in keys.stdout.splitlines()} == {org.key.id, org.admin_key.id}


def test_a_refused_row_is_told_with_what_to_do(org: Organisation, database: Database, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("username,email\nben,no mail\nzoe,\n")
    stopped = run(database, "users", "import", org.id, "people.csv", "--json", cwd=tmp_path)
    assert stopped.returncode == 1
    assert "Line 2 of people.csv was refused (email: must be an e-mail address)" in told(stopped)
    assert "--on-error skip" in told(stopped)
    assert json.loads(stopped.stdout)["created"] == 0
    skipped = run(database, "users", "import", org.id, "people.csv", "--on-error", "skip", cwd=tmp_path)
    assert (skipped.returncode, skipped.stdout) == (1, "1 created, 0 changed, 0 unchanged, 1 refused.\n")
    assert "people.refused.csv" in told(skipped)
    again = run(
        database, "users", "import", org.id, "people.refused.csv", "--map", "email=", "--refused", "x", cwd=tmp_path
    )
    assert (again.returncode, again.stdout) == (0, "1 created, 0 changed, 0 unchanged, 0 refused.\n")
    assert not (tmp_path / "x").exists()


def test_a_dry_run_says_that_it_was_one(org: Organisation, database: Database, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("username\nben\n")
    done = run(database, "users", "import", org.id, "people.csv", "--dry-run", cwd=tmp_path)
    expected = "Dry run, nothing of it stays: 1 created, 0 changed, 0 unchanged, 0 refused.\n"
    assert (done.returncode, done.stdout) == (0, expected)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("people.csv", "--map", "Nobody=email"), 2),
        (("people.csv", "--map", "username=nothing"), 2),
        (("people.csv", "--match", "code"), 2),
        (("people.xls",), 2),
        (("people.csv", "--refused", "people.csv"), 2),
        (("none.csv",), 1),
        (("people.csv", "--encoding", "utf-16-le"), 1),
        (("people.csv", "--refused", "none/x.csv", "--map", "username=email", "--match", "email"), 1),
    ],
)
def test_exit_codes_tell_usage_from_files(
    org: Organisation, database: Database, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "people.csv").write_text("username\nben\n")
    done = run(database, "users", "import", org.id, *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "people.csv").read_text() == "username\nben\n"


def test_an_import_that_is_interrupted_says_how_far_it_came_and_carries_on(
    org: Organisation, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text("username\n" + "".join(f"user{n}\n" for n in range(100_000)))
    settings = {"database_url": database.service_url, "secret_key": new_secret_key()}
    with subprocess.Popen(
        [*COMMAND, "users", "import", org.id, "people.csv", "--json"],
        env=environment(**settings), cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored in the tests' own workers
    ) as process:  # fmt: skip
        for _ in range(600):
            time.sleep(0.05)
            if execute(
                database.admin_url, "SELECT id FROM identity.users WHERE tenant_id = %s LIMIT 1 OFFSET 1", org.id
            ):
                break
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert stderr.startswith("identity: Interrupted. Up to line ")
    assert stderr.count("\n") == 1
    [[there]] = execute(database.admin_url, "SELECT count(*) FROM identity.users WHERE tenant_id = %s", org.id)
    assert 1 < there < 100_000
    (tmp_path / "people.csv").write_text("username\n" + "".join(f"user{n}\n" for n in range(there)))
    again = json.loads(run(database, "users", "import", org.id, "people.csv", "--json", cwd=tmp_path).stdout)
    assert (again["created"], again["unchanged"]) == (1, there - 1)
