"""`identity keys usage`: bars for people, lines in a pipe, and JSON for machines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from identity.settings import Settings
from tests.cli.shell import Shell, shell_for
from tests.cli.terminal import terminal
from tests.conftest import Organisation
from tests.server import Database, execute

USED = """
INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
SELECT %s, %s, hour::timestamptz, code, count
  FROM (VALUES ('2026-03-05T09:00Z', 'valid', 4000), ('2026-03-05T10:00Z', 'valid', 1000),
               ('2026-03-05T10:00Z', 'revoked', 1000)) AS used (hour, code, count)
"""
SPAN = ("--from", "2026-03-05T00:00:00Z", "--to", "2026-03-06T00:00:00Z")


@pytest.fixture
def shell(settings: Settings, tmp_path: Path) -> Shell:
    return shell_for(settings, tmp_path)


@pytest.fixture
def used(org: Organisation, database: Database) -> Organisation:
    execute(database.admin_url, USED, org.id, org.key.id)
    return org


def test_a_machine_gets_what_the_api_answers(used: Organisation, shell: Shell) -> None:
    found = shell.answer("keys", "usage", used.id, "shop", used.key.id, *SPAN)
    assert [item["count"] for item in found["items"]] == [4000, 1000, 1000]
    assert shell.answer("keys", "usage", used.id, "shop", *SPAN) == found
    days = shell.answer("keys", "usage", used.id, *SPAN, "--by", "day")
    assert [(item["code"], item["count"]) for item in days["items"]] == [("revoked", 1000), ("valid", 5000)]


def test_a_pipe_gets_a_line_for_each_count(used: Organisation, shell: Shell) -> None:
    lines = shell("keys", "usage", used.id, "shop", used.key.id, *SPAN).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["at", "code", "count"],
        ["2026-03-05", "09:00:00Z", "valid", "4000"],
        ["2026-03-05", "10:00:00Z", "revoked", "1000"],
        ["2026-03-05", "10:00:00Z", "valid", "1000"],
    ]


def test_in_a_terminal_it_is_drawn(used: Organisation, shell: Shell) -> None:
    words = ("keys", "usage", used.id, "shop", used.key.id, *SPAN)
    with terminal(*words, cwd=shell.directory, variables=shell.variables) as shown:
        assert shown.end() == 0
    first, second = [line for line in shown.screen.splitlines() if "2026-03-05" in line]
    assert "█" * 40 in first
    assert "4,000" in first
    assert re.search("█{20}[^█]", second)
    assert "revoked 1,000" in second
    assert "\x1b[32m" in shown.raw
    assert "\x1b[31m" in shown.raw


def test_of_what_was_never_used_it_says_so(org: Organisation, shell: Shell) -> None:
    done = shell("keys", "usage", org.id, *SPAN)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "There are none.\n")
