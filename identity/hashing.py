"""Hashing passwords: Argon2id, in a few threads behind a short queue."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError

from identity import password_hashes
from identity.errors import IdentityError

T = TypeVar("T")

MEMORY_KIB = 19 * 1024
PASSES = 2
NOBODYS = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${'A' * 22}${'A' * 43}"
"""In place of a hash that there is not: no password is known to make it, and to find that out costs as much."""
NICENESS = 10


class TooBusy(IdentityError):
    """As many passwords wait to be hashed as may. Worth another try."""

    status = 503

    def __init__(self) -> None:
        super().__init__("too_busy", "Too many passwords are being checked just now; try again shortly.")

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


KNOWN_SHARE = 4
"""Of so many places in the queue one is kept from strangers: they may be any number, and fill the rest."""


class Hasher:
    """Hashes and verifies passwords, in so many threads, while so many more may wait."""

    def __init__(self, *, threads: int, queue: int) -> None:
        self._argon2 = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(threads, "password", initializer=_step_back)
        self._room = threading.BoundedSemaphore(threads + queue)
        self._strangers_room = threading.BoundedSemaphore(threads + queue - queue // KNOWN_SHARE)

    async def hash(self, password: str, judge: Callable[[], None] = lambda: None) -> str:
        """Once it was judged, which takes its time too."""

        def work() -> str:
            judge()
            return self._argon2.hash(password)

        return await self._run(work)

    async def verify(self, hash: str | None, password: str, *, by_stranger: bool = False) -> bool:
        """Without a hash as dear as with one, and False."""
        found = await self._run(lambda: password_hashes.matches(hash or NOBODYS, password), by_stranger=by_stranger)
        return found and hash is not None

    def is_outdated(self, hash: str) -> bool:
        """Whether it was made otherwise than we make one now, here or by another system."""
        try:
            return self._argon2.check_needs_rehash(hash)
        except InvalidHashError:
            return True

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], T], *, by_stranger: bool = False) -> T:
        """The room is the work's until it is done: a client that goes away meanwhile frees none of it, or whoever
        asks and hangs up could have any number hashed at once."""
        leave = self._enter(self._strangers_room, self._room) if by_stranger else self._enter(self._room)
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: leave())
        return await asyncio.shield(asyncio.wrap_future(future))

    def _enter(self, *rooms: threading.BoundedSemaphore) -> Callable[[], None]:
        """All of them, or TooBusy and none."""
        with ExitStack() as entered:
            for room in rooms:
                if not room.acquire(blocking=False):
                    raise TooBusy
                entered.callback(room.release)
            return entered.pop_all().close


def _step_back() -> None:
    """Whoever verifies keys waits for nobody's password: the thread gives way to the event loop. (Elsewhere than on
    Linux niceness is the whole process's.)"""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@asynccontextmanager
async def open_hasher(*, threads: int, queue: int) -> AsyncIterator[Hasher]:
    hasher = Hasher(threads=threads, queue=queue)
    try:
        yield hasher
    finally:
        await asyncio.to_thread(hasher.close)
