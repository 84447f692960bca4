"""identity users|branches import"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from identity.cli.start import cli_scope, database, read_settings
from identity.cli.tables.importer import Import, OnError, Summary, Wanted
from identity.cli.tables.nouns import Branches, Noun, Users
from identity.cli.tables.reading import open_source
from identity.cli.tables.tabular import Format
from identity.cli.tables.writing import Refusal
from identity.errors import StartError, Unavailable
from identity.settings import Settings
from identity.stores import open_stores


class UserMatch(StrEnum):
    """By which column a row names its user."""

    ID = "id"
    USERNAME = "username"
    EMAIL = "email"


class BranchMatch(StrEnum):
    """By which column a row names its branch."""

    ID = "id"
    CODE = "code"


FileArgument = Annotated[str, typer.Argument(help="CSV or JSON Lines, told by its suffix; - is standard input.")]
FormatOption = Annotated[Format | None, typer.Option(help="What FILE is, whatever its suffix.")]
EncodingOption = Annotated[str | None, typer.Option(help="Default: UTF-8, or what the file's first bytes say.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="COLUMN=FIELD, or COLUMN= to leave it out; may be given again. Others are guessed."),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Let the database judge each 500 rows, and take them back."),
]
OnErrorOption = Annotated[OnError, typer.Option(help="Stop at the first row that is refused, or leave such rows out.")]
RefusedOption = Annotated[
    Path | None, typer.Option(help="Where refused rows go, overwriting it. Default: FILE.refused.csv, beside FILE.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The summary as one JSON object, and no table of columns.")]


def import_users(
    tenant_id: str,
    file: FileArgument,
    format: FormatOption = None,
    encoding: EncodingOption = None,
    maps: MapOption = None,
    match: Annotated[UserMatch | None, typer.Option(help="Default: by id, else by username.")] = None,
    dry_run: DryRunOption = False,
    on_error: OnErrorOption = OnError.STOP,
    refused: RefusedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create and change users from a table. What it has no column for stays as it is; it can be run again."""
    wanted = Wanted(file, format, encoding, tuple(maps or ()), match, dry_run, on_error, refused, as_json)
    _run(Users(tenant_id), wanted)


def import_branches(
    tenant_id: str,
    app_id: str,
    file: FileArgument,
    format: FormatOption = None,
    encoding: EncodingOption = None,
    maps: MapOption = None,
    match: Annotated[BranchMatch | None, typer.Option(help="Default: by id, else by code.")] = None,
    dry_run: DryRunOption = False,
    on_error: OnErrorOption = OnError.STOP,
    refused: RefusedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create and change branches from a table. What it has no column for stays as it is; it can be run again."""
    wanted = Wanted(file, format, encoding, tuple(maps or ()), match, dry_run, on_error, refused, as_json)
    _run(Branches(tenant_id, app_id), wanted)


def _run(noun: Noun, wanted: Wanted) -> None:
    if wanted.refused and wanted.refused.resolve() == Path(wanted.file).resolve():
        raise typer.BadParameter("--refused must name another file than the one to import, which it would overwrite")
    with open_source(wanted.file, wanted.format, wanted.encoding) as source, database(read_settings()) as settings:
        done = Import(noun, source, wanted)
        with _ends_told(done.summary, wanted):
            asyncio.run(_import(settings, done))
    typer.echo(done.summary.as_json(dry_run=wanted.dry_run) if wanted.as_json else _told(done.summary, wanted))
    if done.summary.first_refusal:
        raise StartError(_what_to_do(done.summary, done.summary.first_refusal, wanted, source.name))


async def _import(settings: Settings, wanted: Import) -> None:
    async with open_stores(settings) as stores:
        await wanted.run(stores.acting_as(cli_scope()))


@contextmanager
def _ends_told(summary: Summary, wanted: Wanted) -> Iterator[None]:
    """However it ends, it is said how far it came."""
    try:
        yield
    except KeyboardInterrupt:
        raise StartError(f"Interrupted. {_so_far(summary, wanted)}") from None
    except Unavailable:
        raise StartError(f"The database does not answer. {_so_far(summary, wanted)}") from None
    except StartError as error:
        if not summary.rows:
            raise
        raise StartError(f"{error} {_so_far(summary, wanted)}") from None


def _so_far(summary: Summary, wanted: Wanted) -> str:
    if wanted.dry_run:
        return "It was a dry run, of which nothing stays: run the same command again."
    return f"Up to line {summary.last_line} it is written ({summary}), and the same command carries on."


def _told(summary: Summary, wanted: Wanted) -> str:
    return f"Dry run, nothing of it stays: {summary}." if wanted.dry_run else f"{summary}."


def _what_to_do(summary: Summary, first: Refusal, wanted: Wanted, name: str) -> str:
    if wanted.on_error is OnError.SKIP:
        return (
            f"{summary.refused:,} rows were refused: mend them in {summary.refused_file},"
            " then import that file with the same options."
        )
    where = f"{first.field}: {first.reason}" if first.field else first.reason
    return (
        f"Line {first.row.line} of {name} was refused ({where}), and nothing after it was looked at:"
        " mend it and run the same command again, or leave such rows out with --on-error skip."
    )
