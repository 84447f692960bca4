"""Rows and stores: what repeats around a statement, written once, so that the statements can stand in plain sight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import psycopg
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from identity.db.meaning import GIVEN_TWICE
from identity.db.sessions import Params, Session, in_scope
from identity.db.sweeps import TENANTS_AT_ONCE, Swept
from identity.errors import Conflict, IdentityError, NotFound, PreconditionFailed, Unavailable
from identity.fields import Changes
from identity.filters import TIMEOUT, Search, too_expensive

T = TypeVar("T")

IfMatch = list[datetime] | None
"""The updated_at that a row must have for a conditional write, any one of them; None sets no condition."""


class Row(BaseModel):
    """What a table holds, as it may be shown: frozen, its fields named as the columns are."""

    model_config = ConfigDict(frozen=True)


R = TypeVar("R", bound=Row)


def columns(row: type[Row], *, but: tuple[str, ...] = ()) -> str:
    """The select list, by the type: so that a migration that adds a column breaks no running code."""
    return ", ".join(name for name in row.model_fields if name not in but)


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list, and the key after which the next part begins, or None at the end."""

    items: list[T]
    next: str | None
    count: int | None = None
    """How many there are on all pages, where that was asked."""


class Store(Generic[R]):
    """A table's statements run through these few; each statement is a constant above the class that runs it."""

    row: type[R]
    noun: str
    """Names its errors: user_not_found."""

    @property
    def taken(self) -> str:
        """The error where one row is given twice: the second finds it taken."""
        return f"{self.noun}_taken"

    def __init__(self, session: Session) -> None:
        self.session = session

    async def _run(
        self,
        statement: str,
        tenant_id: str,
        row_factory: Any = dict_row,
        role: str = "identity_app",
        **params: Any,
    ) -> list[Any]:
        return await self.session.run(in_scope(statement, role=role), {"tenant_id": tenant_id, **params}, row_factory)

    async def _rows(self, statement: str, tenant_id: str, **params: Any) -> list[R]:
        return await self._run(statement, tenant_id, class_row(self.row), **params)

    async def _first(self, statement: str, tenant_id: str, **params: Any) -> R | None:
        rows = await self._rows(statement, tenant_id, **params)
        return rows[0] if rows else None

    async def _one(self, statement: str, tenant_id: str, **params: Any) -> R:
        row = await self._first(statement, tenant_id, **params)
        if row is None:
            raise self.not_found()
        return row

    async def _page(
        self, statement: str, tenant_id: str, key: str, where: Search, after: str | None, limit: int, **params: Any
    ) -> Page[R]:
        """The statement says which rows there are; what is asked of them, their order and their number come behind it.
        One row more than was asked for tells whether there is a next page; `key` is the column that names a row."""
        asked = where.asked(key, after)
        params |= where.params() | asked.params
        before = TIMEOUT if where.is_bounded else ""
        with asking(where):
            rows: list[R] = []
            for tail in asked.tails:
                if len(rows) <= limit:
                    wanted = limit + 1 - len(rows)
                    rows += await self._rows(before + statement + tail, tenant_id, limit=wanted, **params)
            count = await self._count(before, statement + asked.matching, tenant_id, params) if where.count else None
        return Page(rows[:limit], where.next(key, rows[limit - 1]) if len(rows) > limit else None, count)

    async def _count(self, before: str, statement: str, tenant_id: str, params: Params) -> int:
        [found] = await self._run(f"{before}SELECT count(*) AS n FROM ({statement}) AS found", tenant_id, **params)
        return int(found["n"])

    async def _matched(self, statement: str, get: str, tenant_id: str, if_match: IfMatch, **params: Any) -> R:
        """The row that a conditional write made, or why it made none."""
        row = await self._first(statement, tenant_id, if_match=if_match, **params)
        if row is None:
            await self._one(get, tenant_id, **params)
            raise precondition_failed()
        return row

    async def _moved(self, statement: str, get: str, tenant_id: str, to: str, froms: Sequence[str], **params: Any) -> R:
        """A status that moves; where it is there already, the row as it is."""
        moved = await self._first(statement, tenant_id, to=to, froms=list(froms), **params)
        if moved is None:
            moved = await self._one(get, tenant_id, **params)
            if moved.model_dump()["status"] != to:
                raise Conflict("status_conflict", f"From its present status this {self.noun} cannot become {to}.")
        return moved

    async def _purge(self, statement: str, tenant_id: str, **params: Any) -> None:
        """The statement tells whether the row was a tombstone, and whether it is gone."""
        for found in await self._run(statement, tenant_id, **params):
            if found["purged"]:
                return
            if not found["deleted"]:
                raise Conflict("status_conflict", f"Only a deleted {self.noun} can be purged.")
            raise Conflict("purge_too_early", f"This {self.noun} was deleted too recently to be purged.")
        raise self.not_found()

    async def _swept(self, statement: str, limit: int) -> int:
        """How many rows of all tenants a step took; none also while another worker is at it."""
        return len(await self._run(statement, "", role="identity_platform", limit=limit))

    async def _swept_by_tenant(self, statement: str, after: str, tenants: int | None, **params: Any) -> Swept:
        """The statement tells how many rows it took of some tenants, and the last of these. Where it took any there
        may be more."""
        [found] = await self._run(
            statement, "", role="identity_platform", after=after, tenants=tenants or TENANTS_AT_ONCE, **params
        )
        return Swept(found["rows"], after if found["rows"] else found["last"])

    async def _bulk(
        self,
        statement: str,
        tenant_id: str,
        rows: list[Params],
        named_by: str = "id",
        row_factory: Any = None,
        **params: Any,
    ) -> list[Any]:
        """All rows in one statement, or none. The one that was wrong is named by its ordinal, which errors under
        row-level security do not tell: it is the last of the shortest run of rows that fails."""
        if not rows:
            return []
        factory = row_factory or class_row(self.row)
        try:
            async with self.session.savepoint() as session:
                return await type(self)(session)._run(statement, tenant_id, factory, **many(rows, named_by), **params)
        except Unavailable:
            raise
        except IdentityError as error:
            if error.code == GIVEN_TWICE:
                error.code = self.taken
            error.ordinal = (
                0 if len(rows) == 1 else await self._first_refused(statement, tenant_id, rows, named_by, params)
            )
            raise

    async def _first_refused(
        self, statement: str, tenant_id: str, rows: list[Params], named_by: str, params: Params
    ) -> int:
        passing, failing = 0, len(rows)
        while failing - passing > 1:
            middle = (passing + failing) // 2
            if await self._would_pass(statement, tenant_id, many(rows[:middle], named_by) | params):
                passing = middle
            else:
                failing = middle
        return passing

    async def _would_pass(self, statement: str, tenant_id: str, params: Params) -> bool:
        try:
            async with self.session.transaction() as trial:
                await type(self)(trial)._run(statement, tenant_id, **params)
                raise psycopg.Rollback
        except Unavailable:
            raise
        except IdentityError:
            return False
        return True

    async def _upserted(
        self,
        statement: str,
        tenant_id: str,
        rows: list[Params],
        named_by: str = "id",
        if_match: IfMatch = None,
        **params: Any,
    ) -> list[tuple[R, bool]]:
        """Each row as it is now, and whether it was created."""
        found = await self._bulk(statement, tenant_id, rows, named_by, dict_row, if_match=if_match, **params)
        if len(found) < len(rows):
            raise precondition_failed()
        return [(self.row(**each), each["created"]) for each in found]

    async def _update_one(
        self, statement: str, get: str, tenant_id: str, id: str, changes: Changes, if_match: IfMatch, **key: Any
    ) -> R:
        rows = many(patches({id: changes}), "key")
        return await self._matched(statement, get, tenant_id, if_match, id=id, **rows, **key)

    async def _update_all(
        self, statement: str, get_many: str, tenant_id: str, changes: Mapping[str, Changes], **key: Any
    ) -> list[R]:
        """All rows or none, in the order given; the first that there is not is named by its ordinal."""
        found: list[R] = await self._bulk(statement, tenant_id, patches(changes), "key", if_match=None, **key)
        if len(found) < len(changes):
            found = await self._rows(get_many, tenant_id, ids=list(changes), **key)
            there = {row.model_dump()["id"] for row in found}
            raise self.not_found(next((n for n, id in enumerate(changes) if id not in there), 0))
        return in_order(changes, found, "id")

    def not_found(self, ordinal: int | None = None) -> NotFound:
        return NotFound(f"{self.noun}_not_found", f"No such {self.noun}.", ordinal=ordinal)


def many(rows: list[Params], named_by: str) -> Params:
    """Rows for one statement, and apart from them the names by which it finds their records: of a literal array the
    planner knows the length; of a JSON document it guesses a hundred rows, and reads the table."""
    return {"rows": Jsonb(rows), "names": [row.get(named_by) for row in rows]}


def patches(changes: Mapping[str, Changes]) -> list[Params]:
    return [{"key": key, "changes": change.row()} for key, change in changes.items()]


def in_order(keys: Iterable[str], rows: Iterable[R], column: str, spelling: Callable[[str], str] = str) -> list[R]:
    """The rows in the order of their keys: statements return them in the order in which they lock."""
    found = {spelling(getattr(row, column)): row for row in rows}
    return [found[key] for key in keys]


def jsonb(value: Any) -> Jsonb:
    return Jsonb(value)


@contextmanager
def asking(where: Search) -> Iterator[None]:
    """What was stopped here was stopped for what was asked."""
    try:
        yield
    except Unavailable as error:
        if where.is_bounded and isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise too_expensive() from error
        raise


@contextmanager
def naming(ordinal: int) -> Iterator[None]:
    """Errors inside are about that one of many rows."""
    try:
        yield
    except IdentityError as error:
        error.ordinal = ordinal
        raise


def precondition_failed() -> PreconditionFailed:
    return PreconditionFailed("precondition_failed", "It has changed since you read it: read it again, then decide.")
