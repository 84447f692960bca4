"""identity keys"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from pydantic import ValidationError

from identity.app_keys import IssuedKey, NewAppKey
from identity.cli.start import cli_scope, database, read_settings
from identity.errors import StartError
from identity.settings import Settings
from identity.stores import open_stores

app = typer.Typer(help="App keys.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """App keys."""


@app.command()
def issue(
    tenant_id: str,
    app_id: str,
    name: Annotated[str, typer.Option(help="What it is for.")] = "admin",
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; may be given again.")] = None,
) -> None:
    """Issue a key, with full rank, and show its text this once."""
    try:
        new = NewAppKey(name=name, scopes=tuple(scope or ()))
    except ValidationError as error:
        raise StartError(f"Not as it should be: {error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}.") from None
    with database(read_settings()) as settings:
        typer.echo(asyncio.run(_issue(settings, tenant_id, app_id, new)).key)


async def _issue(settings: Settings, tenant_id: str, app_id: str, new: NewAppKey) -> IssuedKey:
    async with open_stores(settings) as stores:
        return await stores.acting_as(cli_scope()).app_keys.issue(tenant_id, app_id, new)
