"""`identity …` as somebody types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identity.cli import app
from tests.forks import forked

COMMAND = [sys.executable, "-m", "identity"]


def environment(**variables: str) -> dict[str, str]:
    """Given in short: data_dir is IDENTITY_DATA_DIR."""
    return os.environ | {f"IDENTITY_{name.upper()}": value for name, value in variables.items()}


def identity(
    *arguments: str, cwd: Path = Path("/"), typed: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    return forked(_identity, arguments, environment(**variables), cwd, typed)


def _identity(*arguments: str) -> None:
    app(list(arguments), prog_name="identity")


@contextmanager
def started(*arguments: str, cwd: Path = Path("/"), **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Still running, and killed in the end if it has not ended."""
    process = subprocess.Popen([*COMMAND, *arguments], env=environment(**variables), cwd=cwd, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_one_sentence(stderr: str) -> bool:
    """What somebody who has to mend it at night gets to see: no traceback, nothing else."""
    return stderr.startswith("identity: ") and stderr.count("\n") == 1
