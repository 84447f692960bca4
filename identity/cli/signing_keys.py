"""identity signing-keys list|rotate"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from identity.cli.commands import confirm
from identity.cli.show import show_page, show_record
from identity.cli.start import database, must_have_secret_key, open_stores_at_hand, read_settings
from identity.settings import Settings
from identity.signing_keys import SigningKey, new_signing_key
from identity.stores import Stores

app = typer.Typer(help="With which access tokens are signed.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
T = TypeVar("T")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys that sign tokens, or did, or will."""
    keys = _with_stores(lambda stores, _: stores.signing_keys.list())
    items = [{**_shown(key), "status": status} for key, status in zip(keys, _statuses(keys), strict=True)]
    show_page({"items": items, "next": None}, as_json=as_json)


@app.command()
def rotate(
    now: Annotated[
        bool, typer.Option("--now", help="It signs at once, and those before it go, with all tokens that they signed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the next key: published now, it signs in an hour, and those before it go when their last token has.

    Where a private key is in wrong hands: --now."""
    if now and not yes:
        confirm("End all access tokens that there are?")

    async def make(stores: Stores, settings: Settings) -> SigningKey:
        must_have_secret_key(settings)
        store, new = stores.signing_keys, new_signing_key(settings.secret_keys)
        return await (store.replace(new) if now else store.rotate(new))

    show_record(_shown(_with_stores(make)), as_json=as_json)


def _with_stores(work: Callable[[Stores, Settings], Awaitable[T]]) -> T:
    async def run(settings: Settings) -> T:
        async with open_stores_at_hand(settings) as stores:
            return await work(stores, settings)

    with database(read_settings()) as settings:
        return asyncio.run(run(settings))


def _shown(key: SigningKey) -> dict[str, Any]:
    return key.model_dump(mode="json", include=set(SigningKey.model_fields))


def _statuses(keys: Sequence[SigningKey]) -> list[str]:
    """The newest come first."""
    started = [key for key in keys if key.starts_at <= datetime.now(UTC)]
    return ["next" if key not in started else "signs" if key is started[0] else "past" for key in keys]
