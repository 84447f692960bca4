"""Holding a request up at a chosen statement, for as long as a test likes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.server import Database, execute

GATE = 4711
FUNCTION = f"""
CREATE OR REPLACE FUNCTION public.stall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW;
END $$
"""
AT = {
    "effect": "CREATE TRIGGER stall BEFORE INSERT ON identity.users",
    "keeping": "CREATE TRIGGER stall BEFORE INSERT ON identity.idempotency_keys",
    "commit": "CREATE CONSTRAINT TRIGGER stall AFTER INSERT ON identity.idempotency_keys DEFERRABLE INITIALLY DEFERRED",
}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@contextmanager
def stalled(own: Database, at: str, when: str = "true") -> Iterator[psycopg.Connection]:
    """Whoever comes to this point with such a row waits until the block ends, or the connection that it is given
    commits. (In another process: here the end of the block would wait for it, and it for this loop.)"""
    with psycopg.connect(own.admin_url) as gate:
        if at == "looking":
            gate.execute("LOCK TABLE identity.idempotency_keys")
            yield gate
            return
        execute(own.admin_url, FUNCTION)
        execute(own.admin_url, f"{AT[at]} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION public.stall()")
        gate.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))
        try:
            yield gate
        finally:
            gate.rollback()
            table = AT[at].split(" ON ")[1].split()[0]
            execute(own.admin_url, sql.SQL(f"DROP TRIGGER stall ON {table}"))


async def someone_waits(own: Database) -> None:
    for _ in range(500):
        if execute(own.admin_url, WAITING) != [(0,)]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")
