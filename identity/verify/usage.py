"""How often each key was verified, gathered in the worker and written each second. Nothing is ever counted twice: the
database keeps beside the counts which of each worker's are in."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg

from identity.db import Connection, bounded, settings_of
from identity.settings import Settings
from identity.verify.opening import CONNECT_S
from identity.verify.statements import SETTINGS, array

EVERY_S = 1.0
CLOSE_S = 2.0
"""How long the last second may take to be written."""
STATEMENT_S = 2.0
LOCK_S = 0.5
"""Less than the server waits before it looks for a deadlock: of two that meet, this is the one that gives way."""
AT_ONCE = 50
"""Counts in one statement. Of 500 it costs no less, and one in a hundred of those who verify meanwhile waits longer."""
MAX_WAITING = 200_000
"""Counts that wait while the database is away. Of keys beyond them nothing is counted."""
GIVE_UP_S = 3600.0
"""Counts of which nobody knows for so long whether they are in. (The row that could tell is swept after a day.)"""
USE_S = 60.0
"""A key's last use is written once in so long."""
HOUR_S = 3600

Name = tuple[str, str, str]
"""Tenant, key and code."""

_ADD = """
WITH part AS (
    INSERT INTO identity.usage_workers AS worker (id, sequence) VALUES (%(worker)s, %(sequence)s)
        ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence WHERE worker.sequence < excluded.sequence
    RETURNING sequence
), given AS MATERIALIZED (
    SELECT tenant_id, key_id, code, count, is_use
      FROM unnest(%(tenant_ids)s::text[], %(key_ids)s::text[], %(codes)s::text[], %(counts)s::bigint[],
                  %(uses)s::boolean[]) AS given (tenant_id, key_id, code, count, is_use)
     WHERE EXISTS (SELECT FROM part){and_so_on}
     ORDER BY key_id COLLATE "C", code COLLATE "C"
), used AS (
    INSERT INTO identity.key_last_uses AS old (tenant_id, key_id, last_used_at)
    SELECT tenant_id, key_id, least(clock_timestamp(), to_timestamp(%(hour)s) + interval '1 hour')
      FROM given WHERE is_use
        ON CONFLICT (tenant_id, key_id) DO UPDATE SET last_used_at = excluded.last_used_at
     WHERE old.last_used_at <= excluded.last_used_at - interval '1 minute'
)
INSERT INTO identity.key_usage AS old (tenant_id, key_id, hour, code, count)
SELECT tenant_id, key_id, to_timestamp(%(hour)s), code, count FROM given
    ON CONFLICT (tenant_id, key_id, hour, code) DO UPDATE SET count = old.count + excluded.count
"""

ADD = _ADD.format(and_so_on="")
"""Moves the worker's sequence and adds the counts, or does neither. The sequence's row is the first lock: a statement
that is sent again waits for the one before it. (Sorted by another collation than "C" it takes a third longer.)"""

ADD_OF_KEYS_THAT_ARE = _ADD.format(
    and_so_on="""
       AND EXISTS (SELECT FROM identity.app_keys AS key WHERE key.tenant_id = given.tenant_id AND id = key_id)"""
)
"""Where one of them is gone. Asked always, it would make counting half as dear again."""

SWEEP = """
DELETE FROM identity.usage_workers
 WHERE id IN (SELECT id FROM identity.usage_workers WHERE updated_at < now() - interval '1 day'
               ORDER BY id FOR UPDATE SKIP LOCKED)
"""

log = logging.getLogger("identity")


@dataclass
class Part:
    """Some counts of one hour, under the number with which they are sent until they are in."""

    sequence: int
    hour: int
    counts: list[tuple[Name, int]]
    uses: list[bool]
    sent_at_s: float | None = None
    """First, by the clock on the wall: another stands still while a virtual machine sleeps."""

    @property
    def params(self) -> dict[str, Any]:
        columns = {
            "tenant_ids": [tenant_id for (tenant_id, _, _), _ in self.counts],
            "key_ids": [key_id for (_, key_id, _), _ in self.counts],
            "codes": [code for (_, _, code), _ in self.counts],
            "counts": [str(count) for _, count in self.counts],
            "uses": ["t" if use else "f" for use in self.uses],
        }
        arrays = {name: array(texts).decode() for name, texts in columns.items()}
        return {"sequence": self.sequence, "hour": self.hour, **arrays}


class Usage:
    """What a worker has counted, on its way into the database over a connection of its own."""

    def __init__(self, conninfo: str) -> None:
        timeouts = {"statement_timeout": int(STATEMENT_S * 1000), "lock_timeout": int(LOCK_S * 1000)}
        self._conninfo = settings_of(conninfo, synchronous_commit="off", **timeouts, **SETTINGS)
        self._worker = secrets.token_hex(8)
        self._sequence = 0
        self._counted: dict[Name, int] = defaultdict(int)
        self._waiting: dict[int, dict[Name, int]] = {}
        """By the hour in which they were counted."""
        self._part: Part | None = None
        """Sent, and not known to be in."""
        self._used_at_s: dict[str, float] = {}
        self._connection: Connection | None = None
        self._is_away = False
        self._closing = asyncio.get_running_loop().create_future()
        self.lost = 0
        """Verifications that no count will ever tell of."""

    def count(self, tenant_id: str, key_id: str, code: str) -> None:
        """One verification of a key, and what came of it. On the hot path: it costs a dictionary's entry."""
        self._counted[tenant_id, key_id, code] += 1

    async def flush(self) -> bool:
        """Writes what was counted until now; False where it could not, and is kept."""
        try:
            gathered_s = self._gather()
            while self._part is not None or self._take_part():
                await self._send()
                if time.monotonic() - gathered_s >= EVERY_S:
                    gathered_s = self._gather()
        except Exception as error:
            self._disconnect()
            if not self._is_away:
                log.warning("Counts of use cannot be written, and are kept.", exc_info=error)
            self._is_away = True
            return False
        self._is_away = False
        return True

    async def write_each_second(self) -> None:
        """And once more when it is closed."""
        while not self._closing.done():
            await asyncio.wait({self._closing}, timeout=EVERY_S)
            await self.flush()

    async def close(self, writing: asyncio.Task[None]) -> None:
        self._closing.set_result(None)
        await asyncio.wait({writing}, timeout=CLOSE_S)
        writing.cancel()
        self._disconnect()

    def _gather(self) -> float:
        """Ends the present count, so that another begins. What waits is bounded."""
        counted, self._counted = self._counted, defaultdict(int)
        hour = int(time.time()) // HOUR_S * HOUR_S
        waiting = self._waiting.setdefault(hour, counted)
        if waiting is not counted:
            room = MAX_WAITING - sum(map(len, self._waiting.values()))
            for name, count in counted.items():
                if name not in waiting:
                    room -= 1
                if name in waiting or room >= 0:
                    waiting[name] += count
                else:
                    self.lost += count
        return time.monotonic()

    def _take_part(self) -> bool:
        """Some that wait, the oldest hour first; False where none do."""
        while self._waiting:
            hour, waiting = next(iter(self._waiting.items()))
            if counts := [waiting.popitem() for _ in range(min(AT_ONCE, len(waiting)))]:
                self._sequence += 1
                self._part = Part(self._sequence, hour, counts, [self._is_use(*name) for name, _ in counts])
                return True
            del self._waiting[hour]
        return False

    def _is_use(self, tenant_id: str, key_id: str, code: str) -> bool:
        """Whether it moves the key's last use. What is forgotten here, the statement still knows."""
        now_s = time.monotonic()
        if code != "valid" or now_s - self._used_at_s.get(key_id, float("-inf")) < USE_S:
            return False
        if len(self._used_at_s) >= MAX_WAITING:
            self._used_at_s.clear()
        self._used_at_s[key_id] = now_s
        return True

    async def _send(self) -> None:
        part = self._part
        assert part is not None
        connection = self._connection or await self._connect()
        now_s = time.time()
        part.sent_at_s = part.sent_at_s or now_s
        if now_s - part.sent_at_s > GIVE_UP_S:
            self.lost += sum(count for _, count in part.counts)
        else:
            await self._add(connection, {"worker": self._worker, **part.params})
        self._part = None

    async def _add(self, connection: Connection, params: dict[str, Any]) -> None:
        try:
            await bounded(connection, connection.execute(ADD, params), STATEMENT_S)
        except pg.ForeignKeyViolation:
            await bounded(connection, connection.execute(ADD_OF_KEYS_THAT_ARE, params), STATEMENT_S)

    async def _connect(self) -> Connection:
        """When there is something to write, not before; and the rows of workers that are long gone are swept."""
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            prepare_threshold=0,
            connect_timeout=int(CONNECT_S),
            application_name="identity usage",
        )
        self._connection = connection
        await bounded(connection, connection.execute(SWEEP), STATEMENT_S)
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None


@asynccontextmanager
async def open_usage(settings: Settings) -> AsyncIterator[Usage]:
    """Counts for as long as a worker runs; what the last second gathered is written at its end."""
    usage = Usage(settings.lanes_url)
    writing = asyncio.create_task(usage.write_each_second())
    try:
        yield usage
    finally:
        await usage.close(writing)
