"""Applying and taking back, inside one lock, each step applied and marked in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import Migration, MigrationList, default_migration_table

from identity.db import Session, in_scope
from identity.errors import BehindMigrations, StartError
from identity.migrate.files import Step, ids, read, sha256_of, step_of
from identity.migrate.logins import connect, make_roles

LOCK = 7308332045171
"""Of the advisory lock that one applier at a time holds: any number that nobody else uses."""
LOCK_WAIT_S = 60.0
OWNER = {
    "role": "identity_owner",
    "search_path": "identity",
    "lock_timeout": "3s",
    "client_connection_check_interval": "1s",
}
"""The last lets the server notice that an applier was killed while a long step runs."""

MAKE_TABLE = """
CREATE TABLE IF NOT EXISTS identity.applied_migrations (
    id         text COLLATE "C" PRIMARY KEY,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON identity.applied_migrations TO identity_app;
"""
MARK = "INSERT INTO identity.applied_migrations (id, sha256) VALUES (%(id)s, %(sha256)s)"
UNMARK = "DELETE FROM identity.applied_migrations WHERE id = %(id)s"
UNFINISHED = """
SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid
 WHERE NOT indisvalid AND c.relnamespace = 'identity'::regnamespace
"""
APPLIED = "SELECT id, sha256 FROM identity.applied_migrations ORDER BY id"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """Which migrations a database has, and which of ours it lacks."""

    applied: list[str]
    pending: list[str]


async def missing(session: Session) -> list[str]:
    """Which of our migrations the database lacks, asked as the service. Being ahead is no lack: old code runs on a
    newer schema."""
    try:
        rows = await session.run(in_scope(APPLIED), {"tenant_id": ""}, dict_row)
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.InvalidParameterValue,
    ):
        rows = []
    return sorted(set(ids()) - {row["id"] for row in rows})


async def must_not_be_behind(session: Session) -> None:
    if lacking := await missing(session):
        raise BehindMigrations(
            f"The database lacks {len(lacking)} migrations, the first being {lacking[0]}: run `identity migrate apply`."
        )


def plan(url: str, source: Path | None = None) -> list[Step]:
    """What apply would do, without doing it."""
    applied = _applied(url)
    migrations = read(source)
    _refuse_changed(applied, migrations)
    return [step_of(migration) for migration in migrations if migration.id not in applied]


def status(url: str, source: Path | None = None) -> Status:
    applied = _applied(url)
    return Status(list(applied), [migration.id for migration in read(source) if migration.id not in applied])


def apply(url: str, report: Report = lambda line: None, source: Path | None = None) -> list[str]:
    """What was pending, and is applied now. Several at once apply once; one that was killed is carried on."""
    make_roles(url)
    done = []
    with _locked_backend(url) as backend:
        applied, migrations = _applied_to(backend.connection), read(source)
        _refuse_changed(applied, migrations)
        for migration in migrations:
            if migration.id not in applied:
                _apply_one(backend, migration)
                report(f"applied {migration.id}")
                done.append(migration.id)
    return done


def rollback(url: str, count: int = 1, report: Report = lambda line: None, source: Path | None = None) -> list[str]:
    """Takes the last migrations back, newest first."""
    done = []
    with _locked_backend(url) as backend:
        applied, migrations = _applied_to(backend.connection), read(source)
        _refuse_changed(applied, migrations)
        last = sorted(applied, reverse=True)[:count]
        for migration in reversed([migration for migration in migrations if migration.id in last]):
            _roll_back_one(backend, migration)
            report(f"rolled back {migration.id}")
            done.append(migration.id)
    return done


def _apply_one(backend: PostgresqlPsycopgBackend, migration: Migration) -> None:
    with _step(backend, migration, "apply"), backend.transaction():
        backend.mark_one(migration)
        backend.connection.execute(MARK, {"id": migration.id, "sha256": sha256_of(migration)})


def _roll_back_one(backend: PostgresqlPsycopgBackend, migration: Migration) -> None:
    with _step(backend, migration, "rollback"), backend.transaction():
        backend.unmark_one(migration)
        backend.connection.execute(UNMARK, {"id": migration.id})


@contextmanager
def _step(backend: PostgresqlPsycopgBackend, migration: Migration, direction: str) -> Iterator[None]:
    """Does the step, then what is inside: in one transaction, but for a step that cannot run in one (CONCURRENTLY).
    That one is marked after, and so must bear to be done again."""
    migration.load()
    try:
        if not migration.use_transactions:
            _drop_unfinished_indexes(backend)
        with backend.transaction() if migration.use_transactions else nullcontext():
            migration.process_steps(backend, direction)
            yield
    except psycopg.errors.LockNotAvailable:
        raise StartError(
            f"{migration.id} did not get its lock within {OWNER['lock_timeout']}, since others use the table: "
            "nothing of it was done, run it again."
        ) from None
    except psycopg.Error as error:
        said = str(error).strip().splitlines()[0]
        raise StartError(f"{migration.id} failed, and nothing of it was kept: {said}.") from None


def _drop_unfinished_indexes(backend: PostgresqlPsycopgBackend) -> None:
    """CREATE INDEX CONCURRENTLY that was killed leaves an index that serves nothing, and its name taken."""
    for (name,) in backend.connection.execute(UNFINISHED).fetchall():
        backend.connection.execute(f"DROP INDEX CONCURRENTLY {name}")


def _refuse_changed(applied: dict[str, str], migrations: MigrationList) -> None:
    known = {migration.id: migration for migration in migrations}
    for id, sha256 in applied.items():
        if id not in known:
            raise StartError(
                f"The migration {id} was applied, but its file is missing: bring it back, or use the version with it."
            )
        if sha256_of(known[id]) != sha256:
            raise StartError(f"The migration {id} was edited after it was applied: undo that, and write a new one.")


def _applied_to(connection: psycopg.Connection[Any]) -> dict[str, str]:
    return dict(connection.execute(APPLIED.encode()).fetchall())


def _applied(url: str) -> dict[str, str]:
    with connect(url) as connection:
        try:
            connection.execute("SET ROLE identity_owner")
            return _applied_to(connection)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidParameterValue):
            return {}
        except psycopg.errors.InsufficientPrivilege:
            raise StartError(
                "This login may not become identity_owner: use the one that `migrate apply` ran as."
            ) from None


@contextmanager
def _locked_backend(url: str) -> Iterator[PostgresqlPsycopgBackend]:
    """yoyo's own session, holding our lock: its lock row would survive a kill -9, and everyone then wait for ever; a
    session's advisory lock goes with it, and not before it has ended."""
    parts = conninfo_to_dict(url)
    options = " ".join([str(parts.pop("options", "")), *(f"-c {name}={value}" for name, value in OWNER.items())])
    uri = DatabaseURI(
        "postgresql+psycopg", None, None, None, None, parts.pop("dbname", None), parts | {"options": options}
    )
    with PostgresqlPsycopgBackend(uri, default_migration_table) as backend:
        _wait_for_lock(backend)
        if not backend.list_tables():
            backend.create_lock_table()
        backend.break_lock()
        backend.ensure_internal_schema_updated()
        backend.connection.execute(MAKE_TABLE)
        yield backend


def _wait_for_lock(backend: PostgresqlPsycopgBackend) -> None:
    """One at a time. Polled: a session that waits for a lock holds a snapshot, and CREATE INDEX CONCURRENTLY waits for
    all snapshots, so two appliers would wait for each other for ever."""
    until_s = time.monotonic() + LOCK_WAIT_S
    while not backend.connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:
        if time.monotonic() > until_s:
            raise StartError(
                f"Another migration has been running for {LOCK_WAIT_S:.0f} s: wait for it, then run this again."
            )
        time.sleep(0.1)
