"""`identity --version`"""

from __future__ import annotations

from typing import Annotated

import typer

from identity import __version__


def _tell(wanted: bool) -> None:
    if wanted:
        typer.echo(f"identity {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version.", is_eager=True, callback=_tell)
    ] = False,
) -> None:
    """The options of the program itself."""
