"""One fault in the middle of revocations, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.load.keys import KEYS_A_ROUND, fill
from tests.prove.faults import Fault
from tests.prove.load import ADMINS, Load, Tally
from tests.prove.site import Site

AFTER_S = 1.0
"""How long the load goes on when the fault is over."""
SPARE_TENANTS = 150
"""Where a fault lasts, more keys die than were asked for."""


@dataclass(frozen=True)
class Outcome:
    """What was counted, and how long the fault was felt."""

    tally: Tally
    back_after_s: float
    """From the beginning of the fault to the last error, or answer over 250 ms; 0 where there was none."""


async def phase(
    site: Site, fault: Fault, count: int, *, ports: Sequence[int] | None = None, tally: Tally | None = None
) -> Outcome:
    """The fault comes when a third of the keys are dead. Where the ports are others, something lies before a worker."""
    tenants = count // KEYS_A_ROUND + ADMINS + SPARE_TENANTS
    prefix = f"t{time.monotonic_ns()}"
    filled = await asyncio.to_thread(fill, site.database.admin_url, prefix, tenants=tenants, keys_each=KEYS_A_ROUND)
    load = Load(ports or site.ports, site.ports, site.database.platform_key, count, tally or Tally())
    running = asyncio.create_task(load.run(filled.by_tenant()))
    under_way = asyncio.create_task(load.under_way.wait())
    await asyncio.wait({running, under_way}, return_when=asyncio.FIRST_COMPLETED)
    under_way.cancel()
    begun_ns = time.monotonic_ns()
    try:
        await fault(site)
        await asyncio.sleep(AFTER_S)
    finally:
        load.may_end.set()
        await running
    trouble_ns = load.tally.last_trouble_ns or begun_ns
    return Outcome(load.tally, max(0, trouble_ns - begun_ns) / 1e9)
