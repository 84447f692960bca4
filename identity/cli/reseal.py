"""identity reseal"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from identity.cli.show import show_record
from identity.cli.start import database, must_have_secret_key, open_stores_at_hand, read_settings
from identity.resealing import reseal as reseal_all
from identity.sealing import Resealed
from identity.settings import Settings


def reseal(as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False) -> None:
    """Seal second factors and signing keys anew, under IDENTITY_SECRET_KEY.

    When that has changed: then nothing is left for which IDENTITY_SECRET_KEY_PREVIOUS is needed, but answers to
    retries, for a day."""

    async def run(settings: Settings) -> Resealed:
        async with open_stores_at_hand(settings) as stores:
            return await reseal_all(stores, settings.secret_keys)

    with database(read_settings()) as settings:
        must_have_secret_key(settings)
        show_record(asdict(asyncio.run(run(settings))), as_json=as_json)
