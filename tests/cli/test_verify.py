"""identity verify: the chain as a tree, green down to the link that fails, and what mends that link."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from identity.cli.verify import CHAIN
from identity.settings import Settings
from identity.verify import Verdict, statements, verdicts
from tests.api.samples import BRANCH
from tests.cli.shell import Done, Shell, shell_for
from tests.cli.terminal import STYLES, terminal
from tests.conftest import Organisation

SPOILS = {
    "revoked": "keys revoke T shop K",
    "disabled": "keys disable T shop K",
    "expired": "keys update T shop K --expires-at 2020-01-01T00:00:00Z",
    "tenant_deleted": "tenants delete T",
    "tenant_suspended": "tenants suspend T",
    "app_deleted": "apps delete T shop",
    "app_disabled": "apps disable T shop",
    "branch_deleted": "branches delete T shop mad",
    "branch_disabled": "branches disable T shop mad",
    "user_deleted": "users delete T ana",
    "user_suspended": "users suspend T ana",
    "user_locked": "users lock T ana",
    "access_revoked": "access revoke T shop ana",
}
ASKED = {
    "wrong_environment": ["--environment", "test"],
    "wrong_app": ["--app-id", "desk"],
    "wrong_branch": ["--branch-id", "bcn"],
    "insufficient_scope": ["--scope", "orders:read", "--scope", "stock:read"],
    "ip_not_allowed": ["--ip", "192.0.3.1"],
    "route_not_allowed": ["--method", "GET"],
    "rate_limited": ["--cost", "2"],
    "credits_exhausted": ["--cost", "1"],
}
LIMITS = {
    "ip_not_allowed": "keys update T shop K --allowed-ip 192.0.2.0/24",
    "route_not_allowed": 'keys update T shop K --allowed-routes [{"path":"/a"}]',
    "rate_limited": 'keys update T shop K --rate-limits [{"name":"minute","limit":1,"window_s":60}]',
    "credits_exhausted": 'keys update T shop K --credits {"remaining":0}',
}
MENDABLE = [code for code in SPOILS if code != "revoked"]
NOT_WITH = {
    "status": ("user_locked", *(code for code in SPOILS if code.endswith("_deleted"))),
    "deleted": ("user_locked", "disabled", "expired"),
}
ORDER = [code for link in CHAIN for code in link.fails]


@pytest.fixture(scope="module")
def shell(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return shell_for(settings, tmp_path_factory.mktemp("shell"))


def spoil(shell: Shell, org: Organisation, code: str) -> None:
    words = [{"T": org.id, "K": org.key.id}.get(word, word) for word in (SPOILS | LIMITS)[code].split()]
    shell.answer(*words)


def explained(shell: Shell, org: Organisation, *asked: str) -> Done:
    done = shell("verify", *asked, typed=org.key.key + "\n")
    assert done.stderr == ""
    assert org.key.key.rsplit("_", 1)[1] not in done.stdout
    return done


def shown(tree: str) -> tuple[str, dict[str, str]]:
    """The code on top, and of each link its mark, in the chain's order."""
    code, *lines = STYLES.sub("", tree).splitlines()
    marks = [re.sub(r"^[ │├└─]*", "", line)[0] for line in lines]
    return code.strip(), dict(zip([link.name for link in CHAIN], marks, strict=True))


def mend_of(tree: str) -> str:
    (line,) = [line for line in tree.splitlines() if "✗" in line]
    return line.split(": ", 1)[1].strip()


def test_each_code_of_a_verdict_has_its_link_in_the_order_of_judgement() -> None:
    source = "".join(inspect.getsource(module) for module in (statements, verdicts))
    judged = re.findall(r"THEN '(\w+)'", source) + re.findall(r'return "(\w+)"', source)
    taken = ["rate_limited", "credits_exhausted"]
    assert ["malformed", "not_found", *judged, *taken] == ORDER
    assert {*SPOILS, *ASKED, "malformed", "not_found"} == set(ORDER)


def test_a_good_key_is_green_all_the_way_down(shell: Shell, org: Organisation) -> None:
    done = explained(shell, org, "--scope", "orders:read", "--app-id", "shop", "--branch-id", "mad")
    code, marks = shown(done.stdout)
    assert (done.exit_code, code, set(marks.values())) == (0, "valid", {"✓"})
    assert all(name in done.stdout for name in (org.id, org.key.id, "till", "shop", "mad", "ana", "orders:read"))


@pytest.mark.parametrize("code", ORDER)
def test_it_is_green_before_red_at_and_dim_after_the_link_that_fails(
    code: str, shell: Shell, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    if code in SPOILS | LIMITS:
        spoil(shell, org, code)
    elif code == "not_found":
        shell.answer("keys", "delete", org.id, "shop", org.key.id, "--yes")
    typed = "isk_live_nonsense" if code == "malformed" else org.key.key
    done = shell("verify", *ASKED.get(code, []), typed=typed)
    at = next(number for number, link in enumerate(CHAIN) if code in link.fails)
    found, marks = shown(done.stdout)
    assert (done.exit_code, found) == (1, code)
    assert list(marks.values()) == ["✓"] * at + ["✗"] + ["·"] * (len(CHAIN) - at - 1)
    for line, mark in zip(done.stdout.splitlines()[1:], marks.values(), strict=True):
        assert {"✓": "\x1b[32m✓", "✗": "\x1b[31m✗", "·": "\x1b[2m·"}[mark] in line


@pytest.mark.parametrize("code", ["malformed", "not_found", "revoked", *ASKED])
def test_what_no_command_mends_is_said_in_words(code: str) -> None:
    mend = next(link.fails[code] for link in CHAIN if code in link.fails)
    assert not mend.startswith("identity ")


@pytest.mark.parametrize("code", MENDABLE)
def test_the_command_that_it_names_mends_that_link(code: str, shell: Shell, org: Organisation) -> None:
    spoil(shell, org, code)
    mend(shell, explained(shell, org).stdout)
    assert shown(explained(shell, org).stdout)[0] == "valid"


def mend(shell: Shell, tree: str) -> None:
    """Runs what the tree says."""
    program, *words = mend_of(tree).replace("…", "2099-01-01T00:00:00Z").split()
    assert program == "identity"
    done = shell(*words)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("which", ["status", "deleted"])
def test_one_mend_after_the_other_leads_to_a_good_key(which: str, shell: Shell, org: Organisation) -> None:
    """Where much is wrong at once, each mend brings a later code. (What is deleted hides the key from `keys`.)"""
    wrong = [code for code in MENDABLE if code not in NOT_WITH[which]]
    for code in reversed(wrong):
        spoil(shell, org, code)
    codes = []
    while (code := shown(tree := explained(shell, org).stdout)[0]) != "valid":
        codes.append(code)
        assert codes == wrong[: len(codes)]
        mend(shell, tree)
    assert codes == wrong


def test_to_a_machine_it_is_the_apis_own_verdict(shell: Shell, org: Organisation) -> None:
    done = explained(shell, org, "--json", "--scope", "stock:read")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["valid"], told["code"], told["key_id"]) == (1, False, "insufficient_scope", org.key.id)
    assert set(told) == set(Verdict.model_fields)


def test_it_reads_a_file_and_what_is_no_key_is_malformed(shell: Shell, org: Organisation, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"  {org.key.key}\r\n")
    assert shell("verify", str(file)).exit_code == 0
    for raw in (b"\xff\xfe", b"", b"\0", b"x" * 100_000, org.key.key.encode()[:-1]):
        file.write_bytes(raw)
        assert shown(shell("verify", str(file)).stdout)[0] == "malformed"
        assert shown(shell("verify", typed=raw).stdout)[0] == "malformed"


def test_a_key_given_as_an_argument_is_not_taken_and_not_repeated(shell: Shell, org: Organisation) -> None:
    refused = shell("verify", org.key.key).refusal
    assert "a key itself is no argument" in refused
    assert org.key.key not in refused


def test_in_a_terminal_the_key_is_asked_for_and_never_shown(shell: Shell, org: Organisation) -> None:
    with terminal("verify", cwd=shell.directory, variables=shell.variables) as shown_by:
        shown_by.wait_for("Key (not shown): ")
        command = Path(f"/proc/{shown_by.process.pid}/cmdline").read_bytes()
        shown_by.type(org.key.key)
        assert shown_by.end() == 0
    assert org.key.key.encode() not in command
    assert org.key.key.rsplit("_", 1)[1] not in shown_by.screen
    assert "✓ key" in shown_by.screen


def test_ctrl_c_at_the_question_is_no_verdict(shell: Shell) -> None:
    with terminal("verify", cwd=shell.directory, variables=shell.variables) as shown_by:
        shown_by.wait_for("Key (not shown): ")
        assert shown_by.interrupt() == 130
    assert "Traceback" not in shown_by.screen


def test_a_branch_that_a_key_does_not_bind_changes_nothing(shell: Shell, org: Organisation) -> None:
    words = [word for name in ("code", "name", "type") for word in (f"--{name}", str({**BRANCH, "code": "X"}[name]))]
    shell.answer("branches", "create", org.id, "shop", "--id", "bcn", *words)
    free = shell("keys", "issue", org.id, "shop", "--name", "free").stdout
    done = shell("verify", "--branch-id", "bcn", typed=free)
    assert (done.exit_code, "good for every branch" in done.stdout) == (0, True)
