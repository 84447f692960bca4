"""A connection on its way to being a lane: made, judged, prepared, and known to be to the primary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import psycopg

from identity.db import Connection, bounded
from identity.errors import Unavailable
from identity.verify.statements import PREPARED, WHERE_WE_ARE

CONNECT_S = 2.0
"""How long a connection of the worker's own may take, past any pooler; and again, until it is ready."""


async def connect(
    conninfo: str, check: Callable[[Connection], Awaitable[object]] | None = None
) -> tuple[Connection, str]:
    """And when its server started. Unavailable where there is none, or none that answers in time."""
    try:
        connection: Connection = await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, connect_timeout=int(CONNECT_S), application_name="identity lane"
        )
    except psycopg.OperationalError as error:
        raise Unavailable from error
    try:
        return connection, await bounded(connection, _made_ready(connection, check), CONNECT_S)
    except BaseException as error:
        connection.pgconn.finish()
        if isinstance(error, psycopg.Error):
            raise Unavailable from error
        raise


async def _made_ready(connection: Connection, check: Callable[[Connection], Awaitable[object]] | None) -> str:
    """Unavailable where it is a replica, whose answers lag."""
    if check is not None:
        await check(connection)
    for name, statement in PREPARED.items():
        await connection.execute(f"PREPARE {name} AS {statement}".encode())
    [(is_replica, started_at)] = await (await connection.execute(WHERE_WE_ARE.encode())).fetchall()
    if is_replica:
        raise Unavailable
    return str(started_at)
