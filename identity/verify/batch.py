"""Look-ups that travel together: who waits for a batch is answered by a statement that is sent after they joined."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any

from identity.errors import Unavailable
from identity.verify.lane import Work

log = logging.getLogger(__name__)

Carry = Callable[[list[str]], Work]
"""Asks what a batch waits for, by its names, and returns the answer for all of it."""

MAX_NAMES = 200
"""In one statement: a thousand keys would keep a lane from everybody else for 30 ms."""


class Shared(asyncio.Future[None]):
    """Awaited by many: one of them that is cancelled does not cancel it for the others."""

    def cancel(self, msg: Any = None) -> bool:
        return False


class Batch:
    """Look-ups that wait for one statement, which is not sent yet. Awaited, it gives the answer."""

    def __init__(
        self,
        carry: Carry,
        since_s: float,
        loop: asyncio.AbstractEventLoop,
        *,
        once: bool = False,
        most: int = MAX_NAMES,
    ) -> None:
        self.carry = carry
        self.most = most
        """Names."""
        self.once = once
        """What takes is never asked again, whatever becomes of its lane: nobody knows whether it took."""
        self.since_s = since_s
        """When the first of those arrived who wait."""
        self.sent_s: float | None = None
        self.names: dict[str, None] = {}
        self.hedged = once
        self.answer: Any = None
        self.is_done = False
        self.has_failed = False
        self._loop = loop
        self._awaited: Shared | None = None
        self._waiting: list[Callable[[Batch], None]] = []

    @property
    def is_full(self) -> bool:
        return len(self.names) >= self.most

    def then(self, tell: Callable[[Batch], None]) -> None:
        """Called at once when it has ended or failed: to wake a task costs more. It must not raise."""
        if self.is_done:
            tell(self)
        else:
            self._waiting.append(tell)

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.is_done:
            if self._awaited is None:
                self._awaited = awaited = Shared(loop=self._loop)
                self.then(lambda _: awaited.set_result(None))
            yield from self._awaited
        return self.result()

    def result(self) -> Any:
        """Unavailable where it failed."""
        if self.has_failed:
            raise Unavailable
        return self.answer

    def end(self, answer: Any) -> None:
        if not self.is_done:
            self.answer = answer
            self._tell()

    def fail(self) -> None:
        if not self.is_done:
            self.has_failed = True
            self._tell()

    def _tell(self) -> None:
        self.is_done = True
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            try:
                tell(self)
            except Exception as error:  # a bug of one must not leave the others waiting for ever
                log.error("Who waited for a statement could not be told.", exc_info=error)
