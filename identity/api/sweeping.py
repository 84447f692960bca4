"""What has had its time goes, in the background and in small steps; and so does what was deleted, after its grace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

from identity.api.logs import log_error
from identity.db import Swept
from identity.errors import Conflict, NotFound
from identity.stores import Stores
from identity.tenants import TenantSettings, TenantStore

EVERY_S = 60.0
BY_TENANT_EVERY_S = 3600.0
"""To ask tenant by tenant is dearer, and what is kept for days is in no hurry."""
STEP_ROWS = 500
CAREFUL_TENANTS = 30
"""How many are taken one by one after a step failed, which may have been over so many."""
TENANTS = 100
"""Whose ids are asked for at once."""
PAUSE_S = 0.1
CANCELLED_AGAIN_S = 0.1

Step = Callable[..., Awaitable[Swept]]


@asynccontextmanager
async def sweeping(stores: Stores, *, purge_after_s: int) -> AsyncIterator[None]:
    """For as long as the service runs, in each worker: one at a time sweeps."""
    defaults = TenantSettings()
    usage = partial(sweep_by_tenant, stores.key_usage.sweep, days=defaults.usage_days)
    keys = partial(sweep_by_tenant, stores.app_keys.sweep, days=defaults.keep_dead_keys_days)
    deleted = (stores.users.sweep, stores.branches.sweep, stores.apps.sweep)
    over_all = (
        stores.idempotency.sweep,
        stores.sessions.sweep,
        stores.sessions.sweep_tokens,
        stores.passwords.sweep,
        stores.sign_ins.sweep,
        stores.sign_ins.sweep_limits,
        stores.challenges.sweep,
        stores.invitations.sweep,
    )
    endless = (
        *(_for_ever(EVERY_S, partial(sweep_over_all, step)) for step in over_all),
        _for_ever(BY_TENANT_EVERY_S, usage),
        _for_ever(BY_TENANT_EVERY_S, keys),
        *(_for_ever(BY_TENANT_EVERY_S, partial(sweep_by_tenant, step, after_s=purge_after_s)) for step in deleted),
        _for_ever(EVERY_S, partial(purge_tenants, stores.tenants, after_s=purge_after_s)),
        _for_ever(BY_TENANT_EVERY_S, stores.signing_keys.sweep),
    )
    tasks = [asyncio.create_task(each) for each in endless]
    try:
        yield
    finally:
        await _end(tasks)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Told more than once: a task whose wait for a connection ends just then misses that it is cancelled."""
    while not all(task.done() for task in tasks):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCELLED_AGAIN_S)


async def _for_ever(every_s: float, sweep: Callable[[], Awaitable[int]]) -> None:
    wait_s = min(every_s, EVERY_S)  # or a worker that lives less long than every_s would never sweep
    while True:
        await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311  (so that workers do not meet)
        try:
            await sweep()
        except Exception as error:  # noqa: BLE001  (neither an outage nor a bug of ours ends it: the next time will do)
            log_error(error, detail="What is old was not swept.")
        wait_s = every_s


async def sweep_over_all(step: Callable[..., Awaitable[int]]) -> int:
    """Those that are due, of all tenants at once; how many it was."""
    swept = 0
    while taken := await step(limit=STEP_ROWS):
        swept += taken
        await asyncio.sleep(PAUSE_S)
    return swept


async def sweep_by_tenant(step: Step, **kept: int) -> int:
    """Those that are due, tenant by tenant; how long they are kept is said to the step, for tenants that have not said
    it. One whose rows do not go keeps those after it from nothing."""
    swept, careful = 0, 0
    after: str | None = ""
    while after is not None:
        try:
            rows, then = await step(after=after, limit=STEP_ROWS, tenants=1 if careful else None, **kept)
        except Exception as error:  # noqa: BLE001  (whatever it is that one tenant's rows meet)
            if careful:
                log_error(error, detail="A tenant was passed over: what is old of it was not swept.")
                rows, then = await step(after=after, limit=0, tenants=1, **kept)
            else:
                rows, then, careful = 0, after, CAREFUL_TENANTS
        swept += rows
        careful -= careful > 0 and then != after
        after = then
        await asyncio.sleep(PAUSE_S)
    return swept


async def purge_tenants(tenants: TenantStore, *, after_s: int) -> int:
    """Those whose grace is over, and those of which somebody began it, one after the other; how many rows that was. One
    that does not go keeps those after it from nothing."""
    purged, due = 0, [""]
    while due := await tenants.due_for_purge(after_s=after_s, after=due[-1], limit=TENANTS):
        for tenant_id in due:
            try:
                purged += await _purge(tenants, tenant_id, after_s)
            except (Conflict, NotFound):  # somebody restored it meanwhile, or purged it
                continue
            except Exception as error:  # noqa: BLE001  (whatever it is that one tenant's rows meet)
                log_error(error, detail="A tenant was passed over: it was not purged to its end.")
    return purged


async def _purge(tenants: TenantStore, tenant_id: str, after_s: int) -> int:
    """To its end, or until another worker is found at it."""
    purged = 0
    await tenants.begin_purge(tenant_id, after_s=after_s)
    async with aclosing(tenants.purge_steps(tenant_id)) as steps:
        async for rows in steps:
            if not rows:
                break
            purged += rows
            await asyncio.sleep(PAUSE_S)
    return purged
