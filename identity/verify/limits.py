"""Taking from what limits a key. PostgreSQL decides, in one statement for all that wait: so it is exact on any number
of workers and hosts. What takes is never asked again, or it could take twice."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count, islice, zip_longest
from math import ceil
from typing import Any, NamedTuple

from identity.errors import Unavailable
from identity.verify.batch import Batch
from identity.verify.lane import ask
from identity.verify.lanes import Lanes
from identity.verify.statements import SLOTS

PATIENCE_S = 0.7
"""How long a key may be held by somebody else before it is 503."""
PAUSE_S = 0.002
MAX_TAKES = 32
"""In one statement: while it is carried out the worker would else have nothing to do."""
MAX_TURNS = 8
"""Statements of one batch, each of which is a commit: nobody keeps all others waiting by asking for many costs."""


class Taken(NamedTuple):
    """Whether there was enough of all, and what is left."""

    code: str
    """valid, rate_limited or credits_exhausted."""
    credits: int | None = None
    rate_limits: tuple[dict[str, Any], ...] = ()
    """Of each its name, limit, what remains, and after how many seconds the first of what was taken is given back."""


class Ask(NamedTuple):
    """Those who ask the same of one key are one row of the statement, and told how many of them there is room for."""

    tenant_id: str
    key_id: str
    cost: int
    costs: tuple[tuple[str, int], ...]

    def row(self, times: int) -> dict[str, Any]:
        key = {"tenant_id": self.tenant_id, "key_id": self.key_id}
        return {**key, "cost": self.cost, "costs": dict(self.costs), "times": times}


class Room(NamedTuple):
    """What the statement says of one Ask."""

    granted: int
    credits: int | None
    windows: list[dict[str, Any]]
    at_s: float

    @classmethod
    def of(cls, row: Any) -> Room:
        granted, credits, windows, at_s = row[2:]
        return cls(int(granted), None if credits is None else int(credits), json.loads(windows), float(at_s))

    def deal(self, ask: Ask, nth: int) -> Taken:
        """To the nth of those who asked, as if they had come one after the other."""
        later = max(self.granted - nth - 1, 0)
        return Taken(
            "valid" if nth < self.granted else self._refusal(),
            None if self.credits is None else self.credits + later * ask.cost,
            tuple(self._told(window, later) for window in self.windows),
        )

    def _refusal(self) -> str:
        return (
            "rate_limited" if any(self._left(each, 0) < each["cost"] for each in self.windows) else "credits_exhausted"
        )

    def _left(self, window: dict[str, Any], later: int) -> int:
        return max(int(window["limit"] - window["used"] - (self.granted - later) * window["cost"]), 0)

    def _told(self, window: dict[str, Any], later: int) -> dict[str, Any]:
        first = window["first"]
        if first is None and self.granted * window["cost"]:
            first = window["slot"]
        ends_s = 0.0 if first is None else (first + SLOTS + 1) * window["window_s"] / SLOTS - self.at_s
        left = self._left(window, later)
        return {"name": window["name"], "limit": window["limit"], "remaining": left, "reset_s": max(ceil(ends_s), 0)}


class Taking(NamedTuple):
    """One who asks, until it is told."""

    ask: Ask
    since_s: float
    tell: Callable[[Taken | None], object]


class Limits:
    """Takes for all verifications of a worker, over its lanes."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._loop = asyncio.get_running_loop()
        self._names = map(str, count())
        self._asked: dict[str, Taking] = {}

    async def take(self, ask: Ask, since_s: float) -> Taken:
        """All limits or none. Unavailable where nobody knows whether it took."""
        told: asyncio.Future[Taken | None] = self._loop.create_future()

        def tell(taken: Taken | None) -> None:
            if not told.done():
                told.set_result(taken)

        self.take_then(ask, since_s, tell)
        taken = await told
        if taken is None:
            raise Unavailable
        return taken

    def take_then(self, ask: Ask, since_s: float, tell: Callable[[Taken | None], object]) -> None:
        """Likewise, for who is told without a task, which costs more; None where it would be Unavailable."""
        self._join(Taking(ask, since_s, tell))

    def _join(self, taking: Taking) -> None:
        name = next(self._names)
        try:
            batch = self._lanes.join(self._take, (name,), self._lanes.now_s, once=True, most=MAX_TAKES)
        except Unavailable:
            taking.tell(None)
        else:
            self._asked[name] = taking
            batch.then(partial(self._told, name))
            self._lanes.go()

    def _told(self, name: str, batch: Batch) -> None:
        taking = self._asked.pop(name)
        taken = None if batch.has_failed else batch.answer.get(name)
        if taken is None and not batch.has_failed and self._lanes.now_s - taking.since_s < PATIENCE_S:
            self._loop.call_later(PAUSE_S, self._join, taking)  # somebody else had the key's row
        else:
            taking.tell(taken)

    async def _take(self, names: list[str]) -> dict[str, Taken]:
        """For whoever still waits when it is sent: who was told 503 meanwhile takes nothing. Of those who ask for
        different costs of one key but so many have their turn; the others ask again."""
        asking: dict[Ask, list[str]] = defaultdict(list)
        for name in names:
            if taking := self._asked.get(name):
                asking[taking.ask].append(name)
        found: dict[str, Taken] = {}
        for asks in islice(_in_turn(asking), MAX_TURNS):
            waiting = {its: [name for name in asking[its] if name in self._asked] for its in asks}
            found |= await _dealt({its: names for its, names in waiting.items() if names})
        return found


async def _dealt(waiting: Mapping[Ask, list[str]]) -> dict[str, Taken]:
    if not waiting:
        return {}
    rows = await ask(b"take", json.dumps([its.row(len(names)) for its, names in waiting.items()]).encode())
    rooms = {(row[0], row[1]): Room.of(row) for row in rows}
    found: dict[str, Taken] = {}
    for its, names in waiting.items():
        if room := rooms.get((its.tenant_id.encode(), its.key_id.encode())):
            found |= {name: room.deal(its, nth) for nth, name in enumerate(names)}
    return found


def _in_turn(asks: Iterable[Ask]) -> Iterator[list[Ask]]:
    """No key twice in one statement, which could not see what it takes itself."""
    by_key: dict[tuple[str, str], list[Ask]] = defaultdict(list)
    for its in asks:
        by_key[its.tenant_id, its.key_id].append(its)
    for turn in zip_longest(*by_key.values()):
        yield [its for its in turn if its is not None]
