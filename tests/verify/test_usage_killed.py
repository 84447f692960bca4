"""A worker that is killed while it writes its counts loses what it had not sent, and nothing is counted twice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import pytest

from identity.settings import Settings
from identity.verify import usage as module
from identity.verify.usage import AT_ONCE, Usage, open_usage
from tests.conftest import Organisation
from tests.forks import FORKS
from tests.idempotency.worker import When
from tests.server import Database, execute

CODES = [f"code{n}" for n in range(2 * AT_ONCE + 1)]
"""So that there are three statements in a flush."""
ROUNDS = 3
STATEMENTS = 1 + ROUNDS * 3
"""The first is the sweep of workers that are gone."""
COUNTS = "SELECT code, count::int FROM identity.key_usage WHERE tenant_id = %s"

TENANT_AND_KEY = tuple[str, str]


def write_and_die(settings: Settings, of: TENANT_AND_KEY, told: Connection, at: int, when: When) -> None:
    """Counts and writes, round by round, and is killed in one of its statements."""
    real, seen = vars(module)["bounded"], 0

    async def bounded(connection: Any, work: Awaitable[Any], timeout_s: float) -> Any:
        nonlocal seen
        seen += 1
        task = asyncio.ensure_future(work)
        if (seen, when) == (at, "during"):
            await asyncio.sleep(0)  # it is sent by its first step
            os.kill(os.getpid(), signal.SIGKILL)
        result = await real(connection, task, timeout_s)
        if (seen, when) == (at, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    async def write() -> None:
        usage = Usage(settings.lanes_url)
        for _ in range(ROUNDS):
            for code in CODES:
                usage.count(*of, code)
            assert await usage.flush()
            told.send("written")

    vars(module)["bounded"] = bounded
    asyncio.run(write())


@pytest.mark.parametrize("when", ["during", "after"])  # before one is after the one before it
@pytest.mark.parametrize("at", range(1, STATEMENTS + 1))
async def test_what_a_killed_worker_wrote_is_counted_once(
    org: Organisation, settings: Settings, database: Database, at: int, when: When
) -> None:
    here, there = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=write_and_die, args=(settings, (org.id, org.key.id), there, at, when))
    process.start()
    there.close()
    await asyncio.to_thread(process.join)
    assert process.exitcode == -signal.SIGKILL
    written = 0
    with suppress(EOFError):
        while here.recv():
            written += 1
    await asyncio.to_thread(until_nobody_writes, database)
    found = dict(execute(database.admin_url, COUNTS, org.id))
    assert {found.get(code, 0) for code in CODES} <= {written, written + 1}


def until_nobody_writes(database: Database) -> None:
    """What was sent before the end may still run."""
    busy = "SELECT FROM pg_stat_activity WHERE application_name = 'identity usage' AND datname = %s"
    while execute(database.admin_url, busy, database.name):
        time.sleep(0.02)


def count_until_told(settings: Settings, of: TENANT_AND_KEY, told: Connection) -> None:
    async def work() -> None:
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        async with open_usage(settings) as usage:
            await asyncio.sleep(1.2)
            for _ in range(7):
                usage.count(*of, "valid")
            told.send("counted")
            await ending.wait()

    asyncio.run(work())


async def test_the_last_second_is_written_at_sigterm(org: Organisation, settings: Settings, database: Database) -> None:
    here, there = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=count_until_told, args=(settings, (org.id, org.key.id), there))
    process.start()
    assert await asyncio.to_thread(here.recv) == "counted"
    process.terminate()
    await asyncio.to_thread(process.join, 5)
    assert process.exitcode == 0
    assert execute(database.admin_url, COUNTS, org.id) == [("valid", 7)]
