"""Completion in bash, zsh and fish: nouns, verbs, options and choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.cli.test_table import COMMANDS


def completed(line: str, monkeypatch: pytest.MonkeyPatch, directory: Path) -> set[str]:
    """What bash is offered for a line's last word."""
    monkeypatch.setenv("_IDENTITY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    return set(Shell(directory)().stdout.split())


def test_the_first_word_is_a_noun_or_a_command_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offered = completed("identity ", monkeypatch, tmp_path)
    assert offered >= {noun for noun, _ in COMMANDS} | {"serve", "init", "verify", "migrate", "reset"}
    assert completed("identity te", monkeypatch, tmp_path) == {"tenants"}


@pytest.mark.parametrize("noun", sorted({noun for noun, _ in COMMANDS}))
def test_the_second_word_is_one_of_its_verbs(noun: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert completed(f"identity {noun} ", monkeypatch, tmp_path) >= {verb for each, verb in COMMANDS if each == noun}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("identity users list acme --us", {"--username"}),
        ("identity users list acme --status ", {"active", "suspended", "locked"}),
        ("identity keys issue acme shop --environment ", {"live", "test"}),
        ("identity init --ke", {"--keep-env"}),
    ],
)
def test_then_options_and_their_choices(
    line: str, offered: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert completed(line, monkeypatch, tmp_path) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("_IDENTITY_COMPLETE", f"source_{shell}")
    done = Shell(tmp_path)()
    assert done.exit_code == 0
    assert f"_IDENTITY_COMPLETE=complete_{shell}" in done.stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_others_are_offered_the_same(shell: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("_IDENTITY_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "identity keys ro")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert "rotate" in Shell(tmp_path)().stdout
