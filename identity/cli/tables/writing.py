"""Rows into the database, a batch in one transaction, and what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from identity.cli.tables.columns import Columns, Refused
from identity.cli.tables.judging import Candidate, Step, judge
from identity.cli.tables.nouns import Name, Noun, by_column
from identity.cli.tables.tabular import Row
from identity.errors import IdentityError, Unavailable
from identity.stores import Stores

PAUSES_S = (0.5, 2.0, 8.0)
"""Before each further try where the database does not answer."""
PIECES = 20
"""Into how many a batch is split that holds a row which the database refuses: 500 rows into 25, those into single."""


@dataclass(frozen=True)
class Refusal:
    """A row that was refused: which field of it, and why."""

    row: Row
    field: str
    reason: str


@dataclass
class Written:
    """What became of some rows."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    rows: int = 0
    """How many of those given were looked at; the others want a transaction of their own."""


class _Stopped(Exception):
    """The step, by its place, that the database refuses."""

    def __init__(self, place: int, error: IdentityError) -> None:
        super().__init__(error.detail)
        self.place = place
        self.error = error


@dataclass(frozen=True)
class Batches:
    """Writes batches of a noun. At the first refusal it stops, or leaves that row out."""

    noun: Noun
    columns: Columns
    stop: bool
    pauses_s: Sequence[float] = PAUSES_S

    async def write(self, stores: Stores, candidates: Sequence[Candidate]) -> Written:
        """The first of them that mean one record each. What meets a deadlock or a lost connection is tried again:
        nothing of it has happened; or all has, and then it changes nothing."""
        for pause_s in self.pauses_s:
            try:
                return await self._write(stores, candidates)
            except Unavailable:
                await asyncio.sleep(pause_s)
        return await self._write(stores, candidates)

    async def _write(self, stores: Stores, candidates: Sequence[Candidate]) -> Written:
        async with stores.transaction() as tx:
            held = await self._hold(tx, candidates)
            steps, written = self._judged(_distinct(candidates, held), held)
            steps = await self._but_known_hashes(tx, steps)
            refusals = await self._settle(tx, steps)
        written.refusals += refusals
        written.refusals.sort(key=lambda refusal: refusal.row.line)
        if self.stop:
            del written.refusals[1:]
            last = min((refusal.row.line for refusal in written.refusals), default=None)
            steps = [step for step in steps if last is None or step.row.line < last]
        left_out = {refusal.row.line for refusal in written.refusals}
        written.outcomes.update(step.outcome for step in steps if step.row.line not in left_out)
        return written

    async def _hold(self, tx: Stores, candidates: Sequence[Candidate]) -> dict[Name, object]:
        names = {candidate.name for candidate in candidates if candidate.name}
        found = await self.noun.hold(tx, by_column(self.noun, sorted(names)))
        return {name: record for record in found for name in self.noun.names(record)}

    def _judged(self, candidates: list[Candidate], held: dict[Name, object]) -> tuple[list[Step], Written]:
        steps, written = [], Written(rows=len(candidates))
        for candidate in candidates:
            record = held.get(candidate.name) if candidate.name else None
            try:
                steps.append(judge(self.noun, self.columns, candidate, record))
            except Refused as refused:
                written.refusals.append(Refusal(candidate.row, refused.field, refused.reason))
                if self.stop:
                    break
        return steps, written

    async def _but_known_hashes(self, tx: Stores, steps: list[Step]) -> list[Step]:
        """So that an import which is run again ends no session."""
        hashes = {step.record.id: step.hash for step in steps if step.record and step.hash}
        known = await self.noun.known_hashes(tx, hashes) if hashes else ()
        return [replace(step, hash=None) if step.record and step.record.id in known else step for step in steps]

    async def _settle(self, tx: Stores, steps: Sequence[Step]) -> list[Refusal]:
        """All steps but those that are refused; when it stops at the first, none after that."""
        try:
            async with tx.transaction() as savepoint:
                await self._apply(savepoint, steps)
        except _Stopped as stopped:
            refusal = self._refusal(steps[stopped.place], stopped.error)
            if self.stop:
                return await self._settle(tx, steps[: stopped.place]) or [refusal]
            if len(steps) == 1:
                return [refusal]
        else:
            return []
        size = -(-len(steps) // PIECES)
        pieces = [steps[start : start + size] for start in range(0, len(steps), size)]
        return [refusal for piece in pieces for refusal in await self._settle(tx, piece)]

    def _refusal(self, step: Step, error: IdentityError) -> Refusal:
        named = next((name for name in self.noun.shape.fields if name.rstrip("s") in error.code), "")
        if error.code == f"{self.noun.shape.noun}_taken":
            named = "id"
        column = self.columns.column_of((named,)) if named else ""
        return Refusal(step.row, column, f"{error.detail.rstrip('.')} ({error.code})")

    async def _apply(self, tx: Stores, steps: Sequence[Step]) -> None:
        places = range(len(steps))
        changing = [n for n in places if steps[n].changes and not steps[n].as_a_whole]
        with _naming(changing):
            changes = [(steps[n].record.id, steps[n].changes) for n in changing]  # type: ignore[union-attr]
            await self.noun.update_many(tx, dict(changes))
        for n in places:
            if steps[n].as_a_whole:
                with _naming([n]):
                    await self.noun.replace(tx, steps[n].new)
        creating = [n for n in places if steps[n].record is None]
        with _naming(creating):
            made = dict(zip(creating, await self.noun.create_many(tx, [steps[n].new for n in creating]), strict=True))
        records = {n: steps[n].record or made[n] for n in places}
        hashes = {records[n].id: hash for n in places if (hash := steps[n].hash)}
        if hashes:
            await self.noun.set_hashes(tx, hashes)
        for n in places:
            if status := steps[n].status:
                await self.noun.move(tx, records[n].id, records[n].status, status)


@contextmanager
def _naming(places: Sequence[int]) -> Iterator[None]:
    """An error of one of many rows names its step."""
    try:
        yield
    except Unavailable:
        raise
    except IdentityError as error:
        raise _Stopped(places[error.ordinal or 0], error) from error


def _distinct(candidates: Sequence[Candidate], held: dict[Name, object]) -> list[Candidate]:
    """Those before the first that means a record which an earlier one means too."""
    seen: set[Name] = set()
    records: set[int] = set()
    for n, candidate in enumerate(candidates):
        record = held.get(candidate.name) if candidate.name else None
        if candidate.names & seen or id(record) in records:
            return list(candidates[:n])
        seen |= candidate.names
        records |= {id(record)} if record else set()
    return list(candidates)
