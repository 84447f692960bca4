"""The lock that `plan` names is the lock that PostgreSQL takes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from identity import migrate
from identity.cli.locks import TRIGGERED, WRITES, lock_of
from identity.migrate.files import step_of
from tests.operation.rows import fill
from tests.server import Database, new_database

Connection = psycopg.Connection[Any]

# Reading never waits for reading, so ACCESS SHARE is not named; nor is ROW SHARE, for the like reason.
HELD = r"""
SELECT l.relation::regclass::text, upper(regexp_replace(replace(l.mode, 'Lock', ''), '(?<=[a-z])(?=[A-Z])', ' ', 'g'))
  FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = relnamespace
 WHERE l.pid = %s AND l.granted AND n.nspname = 'identity' AND l.relation = ANY (%s)
   AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
"""
THERE = "SELECT oid FROM pg_class WHERE relnamespace = 'identity'::regnamespace AND relkind = 'r'"
STRENGTH = (
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
KEEPING_OTHERS = STRENGTH[STRENGTH.index("SHARE") :]
"""Who writes, or who looks up a key, waits until they are given back."""
LAST_WITHOUT_CARE = "0011_tenant_changes"
"""It and 0009 count what there is while writers wait; they are applied, and stay as they are."""
READ = "SELECT relid::regclass::text FROM pg_stat_xact_user_tables WHERE seq_scan > 0 AND relid = ANY (%s)"


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    with new_database() as found:
        fill(found.admin_url)
        yield found


@pytest.fixture
def owner(own: Database) -> Iterator[Connection]:
    with psycopg.connect(own.admin_url, options="-c role=identity_owner") as connection:
        yield connection
        connection.rollback()


def held(asking: Connection, pid: int, tables: list[int]) -> dict[str, str]:
    """Of each table that was there the strongest lock."""
    found = sorted(asking.execute(HELD, [pid, tables]), key=lambda row: STRENGTH.index(row[1]))
    return dict(found)


def is_as_named(taken: dict[str, str], statement: str, made: set[str] | None = None) -> bool:
    """What triggers write is not named one by one."""
    told = lock_of(statement, set() if made is None else made)
    found = re.fullmatch(r"([A-Z ]+) on (.+)", told.removesuffix(TRIGGERED))
    named = dict.fromkeys(found[2].split(", "), found[1]) if found else {}
    more = {table: lock for table, lock in taken.items() if table not in named and told.endswith(TRIGGERED)}
    return taken == named | more and set(more.values()) <= {WRITES}


def test_our_own_migrations_take_the_locks_that_are_named() -> None:
    with (
        new_database(empty=True) as empty,
        psycopg.connect(empty.admin_url, options="-c role=identity_owner -c search_path=public") as connection,
    ):
        migrate.make_roles(empty.admin_url)
        for step in map(step_of, migrate.read()):
            tables, made = [oid for (oid,) in connection.execute(THERE)], set[str]()
            connection.commit()
            connection.autocommit = not step.transactional
            for statement in step.statements:
                connection.execute(statement.encode())
                if connection.autocommit:
                    continue  # it keeps no lock to be seen: that of a concurrent step is seen below
                taken = held(connection, connection.info.backend_pid, tables)
                assert is_as_named(taken, statement, made), f"{step.id}: {statement}: {taken}"
                connection.commit()
            connection.autocommit = False


def test_no_migration_reads_a_table_through_while_it_keeps_others_from_it() -> None:
    with (
        new_database(empty=True) as empty,
        psycopg.connect(empty.admin_url, options="-c role=identity_owner -c search_path=public") as connection,
    ):
        migrate.make_roles(empty.admin_url)
        for step in map(step_of, migrate.read()):
            tables = [oid for (oid,) in connection.execute(THERE)]
            connection.execute("SELECT pg_stat_force_next_flush()")  # or READ tells of earlier steps too
            connection.commit()
            connection.autocommit = not step.transactional
            for statement in step.statements:
                connection.execute(statement.encode())
            if step.transactional and step.id > LAST_WITHOUT_CARE:
                locks = held(connection, connection.info.backend_pid, tables)
                kept = {table for table, lock in locks.items() if lock in KEEPING_OTHERS}
                read = {table for (table,) in connection.execute(READ, [tables])}
                assert not kept & read, step.id
            connection.commit()
            connection.autocommit = False


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE identity.users ADD COLUMN nickname text",
        "ALTER TABLE ONLY identity.users ALTER COLUMN full_name SET DEFAULT 'x'",
        "ALTER TABLE IF EXISTS identity.users DROP CONSTRAINT full_name_invalid",
        "ALTER TABLE identity.users ADD CONSTRAINT n CHECK (full_name <> 'x') NOT VALID",
        "ALTER TABLE identity.users VALIDATE CONSTRAINT full_name_invalid",
        "ALTER TABLE identity.users ADD CONSTRAINT t FOREIGN KEY (tenant_id) REFERENCES identity.tenants NOT VALID",
        "ALTER TABLE identity.users ADD FOREIGN KEY (tenant_id) REFERENCES identity.tenants",
        "ALTER TABLE identity.users ALTER COLUMN full_name SET STATISTICS 500",
        "ALTER TABLE identity.users SET (fillfactor = 70)",
        "ALTER TABLE identity.users DISABLE TRIGGER touch",
        "ALTER TABLE identity.users ENABLE ALWAYS TRIGGER touch",
        "ALTER TABLE identity.users ENABLE REPLICA TRIGGER touch",
        "ALTER TABLE identity.users ENABLE ROW LEVEL SECURITY",
        "CREATE INDEX ON identity.users (full_name)",
        "CREATE UNIQUE INDEX users_by_name ON ONLY identity.users (full_name)",
        "CREATE TRIGGER again BEFORE UPDATE ON identity.users FOR EACH ROW EXECUTE FUNCTION identity.touch()",
        "CREATE POLICY more ON identity.users FOR SELECT TO identity_platform USING (true)",
        "DROP POLICY verifier ON identity.users",
        "DROP TRIGGER touch ON identity.users",
        "-- a backfill\nUPDATE identity.users SET full_name = 'x'",
        "DELETE FROM identity.key_last_uses",
        "TRUNCATE identity.key_last_uses",
        "COMMENT ON TABLE identity.users IS 'x'",
        "COMMENT ON COLUMN identity.users.id IS 'x'",
        "GRANT SELECT ON identity.users TO identity_reader",
        "CREATE VIEW identity.v AS SELECT id FROM identity.users",
    ],
)
def test_the_lock_that_is_named_is_taken(owner: Connection, statement: str) -> None:
    tables = [oid for (oid,) in owner.execute(THERE)]
    owner.execute(statement.encode())
    assert is_as_named(held(owner, owner.info.backend_pid, tables), statement)


def test_dropping_an_index_is_said_to_stop_its_table(owner: Connection) -> None:
    assert lock_of("DROP INDEX identity.users_by_status", set()).startswith("ACCESS EXCLUSIVE on ")


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN DELETE FROM identity.users; END $$",
        "WITH one AS (SELECT 1) UPDATE identity.users SET full_name = 'x'",
        "SELECT identity.f()",
        "LOCK TABLE identity.users IN EXCLUSIVE MODE",
    ],
)
def test_what_cannot_be_told_is_not_promised_to_be_none(statement: str) -> None:
    assert not lock_of(statement, set()).startswith("none")


@pytest.mark.parametrize(
    ("statement", "on"),
    [
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_planted ON identity.users (full_name)", "identity.users"),
        ("DROP INDEX CONCURRENTLY identity.username_taken", "identity.username_taken"),
    ],
)
def test_a_concurrent_step_lets_reads_and_writes_through(own: Database, statement: str, on: str) -> None:
    with (
        psycopg.connect(own.admin_url) as writer,
        psycopg.connect(own.admin_url, autocommit=True) as asking,
        psycopg.connect(own.admin_url, autocommit=True) as concurrent,
    ):
        tables = [oid for (oid,) in asking.execute(THERE)]
        writer.execute("LOCK TABLE identity.users IN ROW EXCLUSIVE MODE")
        concurrent.pgconn.send_query(statement.encode())
        until_s = time.monotonic() + 10
        while not (taken := held(asking, concurrent.info.backend_pid, tables)):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        concurrent.cancel_safe()
        while concurrent.pgconn.get_result():
            pass
    assert taken == {"identity.users": "SHARE UPDATE EXCLUSIVE"}
    assert lock_of(statement, set()) == f"SHARE UPDATE EXCLUSIVE on {on}"
