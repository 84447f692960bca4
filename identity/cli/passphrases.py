"""A passphrase, from a file, a variable, or whoever sits at the terminal: an argument would stand in the shell's
history, and in the list of processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from identity.errors import StartError

VARIABLE = "IDENTITY_PASSPHRASE"
NOBODY_TO_ASK = f"There is no terminal to ask for the passphrase: give --passphrase-file, or set {VARIABLE}."

PassphraseFile = Annotated[
    Path | None, typer.Option(help=f"Its first line is the passphrase. Default: {VARIABLE}, else it is asked for.")
]


def passphrase(file: Path | None, *, new: bool = False) -> str:
    """As given; a new one is asked for twice."""
    if file is not None:
        return _first_line(file)
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if not sys.stdin.isatty():
        raise StartError(NOBODY_TO_ASK)
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True))


def _first_line(file: Path) -> str:
    try:
        with file.open(errors="surrogateescape") as opened:
            return opened.readline().rstrip("\n")
    except OSError as error:
        raise StartError(f"The file {file} cannot be read ({error.strerror}).") from None
