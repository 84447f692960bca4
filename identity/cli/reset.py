"""identity reset"""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from identity import embedded
from identity.cli.start import read_settings


def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Throw the embedded database away, with all its data and keys."""
    settings = read_settings()
    if not settings.data_dir.exists():
        typer.echo(f"There is nothing in {settings.data_dir}.")
        return
    if not yes:
        typer.confirm(f"Throw away all data in {settings.data_dir.absolute()}?", abort=True)
    with embedded.hold(settings.data_dir):
        for directory in (embedded.place(settings.data_dir).home, settings.data_dir):
            shutil.rmtree(directory, ignore_errors=True)
    typer.echo("Thrown away.")
