"""What has had its time goes, in the background and in small steps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from identity.api.logs import log_error
from identity.stores import Stores

EVERY_S = 60.0
STEP_ROWS = 500
PAUSE_S = 0.1


@asynccontextmanager
async def sweeping(stores: Stores) -> AsyncIterator[None]:
    """For as long as the service runs, in each worker: one at a time sweeps."""
    task = asyncio.create_task(_sweep_for_ever(stores))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _sweep_for_ever(stores: Stores) -> None:
    while True:
        await asyncio.sleep(EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311  (so that workers do not meet)
        try:
            await sweep(stores)
        except Exception as error:  # noqa: BLE001  (neither an outage nor a bug of ours ends it: the next time will do)
            log_error(error, detail="What is old was not swept.")


async def sweep(stores: Stores) -> int:
    """Everything that is due; how many rows it was."""
    swept = 0
    while step := await stores.idempotency.sweep(limit=STEP_ROWS):
        swept += step
        await asyncio.sleep(PAUSE_S)
    return swept
