"""identity tenants purge"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from identity.cli.commands import NOW, YES, confirm
from identity.cli.progress import Moved, progress
from identity.cli.show import show_done
from identity.cli.start import database, open_stores_at_hand, read_settings
from identity.purging import WAIT_S
from identity.settings import Settings
from identity.tenants import TenantStore


def purge_tenant(
    tenant_id: Annotated[str, typer.Argument(metavar="TENANT_ID", show_default=False)],
    now: Annotated[bool, NOW] = False,
    yes: Annotated[bool, YES] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
) -> None:
    """Purge a deleted tenant.

    For good, with all that is under it, in steps. Once begun nothing brings it back; where it was cut off, run it
    again, or a service goes on with it.
    """
    if not yes:
        confirm(f"Purge {tenant_id} for good?")
    with database(read_settings()) as settings:
        asyncio.run(_purge(settings, tenant_id, 0 if now else settings.purge_after_s))
    show_done(f"{tenant_id}: purge done.", as_json=as_json)


async def _purge(settings: Settings, tenant_id: str, after_s: int) -> None:
    async with open_stores_at_hand(settings) as stores:
        await stores.tenants.begin_purge(tenant_id, after_s=after_s)
        with progress(f"Purging {tenant_id}", await stores.tenants.rows_to_purge(tenant_id)) as moved:
            await _steps(stores.tenants, tenant_id, moved)


async def _steps(tenants: TenantStore, tenant_id: str, moved: Moved) -> None:
    """To the end, also where a service is at it too."""
    purged = 0
    async for rows in tenants.purge_steps(tenant_id):
        purged += rows
        moved(purged, purged)
        if not rows:
            await asyncio.sleep(WAIT_S)
