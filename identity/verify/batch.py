"""Look-ups that travel together: who waits for a batch is answered by a statement that is sent after they joined."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from identity.errors import Unavailable
from identity.verify.lane import Work

Carry = Callable[[list[str]], Work]
"""Asks what a batch waits for, by its names, and returns the answer for all of it."""

MAX_NAMES = 200
"""In one statement: a thousand keys would keep a lane from everybody else for 30 ms."""


class Shared(asyncio.Future[None]):
    """Awaited by many: one of them that is cancelled does not cancel it for the others."""

    def cancel(self, msg: Any = None) -> bool:
        return False


class Batch:
    """Look-ups that wait for one statement, which is not sent yet."""

    __slots__ = ("answer", "carry", "done", "hedged", "names", "once", "sent_s", "since_s", "waiting")

    def __init__(self, carry: Carry, since_s: float, loop: asyncio.AbstractEventLoop, *, once: bool = False) -> None:
        self.carry = carry
        self.once = once
        """What takes is never asked again, whatever becomes of its lane: nobody knows whether it took."""
        self.since_s = since_s
        """When the first of those arrived who wait."""
        self.sent_s: float | None = None
        self.names: dict[str, None] = {}
        self.done = Shared(loop=loop)  # which it would else ask the system for
        self.waiting: list[Callable[[Batch], None]] = []
        self.answer: Any = None
        self.hedged = once

    @property
    def is_full(self) -> bool:
        return len(self.names) >= MAX_NAMES

    def then(self, tell: Callable[[Batch], None]) -> None:
        """Called when it has ended or failed, at once: to wake a task costs more. It must not raise."""
        self.waiting.append(tell)

    def end(self, answer: Any) -> None:
        if not self.done.done():
            self.answer = answer
            self.done.set_result(None)
            self._tell()

    def fail(self) -> None:
        if not self.done.done():
            self.done.set_exception(Unavailable())
            self.done.exception()  # whoever waited may have left
            self._tell()

    def _tell(self) -> None:
        for tell in self.waiting:
            tell(self)
        self.waiting.clear()
