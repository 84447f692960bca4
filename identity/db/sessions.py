"""Where statements run: over a pool or in one transaction, always inside one tenant's scope."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from identity.db.meaning import AGAIN, GONE, meaning
from identity.errors import Unavailable

Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]
Params = dict[str, Any]
T = TypeVar("T")

RETRIES = 2


@dataclass(frozen=True)
class Scope:
    """Who acts. It travels with each statement, beside the tenant, for whoever audits in the database."""

    actor: str = ""
    request_id: str = ""
    address: str = ""

    def params(self) -> Params:
        return {"_actor": self.actor, "_request_id": self.request_id, "_address": self.address}


_IN_SCOPE = """
SET LOCAL ROLE {role}; SET LOCAL identity.tenant_id = %(tenant_id)s; SET LOCAL identity.actor = %(_actor)s;
SET LOCAL identity.request_id = %(_request_id)s; SET LOCAL identity.address = %(_address)s;
"""


def in_scope(statement: str, *, role: str = "identity_app") -> str:
    """The one place that opens a tenant's scope: it and the statement travel as one simple query, which is one
    round trip and one implicit transaction, and leaves nothing behind on the connection. Literal SET, since
    set_config() does not reach a distributed table's shards."""
    return _IN_SCOPE.format(role=role) + statement


class Session(Protocol):
    """Where statements run: over a pool, or inside one transaction. A store cannot tell which."""

    async def run(self, statement: str, params: Params, row_factory: Any) -> list[Any]:
        """One statement with its scope before it. Raises what its constraint means, or Unavailable."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """All or nothing; nested, it is a savepoint."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[Session]:
        """Where one statement may fail and those before it stay."""
        ...

    def acting_as(self, scope: Scope) -> Session: ...


@dataclass(frozen=True)
class PoolSession:
    """Each statement on any connection, in a transaction of its own."""

    pool: Pool
    timeout_s: float
    scope: Scope = Scope()

    def acting_as(self, scope: Scope) -> PoolSession:
        return PoolSession(self.pool, self.timeout_s, scope)

    async def run(self, statement: str, params: Params, row_factory: Any) -> list[Any]:
        for tries_left in reversed(range(RETRIES + 1)):
            try:
                async with checkout(self.pool) as connection:
                    work = _execute(connection, statement, params | self.scope.params(), row_factory)
                    return await bounded(connection, work, self.timeout_s)
            except psycopg.Error as error:
                if not (tries_left and isinstance(error, AGAIN)):
                    raise meaning(error) from error
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        try:
            async with checkout(self.pool) as connection, bounded_transaction(connection, self.timeout_s):
                yield TransactionSession(connection, self.timeout_s, self.scope)
        except psycopg.Error as error:
            raise meaning(error) from error

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[Session]:
        yield self


@dataclass(frozen=True)
class TransactionSession:
    """Every statement on one connection, in one transaction."""

    connection: Connection
    timeout_s: float
    scope: Scope

    def acting_as(self, scope: Scope) -> TransactionSession:
        return TransactionSession(self.connection, self.timeout_s, scope)

    async def run(self, statement: str, params: Params, row_factory: Any) -> list[Any]:
        try:
            work = _execute(self.connection, statement, params | self.scope.params(), row_factory)
            return await bounded(self.connection, work, self.timeout_s)
        except psycopg.Error as error:
            raise meaning(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with bounded_transaction(self.connection, self.timeout_s):
            yield self

    savepoint = transaction


async def _execute(connection: Connection, statement: str, params: Params, row_factory: Any) -> list[Any]:
    async with psycopg.AsyncClientCursor(connection, row_factory=row_factory) as cursor:
        await cursor.execute(statement, params)
        while cursor.nextset():
            pass
        return await cursor.fetchall() if cursor.description else []


async def bounded(connection: Connection, work: Awaitable[T], timeout_s: float) -> T:
    """Awaits work on a connection, and no longer: on a frozen connection a cancelled call returns after ten
    seconds, since cancelling asks the server first. So the socket is closed under it instead."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if not done:
            raise Unavailable
        return task.result()
    finally:
        if not task.done():
            connection.pgconn.finish()
            task.cancel()


@asynccontextmanager
async def bounded_transaction(connection: Connection, timeout_s: float) -> AsyncIterator[None]:
    """A transaction or savepoint whose own statements are bounded too: BEGIN is the first to meet a dead network."""
    transaction = connection.transaction()
    await bounded(connection, transaction.__aenter__(), timeout_s)
    try:
        yield
    except BaseException as error:
        leaving = transaction.__aexit__(type(error), error, error.__traceback__)
        if not await bounded(connection, leaving, timeout_s):
            raise
    else:
        await bounded(connection, transaction.__aexit__(None, None, None), timeout_s)


@asynccontextmanager
async def checkout(pool: Pool) -> AsyncIterator[Connection]:
    """A live connection of the pool. One that the server has closed meanwhile is known before anything is sent,
    so passing it over repeats nothing."""
    try:
        connection = await pool.getconn()
        while _has_died(connection):
            await connection.close()
            await pool.putconn(connection)
            connection = await pool.getconn()
    except GONE as error:
        raise Unavailable from error
    try:
        yield connection
    finally:
        await pool.putconn(connection)


def _has_died(connection: Connection) -> bool:
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    try:
        while poll.poll(0) and connection.pgconn.status == psycopg.pq.ConnStatus.OK:
            connection.pgconn.consume_input()  # first the server's last words, then the end
    except psycopg.OperationalError:
        return True
    return connection.pgconn.status != psycopg.pq.ConnStatus.OK
