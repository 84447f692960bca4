"""Migrations: yoyo's files and steps, inside one lock, each applied and marked in one transaction."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import Migration, MigrationList, default_migration_table, read_sql_migration

from identity.db import Session, in_scope
from identity.errors import BehindMigrations, StartError

LOCK = 7308332045171
"""Of the advisory lock that one applier at a time holds: any number that nobody else uses."""
LOCK_WAIT_S = 60.0
OWNER = {"role": "identity_owner", "search_path": "identity", "lock_timeout": "3s"}

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
APPLIED = "SELECT id, sha256 FROM identity.applied_migrations ORDER BY id"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """A migration that is to be applied, and what it would do."""

    id: str
    statements: list[str]
    transactional: bool


@dataclass(frozen=True)
class Status:
    """Which migrations a database has, and which of ours it lacks."""

    applied: list[str]
    pending: list[str]


def directory(name: str) -> Path:
    """schema/ or migrations/: beside the package in a checkout, inside it in a wheel."""
    inside = Path(str(resources.files("identity"))) / name
    return inside if inside.is_dir() else inside.parents[1] / name


def read(source: Path | None = None) -> MigrationList:
    found = read_migrations(str(source or directory("migrations")))
    return found.replace(sorted(found, key=lambda migration: migration.id))


def ids() -> list[str]:
    return sorted(
        path.stem for path in directory("migrations").glob("*.sql") if not path.name.endswith(".rollback.sql")
    )


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


def make_roles(url: str) -> None:
    """Runs schema/roles.sql; by any login that is superuser, or has CREATEROLE and owns the database."""
    script = (directory("schema") / "roles.sql").read_text(encoding="utf-8")
    with _connect(url) as connection:
        for tries_left in reversed(range(20)):
            try:
                connection.execute(script.encode())
            except psycopg.errors.InternalError_:
                if not tries_left:
                    raise
                time.sleep(0.05)  # "tuple concurrently updated": another database of this cluster grants the same
            else:
                return


def make_login(url: str, name: str, *, with_password: bool = True) -> str | None:
    """The service's login: NOINHERIT, and a member of what the service becomes and of nothing else. Its password is
    made here and hashed before it is sent, so that no server log can hold it. None where it has no password."""
    password = secrets.token_urlsafe(32) if with_password else None
    with _connect(url) as connection, connection.transaction():
        pg16 = connection.info.server_version >= 160000
        login = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT").format(login))
        if password:
            hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(login, hashed))
        for role in ("identity_app", "identity_verifier", "identity_platform"):
            grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), login)
            connection.execute(grant + sql.SQL(" WITH INHERIT FALSE, SET TRUE") if pg16 else grant)
    return password


def login_exists(url: str, name: str) -> bool:
    with _connect(url) as connection:
        return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is not None


def plan(url: str, source: Path | None = None) -> list[Step]:
    """What apply would do, without doing it."""
    applied = _applied(url)
    migrations = read(source)
    _refuse_changed(applied, migrations)
    return [_step(migration) for migration in migrations if migration.id not in applied]


def _step(migration: Migration) -> Step:
    directives, _, statements = read_sql_migration(migration.path)
    return Step(migration.id, statements, directives.get("transactional", "true").lower() != "false")


def status(url: str, source: Path | None = None) -> Status:
    applied = _applied(url)
    return Status(list(applied), [migration.id for migration in read(source) if migration.id not in applied])


def apply(url: str, report: Report = lambda line: None, source: Path | None = None) -> list[str]:
    """Applies what is pending, and says what it applied. Several at once apply once; one that was killed is carried on."""
    make_roles(url)
    done = []
    with _locked(url, report), _backend(url) as backend:
        applied = {row[0]: row[1] for row in backend.execute(APPLIED).fetchall()}
        migrations = read(source)
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
    with _locked(url, report), _backend(url) as backend:
        applied = {row[0]: row[1] for row in backend.execute(APPLIED).fetchall()}
        migrations = {migration.id: migration for migration in read(source)}
        _refuse_changed(applied, read(source))
        for id in sorted(applied, reverse=True)[:count]:
            with _transaction_if(backend, migrations[id]):
                migrations[id].process_steps(backend, "rollback")
                backend.unmark_one(migrations[id])
                backend.connection.execute(UNMARK, {"id": id})
            report(f"rolled back {id}")
            done.append(id)
    return done


def _apply_one(backend: PostgresqlPsycopgBackend, migration: Migration) -> None:
    with _transaction_if(backend, migration):
        migration.process_steps(backend, "apply")
        backend.mark_one(migration)
        backend.connection.execute(MARK, {"id": migration.id, "sha256": _sha256(migration)})


@contextmanager
def _transaction_if(backend: PostgresqlPsycopgBackend, migration: Migration) -> Iterator[None]:
    """Doing and marking together; only what cannot run in a transaction (CONCURRENTLY) is marked after."""
    migration.load()
    try:
        if migration.use_transactions:
            with backend.transaction():
                yield
        else:
            yield
    except psycopg.errors.LockNotAvailable:
        raise StartError(
            f"{migration.id} did not get its lock within {OWNER['lock_timeout']}, since others use the table: nothing of it was done, run it again."
        ) from None


def _refuse_changed(applied: dict[str, str], migrations: MigrationList) -> None:
    known = {migration.id: migration for migration in migrations}
    for id, sha256 in applied.items():
        if id not in known:
            raise StartError(
                f"The migration {id} was applied, but its file is missing: bring it back, or use the newer version it came with."
            )
        if _sha256(known[id]) != sha256:
            raise StartError(
                f"The migration {id} was edited after it was applied: undo the edit, and put the change into a new migration."
            )


def _sha256(migration: Migration) -> str:
    return hashlib.sha256(Path(migration.path).read_bytes()).hexdigest()


def _applied(url: str) -> dict[str, str]:
    with _connect(url) as connection:
        try:
            connection.execute("SET ROLE identity_owner")
            return {row[0]: row[1] for row in connection.execute(APPLIED.encode()).fetchall()}
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidParameterValue):
            return {}


def _connect(url: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise StartError(
            f"The database cannot be reached by the login that migrates: {str(error).strip().splitlines()[-1]}"
        ) from None


@contextmanager
def _locked(url: str, report: Report) -> Iterator[None]:
    """One at a time. Polled: a session that waits for a lock holds a snapshot, and CREATE INDEX CONCURRENTLY waits for
    all snapshots, so two appliers would wait for each other for ever. A killed applier's lock goes with its session."""
    with _connect(url) as connection:
        until_s = time.monotonic() + LOCK_WAIT_S
        while not connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:  # type: ignore[index]
            if time.monotonic() > until_s:
                raise StartError(
                    f"Another migration has been running for {LOCK_WAIT_S:.0f} s: wait for it, or end it, and run this again."
                )
            time.sleep(0.1)
        yield


@contextmanager
def _backend(url: str) -> Iterator[PostgresqlPsycopgBackend]:
    """yoyo's own, inside our lock: its lock row would survive a kill -9, and everyone then wait for ever."""
    parts = conninfo_to_dict(url)
    parts["options"] = " ".join(
        [str(parts.get("options") or ""), *(f"-c {name}={value}" for name, value in OWNER.items())]
    ).strip()
    database = parts.pop("dbname", None)
    with PostgresqlPsycopgBackend(
        DatabaseURI("postgresql+psycopg", None, None, None, None, database, parts), default_migration_table
    ) as backend:
        if not backend.list_tables():
            backend.create_lock_table()
        backend.break_lock()
        backend.ensure_internal_schema_updated()
        backend.connection.execute(MAKE_TABLE)
        yield backend
