"""Opening a pool, and refusing a login for which row-level security would be no wall."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from identity.db.sessions import Connection, Pool, bounded
from identity.errors import StartError

SECRETS_OF_A_DSN = ("password", "sslpassword", "passfile", "service")

CHECK_LOGIN = """
SELECT session_user::text AS login,
       bool_or(r.rolsuper) AS superuser,
       bool_or(r.rolbypassrls) AS bypasses,
       bool_or(n.nspowner = r.oid) AS owns,
       (SELECT array_agg(o.rolname::text ORDER BY o.rolname) FROM pg_roles AS o
         WHERE o.rolname <> session_user AND pg_has_role(session_user, o.oid, 'USAGE')) AS inherits,
       (SELECT array_agg(o.rolname::text ORDER BY o.rolname) FROM pg_roles AS o
         WHERE (o.rolname IN ('identity_owner', 'identity_reader') OR o.rolsuper OR o.rolbypassrls)
           AND o.rolname <> session_user
           AND pg_has_role(session_user, o.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                                     THEN 'SET' ELSE 'MEMBER' END)) AS may_become
  FROM pg_roles AS r LEFT JOIN pg_namespace AS n ON n.nspname = 'identity'
 WHERE r.rolname IN (session_user, current_user)
"""


def settings_of(conninfo: str, **options: object) -> str:
    """The conninfo with server settings added to those that it has."""
    given = str(conninfo_to_dict(conninfo).get("options") or "")
    added = " ".join(f"-c {name}={value}" for name, value in options.items())
    return make_conninfo(conninfo, options=f"{given} {added}".strip())


def secrets_in_dsn(dsn: str) -> list[str]:
    """Which parts of a DSN would be a secret at rest; ValueError where it is none, without quoting it."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise ValueError("must be a PostgreSQL URL or connection string") from None
    return [name for name in SECRETS_OF_A_DSN if parts.get(name)]


@asynccontextmanager
async def open_pool(
    conninfo: str,
    *,
    min_size: int,
    max_size: int,
    checkout_timeout_s: float,
    statement_timeout_s: float,
    lock_timeout_s: float,
    idle_timeout_s: float,
    prepare_threshold: int | None = None,
    **options: object,
) -> AsyncIterator[Pool]:
    """A pool that gives a connection or Unavailable within its timeout, also when the database is away. Nothing is
    prepared unless asked: behind a pooler in transaction mode a prepared statement meets another's."""
    timeouts = {
        "statement_timeout": int(statement_timeout_s * 1000),
        "lock_timeout": int(lock_timeout_s * 1000),
        "idle_in_transaction_session_timeout": int(idle_timeout_s * 1000),
        "timezone": "UTC",
    }
    pool: Pool = AsyncConnectionPool(
        settings_of(conninfo, **timeouts, **options),
        open=False,
        min_size=min_size,
        max_size=max_size,
        timeout=checkout_timeout_s,
        max_waiting=max_size * 100,
        reconnect_timeout=1.0,
        num_workers=2,
        configure=_configure,
        kwargs={
            "autocommit": True,
            "prepare_threshold": prepare_threshold,
            "connect_timeout": 2,
            "application_name": "identity",
        },
    )
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


def _whole(digits: str) -> int | float:
    """jsonb gives 1e300 back as a whole number of 301 digits, which nobody who reads 64 bits, as we do, would take."""
    return int(digits) if len(digits) <= 20 and -(2**63) <= int(digits) < 2**63 else float(digits)


json_loads = partial(json.loads, parse_int=_whole)


async def _configure(connection: Connection) -> None:
    set_json_loads(json_loads, connection)


async def check_login(connection: Connection, *, single_login: bool = False) -> str | None:
    """Refuses a login that could step over the wall; a warning where one that may SET ROLE to the owner is allowed.
    SET ROLE and RESET ROLE are judged by who logged in, so both that and the current user are looked at."""
    login, superuser, bypasses, owns, inherits, may_become = await bounded(connection, _check(connection), 5)
    mend = "run `identity init`, which makes a login that can do no more than the service needs"
    for is_so, what in (
        (superuser, "is a superuser"),
        (bypasses, "has BYPASSRLS"),
        (owns, "owns the schema"),
    ):
        if is_so:
            raise StartError(f"The login {login} {what}, so row-level security would not hold it: {mend}.")
    if inherits:
        others = ", ".join(inherits)
        raise StartError(
            f"The login {login} inherits {others} and its policies: ALTER ROLE {login} NOINHERIT, or {mend}."
        )
    if may_become:
        others = " and ".join(may_become)
        sentence = f"The login {login} may SET ROLE to {others}, so one injected statement would step over the wall"
        if not single_login or set(may_become) - {"identity_owner", "identity_reader"}:
            raise StartError(f"{sentence}: {mend} (IDENTITY_SINGLE_LOGIN=1 accepts it).")
        return f"{sentence}."
    return None


async def _check(connection: Connection) -> tuple[str, bool, bool, bool, list[str] | None, list[str] | None]:
    cursor = await connection.execute(CHECK_LOGIN)
    row = await cursor.fetchone()
    assert row is not None
    return row  # type: ignore[no-any-return]
