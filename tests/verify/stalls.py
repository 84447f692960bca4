"""Holding a look-up up at one of its steps, for as long as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from identity.verify.batch import Batch
from identity.verify.lane import Lane, Rows


class Stall:
    """The first to come there waits until it is released; the others pass."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._released = asyncio.Event()

    async def __call__(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            await self._released.wait()

    def release(self) -> None:
        self._released.set()


STEPS = {
    "cold, before it is sent": (b"live", "before"),
    "cold, after the row is read": (b"live", "after"),
    "cold, before the answer": (b"live", "answer"),
    "warm, before it is sent": (b"proof", "before"),
    "warm, after the counter is read": (b"proof", "after"),
    "warm, before the changes are asked": (b"changes", "before"),
    "warm, after the changes are read": (b"changes", "after"),
    "warm, before the answer": (b"proof", "answer"),
}


@contextmanager
def stalled(step: str) -> Iterator[Stall]:
    statement, when = STEPS[step]
    stall = Stall()
    with pytest.MonkeyPatch.context() as patch:
        if when == "answer":
            _hold_answers(patch, stall)
        else:
            _hold_statements(patch, stall, statement, when)
        try:
            yield stall
        finally:
            stall.release()


def _hold_statements(patch: pytest.MonkeyPatch, stall: Stall, statement: bytes, when: str) -> None:
    send, deliver, asked, tasks = Lane._send, Lane._deliver, dict[Lane, bytes](), set[asyncio.Task[None]]()

    def go_on(step: Callable[..., None], *args: Any, held: bool) -> None:
        async def later() -> None:
            await stall()
            step(*args)

        if held and not stall.reached.is_set():
            tasks.add(asyncio.create_task(later()))
        else:
            step(*args)

    def sending(lane: Lane, name: bytes, params: tuple[bytes, ...]) -> None:
        asked[lane] = name
        go_on(send, lane, name, params, held=(name, when) == (statement, "before"))

    def delivering(lane: Lane, rows: Rows) -> None:
        go_on(deliver, lane, rows, held=(asked[lane], when) == (statement, "after"))

    patch.setattr(Lane, "_send", sending)
    patch.setattr(Lane, "_deliver", delivering)


def _hold_answers(patch: pytest.MonkeyPatch, stall: Stall) -> None:
    """The lane is free for the next batch already."""
    end, held = Batch.end, set[asyncio.Task[None]]()

    def end_later(batch: Batch, answer: Any) -> None:
        async def later() -> None:
            await stall()
            end(batch, answer)

        held.add(asyncio.create_task(later()))

    patch.setattr(Batch, "end", end_later)
