"""identity tenants export|import"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from identity.cli.passphrases import PassphraseFile, passphrase
from identity.cli.progress import progress
from identity.cli.start import database, open_stores_at_hand, read_settings
from identity.cli.tables.reading import open_binary
from identity.cli.tables.tabular import STREAM, Dialect, Format, open_target
from identity.copies import MIN_PASSPHRASE_CHARS, Export, Import
from identity.errors import StartError
from identity.settings import Settings

PATIENCE_S = 3600.0
"""One transaction holds the whole, and waits for whoever reads or writes the other end of the pipe."""

AsJson = Annotated[bool, typer.Option("--json", help="The summary as JSON.")]


def export_tenant(
    tenant_id: str,
    file: Annotated[str, typer.Argument(help="JSON Lines; - is standard output.")] = STREAM,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Write all of a tenant to a file, which another installation imports, and where its keys go on working.

    Whatever is secret is sealed under a passphrase; names and addresses are not. Suspend the tenant first if it moves:
    from this moment on the copy and the original are two.
    """
    given = passphrase(passphrase_file, new=True)
    if len(given) < MIN_PASSPHRASE_CHARS:
        raise StartError(
            f"A passphrase must have at least {MIN_PASSPHRASE_CHARS} characters: the file may be read by all."
        )
    with database(read_settings()) as settings:
        done = Export(tenant_id, given, _secret_keys(settings))
        asyncio.run(_export(done, settings, file))
    _warn_of(done.factors.unopened)
    _tell(tenant_id, "exported", done.tallies.rows, as_json=as_json, to_stderr=file == STREAM)


async def _export(done: Export, settings: Settings, file: str) -> None:
    with open_target(file, Dialect(Format.JSONL)) as text, progress(f"exporting {done.tenant_id}", None) as moved:
        async with open_stores_at_hand(_patient(settings)) as stores:
            async for line in done.lines(stores):
                text.write(line.decode())
                moved(done.tallies.whole.lines, done.tallies.whole.lines)


def import_tenant(
    file: Annotated[str, typer.Argument(help="What export wrote; - is standard input.")],
    passphrase_file: PassphraseFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge all of it, and take it back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a tenant in that another installation exported: all of it, or nothing."""
    with open_binary(file) as binary, database(read_settings()) as settings:
        done = Import(binary, lambda: passphrase(passphrase_file), _secret_keys(settings))
        size_bytes = None if file == STREAM else Path(file).stat().st_size
        with progress(f"importing {done.tenant_id}", size_bytes) as moved:
            asyncio.run(
                _import(done, settings, dry_run, lambda rows: moved(binary.tell() if size_bytes else rows, rows))
            )
    _warn_of(done.factors.unopened)
    _tell(done.tenant_id, "would be imported" if dry_run else "imported", done.tallies.rows, as_json=as_json)


async def _import(done: Import, settings: Settings, dry_run: bool, moved: Any) -> None:
    try:
        async with open_stores_at_hand(_patient(settings)) as stores:
            await done.run(stores, dry_run=dry_run, moved=moved)
    except psycopg.Error as error:
        raise StartError(f"The database does not take the copy ({error.sqlstate}). Nothing was written.") from None


def _secret_keys(settings: Settings) -> tuple[bytes, ...]:
    if settings.secret_key is None:
        raise StartError("IDENTITY_SECRET_KEY is missing, under which second factors are sealed.")
    return settings.secret_keys


def _patient(settings: Settings) -> Settings:
    return settings.model_copy(update={"statement_timeout_s": PATIENCE_S, "idle_in_transaction_timeout_s": PATIENCE_S})


def _warn_of(unopened: int) -> None:
    if unopened:
        typer.echo(
            f"Second factors that were sealed under another IDENTITY_SECRET_KEY, and so open nowhere: {unopened:,}."
            " `identity mfa reset` takes one away.",
            err=True,
        )


def _tell(tenant_id: str, what: str, rows: dict[str, int], *, as_json: bool, to_stderr: bool = False) -> None:
    if as_json:
        typer.echo(json.dumps({"tenant_id": tenant_id, "rows": rows}), err=to_stderr)
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in rows.items() if name != "tenants")
    typer.echo(f"{tenant_id} {what}: {counts}.", err=to_stderr)
