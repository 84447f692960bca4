"""What may befall lanes, a worker, PostgreSQL and the network; each returns when it is over, or is there to stay."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial

from tests.prove.launcher import BLOCKED_S
from tests.prove.purging import tenant_purged
from tests.prove.site import Site

DELAY_S = 0.05
DELAYED_S = 3.0

Fault = Callable[[Site], Awaitable[object]]


async def none(site: Site) -> None:
    """Nothing at all."""


async def lane_frozen(site: Site) -> None:
    site.workers[0].lanes.links[0].freeze()


async def lane_reset(site: Site) -> None:
    site.workers[0].lanes.links[0].reset()


async def backend_terminated(site: Site) -> None:
    lane, *_ = await site.lanes()
    await site.execute(f"SELECT pg_terminate_backend({lane})")


async def backend_stopped(for_s: float, site: Site) -> None:
    lane, *_ = await site.lanes()
    await _stopped(lane, for_s)


async def worker_stopped(for_s: float, site: Site) -> None:
    """Its kernel goes on taking requests for it."""
    await _stopped(site.workers[0].process.pid, for_s)


async def loop_blocked(site: Site) -> None:
    os.kill(site.workers[0].process.pid, signal.SIGUSR1)
    await asyncio.sleep(BLOCKED_S)


async def postgres_killed(site: Site) -> None:
    await site.kill_postgres()


async def network_delayed(site: Site) -> None:
    for worker in site.workers:
        worker.lanes.delay_s = DELAY_S
    await asyncio.sleep(DELAYED_S)
    for worker in site.workers:
        worker.lanes.delay_s = 0.0


async def _stopped(pid: int, for_s: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(for_s)
    finally:
        os.kill(pid, signal.SIGCONT)


FAULTS: dict[str, Fault] = {
    "none": none,
    "a lane frozen": lane_frozen,
    "a lane reset": lane_reset,
    "pg_terminate_backend of a lane": backend_terminated,
    "a lane's backend stopped 0.3 s": partial(backend_stopped, 0.3),
    "a lane's backend stopped 3 s": partial(backend_stopped, 3.0),
    "a worker stopped 0.3 s": partial(worker_stopped, 0.3),
    "a worker stopped 3 s": partial(worker_stopped, 3.0),
    "a worker's loop blocked 0.5 s": loop_blocked,
    "PostgreSQL killed and restarted": postgres_killed,
    "the network delayed 50 ms for 3 s": network_delayed,
    "a tenant of 300,000 users purged": tenant_purged,
}
