"""PostgreSQL and two workers, each on a port of its own, so that a client knows who answers it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from identity import embedded
from identity.cli.start import SERVICE_LOGIN
from identity.embedded.place import DATABASE, SOCKET_NAME
from identity.errors import StartError
from tests.load.service import Database, Process, database, serving
from tests.prove.proxy import Proxy, proxy

LAUNCHER = (sys.executable, "-m", "tests.prove.launcher", "serve")
WORKERS = 2
LANES = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'identity lane' ORDER BY backend_start, pid
"""


@dataclass(frozen=True)
class Worker:
    """A service with one worker, whose lanes go through a proxy."""

    process: Process
    lanes: Proxy


class Site:
    """What the faults befall."""

    def __init__(self, data_dir: Path, flags: Mapping[str, str]) -> None:
        self._data_dir = data_dir
        self._flags = flags
        self._postgres = ExitStack()
        self.database: Database = self._postgres.enter_context(database(data_dir, flags))
        self.workers: list[Worker] = []

    @property
    def ports(self) -> list[int]:
        return [worker.process.port for worker in self.workers]

    async def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """As a superuser."""
        async with await psycopg.AsyncConnection.connect(self.database.admin_url, autocommit=True) as connection:
            return await (await connection.execute(statement.encode())).fetchall()

    async def lanes(self) -> list[int]:
        """The backends of all lanes, the oldest first."""
        return [pid for (pid,) in await self.execute(LANES)]

    async def kill_postgres(self) -> None:
        """All at once: no backend says good-bye, nothing is written that was not."""
        process = self.database.server.process
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        await asyncio.to_thread(self._start_again)

    def _start_again(self) -> None:
        """Its backends notice that they are alone, and until they have gone it does not start."""
        self._postgres.close()
        for attempt in range(20):
            try:
                self.database = self._postgres.enter_context(database(self._data_dir, self._flags))
            except StartError:
                if attempt == 19:
                    raise
            else:
                return

    def close(self) -> None:
        self._postgres.close()


@asynccontextmanager
async def site(data_dir: Path, flags: Mapping[str, str] = embedded.DURABLE) -> AsyncIterator[Site]:
    found = await asyncio.to_thread(Site, data_dir, flags)
    async with AsyncExitStack() as stack:
        stack.callback(found.close)
        for _ in range(WORKERS):
            lanes = await stack.enter_async_context(proxy(str(found.database.server.home / SOCKET_NAME)))
            environment = found.database.environment | {"IDENTITY_LANES_DATABASE_URL": through(lanes)}
            starting = serving(environment, command=LAUNCHER)
            process = await asyncio.to_thread(stack.enter_context, starting)
            found.workers.append(Worker(process, lanes))
        yield found


def through(lanes: Proxy) -> str:
    return f"postgresql://{SERVICE_LOGIN}@127.0.0.1:{lanes.port}/{DATABASE}?sslmode=disable&gssencmode=disable"
