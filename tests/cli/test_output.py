"""What a person, a script and an odd terminal get to see of it."""

from __future__ import annotations

import json
import re
import subprocess
import time

import psycopg
import pytest

from identity.settings import Settings
from tests.cli.shell import Shell, shell_for
from tests.cli.terminal import STYLES, terminal
from tests.conftest import Organisation, unique
from tests.operation.command import COMMAND, environment
from tests.server import execute


@pytest.fixture(scope="module")
def shell(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return shell_for(settings, tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="module")
def tenant(shell: Shell) -> str:
    id = unique("seen")
    shell.answer("tenants", "create", "--id", id, "--name", "Acme")
    shell.answer("apps", "create", id, "--id", "shop", "--name", "Shop", "--type", "web")
    return id


@pytest.fixture(scope="module")
def many(shell: Shell) -> str:
    """A tenant whose list fills a pipe's buffer."""
    id = unique("many")
    typed = json.dumps({"id": id, "name": "Many"})
    shell.answer("tenants", "create", "-", typed=typed)
    metadata = json.dumps({"long": "x" * 60_000})
    for number in range(5):
        shell.answer("users", "create", id, "-", typed=f'{{"username": "user {number}", "metadata": {metadata}}}')
    return id


NAMES = ("[red]Acme[/red]", "[/]", "[link=http://example.com]x", "شركة التجربة", "日本語", "Zoë 😀", ":smile: ${HOME}")


@pytest.fixture(scope="module")
def odd(shell: Shell) -> str:
    """A tenant whose users' names mean something to some terminal, were they let."""
    id = unique("odd")
    shell.answer("tenants", "create", "--id", id, "--name", NAMES[0])
    for number, name in enumerate(NAMES):
        metadata = json.dumps({"said": "\x1b[31m\x07\x9b2J\u202e"})
        words = ["--id", f"u{number}", "--username", name, "--full-name", name, "--metadata", metadata]
        shell.answer("users", "create", id, *words)
    return id


def test_names_are_shown_as_they_are(shell: Shell, odd: str) -> None:
    listed = shell("users", "list", odd)
    for number, name in enumerate(NAMES):
        assert name in listed.stdout
        assert f" {name} " in shell("users", "get", odd, f"u{number}").stdout


@pytest.mark.parametrize("words", ["users list T", "users get T u0", "users list T --json", "users get T u0 --json"])
def test_nothing_that_is_shown_moves_the_cursor(words: str, shell: Shell, odd: str) -> None:
    shown = shell(*words.replace("T", odd).split()).stdout
    assert not [each for each in shown if not each.isprintable() and each != "\n"]
    if "--json" in words:
        record = json.loads(shown)
        assert record.get("items", [record])[0]["metadata"]["said"] == "\x1b[31m\x07\x9b2J\u202e"


def test_in_a_pipe_nothing_is_cut(shell: Shell, tenant: str) -> None:
    long = "x" * 60_000
    words = ["--id", "long", "--username", "l" * 128, "--full-name", "n" * 200]
    shell.answer("users", "create", tenant, *words, "-", typed=json.dumps({"metadata": {"long": long}}))
    assert f'"long": "{long}"' in shell("users", "get", tenant, "long").stdout
    listed = shell("users", "list", tenant, "--username", "l" * 128).stdout
    assert "l" * 128 in listed
    assert "n" * 200 in listed


def piped(words: list[str], shell: Shell, into: str, **variables: str) -> subprocess.CompletedProcess[str]:
    line = f'"$@" | {into}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", line, "bash", *COMMAND, *words],
        env={**environment(**shell.variables), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=shell.directory,
    )


def test_a_pipe_gets_no_colours(shell: Shell, odd: str) -> None:
    done = piped(["users", "list", odd], shell, "cat", TERM="xterm-256color")
    assert NAMES[0] in done.stdout
    assert not STYLES.search(done.stdout)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_pipe_that_closes_early_is_no_traceback(more: list[str], shell: Shell, many: str) -> None:
    done = piped(["users", "list", many, "--all", *more], shell, "head -c 20")
    assert len(done.stdout) == 20
    assert done.stderr == ""


def test_an_output_that_knows_ascii_alone_is_no_traceback(shell: Shell, odd: str) -> None:
    for words in (["users", "list", odd], ["users", "list", odd, "--json"]):
        done = piped(words, shell, "cat", PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, "")
        assert "u6" in done.stdout
    items = json.loads(done.stdout)["items"]
    assert [user["username"] for user in items] == list(NAMES)


def test_a_terminal_gets_colours_unless_it_wants_none(shell: Shell, odd: str) -> None:
    with terminal("users", "list", odd, cwd=shell.directory, variables=shell.variables) as shown:
        assert shown.end() == 0
    assert "\x1b[32mactive" in shown.raw
    assert all(name in shown.screen for name in NAMES if name.isascii())
    words = ["env", "NO_COLOR=1", *COMMAND]
    with terminal("users", "list", odd, cwd=shell.directory, command=words, variables=shell.variables) as plain:
        assert plain.end() == 0
    assert not re.search(r"\x1b\[\d*3\d", plain.raw)


def test_a_narrow_terminal_folds_and_cuts_nothing(shell: Shell, tenant: str) -> None:
    key = shell.answer("keys", "issue", tenant, "shop", "--name", "a-long-name-for-a-key")
    for words in (["keys", "list", tenant, "shop"], ["keys", "get", tenant, "shop", key["id"]]):
        with terminal(*words, cwd=shell.directory, columns=40, variables=shell.variables) as shown:
            assert shown.end() == 0
        assert "…" not in shown.screen
        assert max(map(len, shown.screen.splitlines())) <= 40
        letters = re.sub(r"\s", "", shown.screen)
        assert all(part in letters for part in (key["id"][:2], key["name"][:2]))


def test_ctrl_c_ends_it_at_once_and_without_a_traceback(settings: Settings, shell: Shell, org: Organisation) -> None:
    """While it waits for a row that somebody else holds."""
    with psycopg.connect(settings.main_url) as holder:
        holder.execute(b"SET LOCAL ROLE identity_app")
        holder.execute(f"SET LOCAL identity.tenant_id = '{org.id}'".encode())
        holder.execute(b"SELECT FROM identity.users WHERE tenant_id = %s FOR UPDATE", [org.id])
        with terminal("users", "suspend", org.id, "ana", cwd=shell.directory, variables=shell.variables) as shown:
            wait_until_somebody_waits(settings.main_url)
            started_s = time.monotonic()
            shown.press_ctrl_c()
            assert shown.end() == 130
    assert time.monotonic() - started_s < 3
    assert "Traceback" not in shown.screen


def wait_until_somebody_waits(url: str) -> None:
    until_s = time.monotonic() + 20
    while not execute(url, "SELECT 1 FROM pg_locks WHERE NOT granted"):
        assert time.monotonic() < until_s
        time.sleep(0.05)
