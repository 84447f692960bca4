"""The lanes of a worker, and the one rule: a look-up may only join a statement that is sent after it arrived, never one
in flight. So what was revoked before the question came is seen, on any number of workers and hosts."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from identity.db import Connection, settings_of
from identity.errors import Unavailable
from identity.verify.batch import MAX_NAMES, Batch, Carry
from identity.verify.lane import Lane
from identity.verify.opening import CONNECT_S, connect
from identity.verify.seen import Seen
from identity.verify.statements import SETTINGS

log = logging.getLogger(__name__)

HEDGE_S = 0.25
"""A lane that is silent for so long: what it was asked is asked again on another."""
REPLACE_S = 1.0
TICK_S = 0.05
ALONE = 2
"""Names in a statement: a caller's and that of the key it asks about."""
PAUSE_S = 0.1


class Lanes:
    """Two or so connections, past any pooler, each of which carries one batch at a time."""

    def __init__(self, conninfo: str, size: int, timeout_s: float, on_lost: Callable[[], None], seen: Seen) -> None:
        self._conninfo = settings_of(conninfo, statement_timeout=int(timeout_s * 1000), **SETTINGS)
        self._size = size
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._idle: list[Lane] = []
        self._lanes: dict[Lane, str] = {}
        self._queue: deque[Batch] = deque()
        """Not sent yet, the oldest first."""
        self._joinable: dict[Carry, Batch] = {}
        """The last of each kind in the queue."""
        self._open: set[Batch] = set()
        """Not answered yet, wherever they are."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._kicked = False
        self._last_size = 0
        self.is_open = True
        self._wanted = asyncio.Semaphore(0)

    @property
    def now_s(self) -> float:
        return self._loop.time()

    def join(
        self, carry: Carry, names: Iterable[str], since_s: float, *, once: bool = False, most: int = MAX_NAMES
    ) -> Batch:
        """The batch that will be sent next, once it is told to go; never one that is on its way. Unavailable when the
        lanes are closed."""
        if not self.is_open:
            raise Unavailable
        batch = self._joinable.get(carry)
        if batch is None or batch.is_full or abs(since_s - batch.since_s) > HEDGE_S:  # each has a second of its own
            batch = self._new_batch(carry, since_s, once=once, most=most)
        for name in names:
            batch.names[name] = None
        if since_s < batch.since_s:
            batch.since_s = since_s
        return batch

    def go(self) -> None:
        """When all have joined who come together. Whoever comes alone, as the last one did, waits for no others."""
        if not self._queue:
            return
        if self._last_size <= ALONE and len(self._idle) == len(self._lanes):
            self._kick()
        elif self._idle and not self._kicked:
            self._kicked = True
            self._loop.call_soon(self._kick)

    def _new_batch(self, carry: Carry, since_s: float, *, once: bool = False, most: int = MAX_NAMES) -> Batch:
        batch = self._joinable[carry] = Batch(carry, since_s, self._loop, once=once, most=most)
        self._queue.append(batch)
        self._open.add(batch)
        batch.then(self._open.discard)
        return batch

    def _dequeue(self, batch: Batch) -> None:
        """From now on nobody joins it."""
        self._queue.remove(batch)
        if self._joinable.get(batch.carry) is batch:
            del self._joinable[batch.carry]

    def _kick(self) -> None:
        """Each idle lane takes a batch, the oldest first."""
        self._kicked = False
        while self._queue and self._idle:
            batch = self._queue[0]
            self._dequeue(batch)
            batch.sent_s = self.now_s
            self._last_size = len(batch.names)
            self._seen.batch_sizes.observe(self._last_size)
            self._seen.lane_waits_s.observe(batch.sent_s - batch.since_s)
            lane = self._idle.pop()
            lane.carry(batch.carry(list(batch.names)), partial(self._done, lane, batch))

    def _done(self, lane: Lane, batch: Batch, answer: Any, error: BaseException | None) -> None:
        if lane in self._lanes:
            self._idle.append(lane)
        try:
            self._kick()  # first, so that the lane does not wait until all have their answers
        finally:
            self._hand_out(batch, answer, error)

    def _hand_out(self, batch: Batch, answer: Any, error: BaseException | None) -> None:
        if error is None:
            batch.end(answer)
        elif isinstance(error, Unavailable) and not batch.once:
            self._ask_again(batch)
        else:
            batch.fail()
            if not isinstance(error, Unavailable):
                raise error

    def _ask_again(self, batch: Batch) -> None:
        """Who waits for it waits for what is sent next too, as if they had come now."""
        if batch.is_done or not self.is_open:
            return
        again = self._new_batch(batch.carry, self.now_s, most=batch.most)
        again.names = dict(batch.names)
        again.then(lambda _: None if again.has_failed else batch.end(again.answer))
        self._kick()

    async def _watch(self) -> None:
        """What has waited too long is told so; what is on a silent lane is asked again elsewhere; and a lane that stays
        silent is replaced, one at a time: a checkpoint must not start a storm of connections."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._look_around()
            except Exception as error:  # a bug, of which nobody else would hear; without a watch some wait for ever
                log.error("Lanes could not be watched.", exc_info=error)

    def _look_around(self) -> None:
        for batch in [*self._open]:
            self._look_after(batch, self.now_s)
        silent = [lane for lane in self._lanes if lane.asked_at_s and self.now_s - lane.asked_at_s >= REPLACE_S]
        if silent and len(self._lanes) == self._size:
            silent[0].lose()

    def _look_after(self, batch: Batch, now_s: float) -> None:
        if now_s - batch.since_s >= self._timeout_s:
            batch.fail()
            if batch.sent_s is None:
                self._dequeue(batch)
        elif batch.sent_s is not None and now_s - batch.sent_s >= HEDGE_S and not batch.hedged:
            batch.hedged = True
            self._seen.hedges += 1
            self._ask_again(batch)

    async def open(self, *, check: Callable[[Connection], Awaitable[object]]) -> None:
        """All lanes. Whoever logs in is judged once; Unavailable where the database is."""
        for n in range(self._size):
            await self._add(check if n == 0 else None)
        self._start(self._watch())
        self._start(self._replace())

    async def _add(self, check: Callable[[Connection], Awaitable[object]] | None = None) -> None:
        connection, started_at = await connect(self._conninfo, check)
        lane = Lane(connection, self._forget)
        for other in [other for other, its in self._lanes.items() if its != started_at]:
            other.lose()  # it still speaks to the server that was before a failover
        self._lanes[lane] = started_at
        self._idle.append(lane)
        self._on_lost()  # once more, now that the new one is there
        self._kick()

    def _forget(self, lane: Lane) -> None:
        """A lane is lost: nobody knows what happened meanwhile, so all is forgotten, now and once it is replaced."""
        if self._lanes.pop(lane, None) is None:
            return
        if lane in self._idle:
            self._idle.remove(lane)
        self._on_lost()
        self._wanted.release()

    async def _replace(self) -> None:
        while True:
            await self._wanted.acquire()
            self._seen.lane_replacements += 1
            while True:
                try:
                    await self._add()
                    break
                except Unavailable:
                    await asyncio.sleep(PAUSE_S)
                except Exception as error:  # likewise
                    log.error("A lane could not be replaced.", exc_info=error)
                    await asyncio.sleep(CONNECT_S)

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self.is_open = False
        self._queue.clear()
        self._joinable.clear()
        for batch in [*self._open]:
            batch.fail()
        while self._tasks:  # more than once: a task whose wait ends just then misses that it is cancelled
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=TICK_S)
        for lane in [*self._lanes]:
            lane.lose()


@asynccontextmanager
async def open_lanes(
    conninfo: str,
    *,
    size: int,
    timeout_s: float,
    on_lost: Callable[[], None],
    seen: Seen,
    check: Callable[[Connection], Awaitable[object]],
) -> AsyncIterator[Lanes]:
    lanes = Lanes(conninfo, size, timeout_s, on_lost, seen)
    try:
        await lanes.open(check=check)
        yield lanes
    finally:
        await lanes.close()
