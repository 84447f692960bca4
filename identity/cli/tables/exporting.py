"""identity users|branches|keys export"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from identity.app_keys import AppKey, AppKeyFilter
from identity.cli.progress import progress
from identity.cli.start import cli_scope, database, read_settings
from identity.cli.tables.nouns import Branches, Noun, Users
from identity.cli.tables.tabular import STREAM, Dialect, Format, Writer, format_of, open_target
from identity.db import Page
from identity.settings import Settings
from identity.stores import Stores, open_stores

PAGE_ROWS = 500

FileArgument = Annotated[str, typer.Argument(help="CSV or JSON Lines, told by its suffix; - is standard output.")]
FormatOption = Annotated[Format | None, typer.Option(help="What FILE shall be, whatever its suffix.")]
List = Callable[[Stores, str | None], Awaitable[Page[Any]]]
"""A page of records, and where the next begins."""


@dataclass(frozen=True)
class Export:
    """What is to be written: which records, in which columns."""

    what: str
    list: List
    columns: Sequence[str]

    async def write(self, stores: Stores, file: str, dialect: Dialect) -> int:
        """How many there were."""
        count = 0
        page = await self.list(stores, None)
        with open_target(file, dialect) as text, progress(f"exporting {self.what}", None) as moved:
            writer = Writer(text, dialect, self.columns)
            while True:
                for record in page.items:
                    writer.write(row_of(record, self.columns, dialect.format))
                count += len(page.items)
                moved(count, count)
                if page.next is None:
                    return count
                page = await self.list(stores, page.next)


def export_users(tenant_id: str, file: FileArgument = STREAM, format: FormatOption = None) -> None:
    """Write all users to a table, which imports to the same users."""
    _run(of_noun(Users(tenant_id)), file, format)


def export_branches(tenant_id: str, app_id: str, file: FileArgument = STREAM, format: FormatOption = None) -> None:
    """Write all branches of an app to a table, which imports to the same branches."""
    _run(of_noun(Branches(tenant_id, app_id)), file, format)


def export_keys(
    tenant_id: str,
    file: FileArgument = STREAM,
    app_id: Annotated[str | None, typer.Option("--app", help="Of one app alone.")] = None,
    format: FormatOption = None,
) -> None:
    """Write what is known of all keys to a table. Their texts are not: nobody has them but their holders."""
    _run(of_keys(tenant_id, app_id), file, format)


def of_noun(noun: Noun) -> Export:
    async def records(stores: Stores, after: str | None) -> Page[Any]:
        if after is None:
            await noun.must_be(stores)
        return await noun.list(stores, after, PAGE_ROWS)

    return Export(f"{noun.shape.noun} records", records, [*noun.shape.in_csv(), "created_at", "updated_at"])


def of_keys(tenant_id: str, app_id: str | None) -> Export:
    async def keys(stores: Stores, after: str | None) -> Page[AppKey]:
        if after is None:
            await stores.tenants.get(tenant_id)
        if after is None and app_id is not None:
            await stores.apps.get(tenant_id, app_id)
        return await stores.app_keys.list(tenant_id, AppKeyFilter(app_id=app_id), after=after, limit=PAGE_ROWS)

    return Export("keys", keys, [name for name in AppKey.model_fields if name != "tenant_id"])


def _run(export: Export, file: str, format: Format | None) -> None:
    dialect = dialect_of(file, format)
    with database(read_settings()) as settings:
        count = asyncio.run(_export(settings, export, file, dialect))
    typer.echo(f"{count:,} exported.", err=True)


async def _export(settings: Settings, export: Export, file: str, dialect: Dialect) -> int:
    async with open_stores(settings) as stores:
        return await export.write(stores.acting_as(cli_scope()), file, dialect)


def dialect_of(file: str, format: Format | None) -> Dialect:
    return Dialect(format_of(file, format), delimiter="\t" if Path(file).suffix.lower() == ".tsv" else ",")


def row_of(record: BaseModel, columns: Sequence[str], format: Format) -> dict[str, Any]:
    """A record as a file holds it: in JSON Lines as the API shows it, in CSV with its documents spread over columns;
    of documents only what differs from the default."""
    found = record.model_dump(mode="json")
    for name in found:
        if isinstance(document := getattr(record, name), BaseModel):
            found[name] = document.model_dump(mode="json", exclude_defaults=True)
    if format is Format.JSONL:
        return found
    return {column: _at(found, column) for column in columns}


def _at(record: dict[str, Any], column: str) -> Any:
    name, _, member = column.partition(".")
    return record[name].get(member) if member else record[name]
