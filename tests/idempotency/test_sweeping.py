"""Kept answers go after a day: in the background, in small steps, whatever else goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from identity.api.sweeping import STEP_ROWS, sweeping
from identity.settings import Settings
from identity.stores import Stores, open_stores
from tests.conftest import Organisation, settings_for
from tests.idempotency.keyed import calling
from tests.idempotency.stalls import someone_waits
from tests.idempotency.worker import Death, Worker, serve, working
from tests.server import Database, execute

MODULE = import_module("identity.api.sweeping")
EVERY_S = 0.05
MONTH_S = 30 * 86400
OLD_ROWS = 10_000
YOUNG_ROWS = 100
FILL = """
INSERT INTO identity.idempotency_keys (tenant_id, caller, id, request_hash, status, answer, created_at)
SELECT %s, 'key:' || n %% 50, sha256(random()::text::bytea), 'x', 201, 'x',
       clock_timestamp() - %s::interval - random() * interval '50 seconds' FROM generate_series(1, %s) AS n
"""
LEFT = """
SELECT count(*) FILTER (WHERE old), count(*) FILTER (WHERE NOT old)
  FROM (SELECT created_at < clock_timestamp() - interval '24 hours' AS old FROM identity.idempotency_keys) AS kept
"""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
COUNT_STEPS = """
CREATE TABLE public.steps (rows int, pid int);
CREATE FUNCTION public.count_step() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO public.steps SELECT count(*), pg_backend_pid() FROM gone HAVING count(*) > 0; RETURN NULL;
END $$;
CREATE TRIGGER count_step AFTER DELETE ON identity.idempotency_keys REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION public.count_step();
"""


def serve_sweeping(settings: Settings, listening: socket.socket, death: Death | None) -> None:
    vars(MODULE)["EVERY_S"] = EVERY_S
    serve(settings, listening, death)


def fill(own: Database, org: Organisation, *, old: int, young: int = 0) -> None:
    execute(own.admin_url, FILL, org.id, "24 hours", old)
    execute(own.admin_url, FILL, org.id, "23 hours 58 minutes", young)


async def only_the_young_are_left(own: Database, young: int, within_s: float = 20) -> None:
    for _ in range(int(within_s / 0.05)):
        if execute(own.admin_url, LEFT) == [(0, young)]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(execute(own.admin_url, LEFT))


@pytest.fixture(autouse=True)
def nothing_kept(own: Database, here: Organisation) -> None:
    execute(own.admin_url, "DELETE FROM identity.idempotency_keys")


@contextmanager
def counting_steps(own: Database) -> Iterator[None]:
    execute(own.admin_url, COUNT_STEPS)
    yield
    execute(own.admin_url, "DROP FUNCTION public.count_step CASCADE")


async def test_two_workers_take_ten_thousand_away_in_small_steps_and_the_young_stay(
    own: Database, here: Organisation, own_settings: Settings
) -> None:
    deadlocks = execute(own.admin_url, DEADLOCKS)
    fill(own, here, old=OLD_ROWS, young=YOUNG_ROWS)
    with counting_steps(own), ExitStack() as stack:
        workers = [stack.enter_context(working(own_settings, run=serve_sweeping)) for _ in range(2)]
        await only_the_young_are_left(own, YOUNG_ROWS)
        for worker in workers:
            worker.process.terminate()
            assert ended_well(worker)
    steps = execute(own.admin_url, "SELECT max(rows), sum(rows), count(*) FROM public.steps")
    assert steps == [(STEP_ROWS, OLD_ROWS, OLD_ROWS // STEP_ROWS)]
    assert execute(own.admin_url, LEFT) == [(0, YOUNG_ROWS)]
    assert execute(own.admin_url, DEADLOCKS) == deadlocks


def ended_well(worker: Worker) -> bool:
    """uvicorn, when it has shut down, ends by the signal that it was sent."""
    worker.process.join(3)
    return worker.process.exitcode == -signal.SIGTERM


@pytest.fixture
async def stores(own: Database) -> AsyncIterator[Stores]:
    async with open_stores(settings_for(own)) as found:
        yield found


async def test_steps_of_different_sizes_that_meet_end_in_no_deadlock(
    stores: Stores, own: Database, here: Organisation
) -> None:
    deadlocks = execute(own.admin_url, DEADLOCKS)
    fill(own, here, old=OLD_ROWS)
    execute(own.admin_url, "ANALYZE identity.idempotency_keys")

    async def take() -> None:
        for _ in range(100):
            await stores.idempotency.sweep(limit=random.choice((10, 100, 300, 500, 700)))

    await asyncio.gather(*(take() for _ in range(8)))
    assert execute(own.admin_url, LEFT) == [(0, 0)]
    assert execute(own.admin_url, DEADLOCKS) == deadlocks


async def test_who_meets_a_sweep_does_not_wait_for_it(stores: Stores, own: Database, here: Organisation) -> None:
    fill(own, here, old=2)
    async with stores.transaction() as tx:
        assert await tx.idempotency.sweep(limit=1) == 1
        async with asyncio.timeout(1):
            assert await stores.idempotency.sweep(limit=2) == 0
    assert await stores.idempotency.sweep(limit=2) == 1


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "EVERY_S", EVERY_S)


@contextmanager
def shut(own: Database) -> Iterator[None]:
    """No connection to this database, and none to be had."""
    elsewhere = make_conninfo(own.admin_url, dbname="postgres")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    execute(elsewhere, allow.format(sql.Identifier(own.name), sql.SQL("false")))
    execute(elsewhere, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", own.name)
    try:
        yield
    finally:
        execute(elsewhere, allow.format(sql.Identifier(own.name), sql.SQL("true")))


@pytest.mark.usefixtures("often")
async def test_it_outlives_a_database_that_is_away(stores: Stores, own: Database, here: Organisation) -> None:
    async with sweeping(stores, purge_after_s=MONTH_S):
        fill(own, here, old=10)
        await only_the_young_are_left(own, 0)
        with shut(own):
            await asyncio.sleep(2)
        fill(own, here, old=10, young=1)
        await only_the_young_are_left(own, 1)


@pytest.mark.usefixtures("often")
async def test_it_outlives_an_error_that_nobody_thought_of_and_tells_it(
    stores: Stores, own: Database, here: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    async with sweeping(stores, purge_after_s=MONTH_S):
        execute(own.admin_url, "REVOKE DELETE ON identity.idempotency_keys FROM identity_platform")
        try:
            fill(own, here, old=10)
            await asyncio.sleep(1)
            assert execute(own.admin_url, LEFT) == [(10, 0)]
        finally:
            execute(own.admin_url, "GRANT DELETE ON identity.idempotency_keys TO identity_platform")
        await only_the_young_are_left(own, 0)
    assert any('"error": "InsufficientPrivilege"' in message for message in caplog.messages)


async def test_a_worker_that_sweeps_ends_at_once_also_in_the_middle_of_a_step(
    own: Database, here: Organisation, own_settings: Settings
) -> None:
    fill(own, here, old=10)
    with psycopg.connect(own.admin_url) as gate, working(own_settings, run=serve_sweeping) as worker:
        async with calling(worker.url, here.admin_key.key) as api:
            assert (await api.get("/v1/keys/whoami")).status_code == 200
        gate.execute("LOCK TABLE identity.idempotency_keys")
        await someone_waits(own)
        worker.process.terminate()
        assert await asyncio.to_thread(ended_well, worker)
