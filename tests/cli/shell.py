"""`identity …` in this very process: what it printed, where, and how it ended."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from identity.cli import app
from identity.settings import Settings


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        assert self.exit_code == 0, self.stderr
        return json.loads(self.stdout)

    @property
    def refusal(self) -> str:
        """What a refused command said; it said nothing where a script would take it for an answer."""
        assert (self.exit_code, self.stdout) == (1, ""), self
        assert "Traceback" not in self.stderr
        return self.stderr


@dataclass(frozen=True)
class Shell:
    """A directory and variables in which `identity` is called."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, typed: str | bytes = "", **variables: str) -> Done:
        """Given in short: data_dir is IDENTITY_DATA_DIR."""
        named = {f"IDENTITY_{name.upper()}": value for name, value in {**self.variables, **variables}.items()}
        out, err = _stream(), _stream()
        raw = io.BytesIO(typed.encode() if isinstance(typed, str) else typed)
        with (
            patch.dict(os.environ, named),
            patch.object(sys, "stdin", io.TextIOWrapper(raw, "utf-8")),
            redirect_stdout(out),
            redirect_stderr(err),
            _in(self.directory),
        ):
            code = _exit_code(arguments)
        return Done(code, _text(out), _text(err))

    def answer(self, *arguments: str, typed: str = "") -> Any:
        """What a command that goes well answers to a machine."""
        return self(*arguments, "--json", typed=typed).json


def shell_for(settings: Settings, directory: Path, **more: str) -> Shell:
    """On the same database as the service with these settings."""
    assert settings.secret_key is not None
    given = {"database_url": settings.main_url, "secret_key": settings.secret_key.get_secret_value()}
    return Shell(directory, {**given, **more})


def _exit_code(arguments: tuple[str, ...]) -> int:
    try:
        app(list(arguments), prog_name="identity")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    raise AssertionError("a command ends by its exit code")


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@contextmanager
def _in(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
