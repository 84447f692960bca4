"""The database as one of its roles sees it, in transactions of which nothing stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.conftest import Organisation
from tests.server import Database, execute

Connection = psycopg.Connection[Any]

DENIED = "42501"
ROLES = ("identity_app", "identity_verifier", "identity_platform")
BOOKKEEPING = (
    *("applied_migrations", "yoyo_lock", "_yoyo_log", "_yoyo_migration", "_yoyo_version"),
    *("usage_workers", "signing_keys", "sign_in_limits"),
)
"""No tenant's: of migrations, of the workers that write counts, of the installation, and of whoever asks."""
CHANGED_AT = datetime(2026, 1, 5, tzinfo=UTC)
"""When Ana's password was set."""
WITHIN_A_TRANSACTION = ("gathered_changes",)
"""Empty whenever anybody else could look, which a test of the counters holds it to."""


@contextmanager
def acting_as(url: str, role: str | None, tenant_id: str | None = None) -> Iterator[Connection]:
    with psycopg.connect(url) as connection:
        if role:
            enter(connection, role, tenant_id)
        yield connection
        connection.rollback()


def enter(connection: Connection, role: str, tenant_id: str | None = None) -> None:
    """As identity.db opens a tenant's scope."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    if tenant_id is not None:
        connection.execute(sql.SQL("SET LOCAL identity.tenant_id = {}").format(sql.Literal(tenant_id)))


def attempt(connection: Connection, statement: str | sql.Composed, *args: Any) -> int | str | None:
    """How many rows it returned or touched, or the SQLSTATE of its refusal; nothing of it stays."""
    text = statement.encode() if isinstance(statement, str) else statement
    try:
        with connection.transaction(force_rollback=True):
            found: int = connection.execute(text, args or None).rowcount
            return found
    except psycopg.Error as error:
        return error.sqlstate


def of_table(text: str, table: str) -> sql.Composed:
    """A statement about a table, and its column that names the tenant."""
    column = "id" if table == "tenants" else "tenant_id"
    return sql.SQL(text).format(table=sql.Identifier("identity", table), tenant_id=sql.Identifier(column))


def tables(database: Database) -> list[str]:
    """Whatever a tenant keeps rows in."""
    found = execute(
        database.admin_url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'identity'::regnamespace AND relkind IN ('r', 'p')"
        " AND relname <> ALL (%s) ORDER BY relname",
        [*BOOKKEEPING, *WITHIN_A_TRANSACTION],
    )
    return [name for [name] in found]


def rows_of(connection: Connection, table: str, tenant_id: str) -> list[dict[str, Any]]:
    """All that a table holds of a tenant, asked as who sees everything."""
    statement = of_table("SELECT to_jsonb(t) AS row FROM {table} AS t WHERE {tenant_id} = %s ORDER BY t::text", table)
    return [found["row"] for found in connection.cursor(row_factory=dict_row).execute(statement, [tenant_id])]


def use_everything(database: Database, org: Organisation) -> None:
    """So that no table is empty."""
    execute(
        database.admin_url,
        "INSERT INTO identity.key_last_uses (tenant_id, key_id, last_used_at) VALUES (%s, %s, now())",
        org.id,
        org.key.id,
    )
    execute(database.admin_url, "UPDATE identity.app_keys SET credits = '{}' WHERE id = %s", org.key.id)
    execute(
        database.admin_url,
        "INSERT INTO identity.key_limits (tenant_id, key_id, remaining) VALUES (%s, %s, 7)",
        org.id,
        org.key.id,
    )
    execute(
        database.admin_url,
        "INSERT INTO identity.app_keys (tenant_id, id, app_id, prefix, secret_hash, algorithm, name)"
        " VALUES (%s, %s, 'shop', 'isk', %s, 'sha256', 'imported')",
        org.id,
        org.key.id[:6] + "i" * 16,
        b"imported".ljust(32, b"\0"),
    )
    execute(
        database.admin_url,
        "INSERT INTO identity.key_leaks (tenant_id, key_id, number, source) VALUES (%s, %s, 1, 'code search')",
        org.id,
        org.key.id,
    )
    execute(
        database.admin_url,
        "INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)"
        " VALUES (%s, %s, date_trunc('hour', now()), 'valid', 1)",
        org.id,
        org.key.id,
    )
    execute(
        database.admin_url,
        "INSERT INTO identity.idempotency_keys (tenant_id, caller, id, request_hash, status, answer)"
        " VALUES (%s, 'key:k', 'id', 'hash', 201, 'sealed')",
        org.id,
    )
    statements = (
        "UPDATE identity.passwords SET changed_at = %(changed_at)s WHERE tenant_id = %(id)s",
        "INSERT INTO identity.password_resets (tenant_id, user_id, token_hash) VALUES (%(id)s, 'ana', sha256('reset'))",
        "INSERT INTO identity.sign_in_failures (tenant_id, name, failures) VALUES (%(id)s, 'ana', 3)",
        """INSERT INTO identity.recovery_codes (tenant_id, hash, factor_id)
           VALUES (%(id)s, sha256('code'), %(factor_id)s)""",
        """INSERT INTO identity.sign_in_challenges (tenant_id, token_hash, app_id, user_id, password_changed_at,
                                                    expires_at)
           VALUES (%(id)s, sha256('challenge'), 'shop', 'ana', %(changed_at)s, 'infinity')""",
        """INSERT INTO identity.refresh_tokens (tenant_id, hash, session_id, expires_at)
           VALUES (%(id)s, sha256('refresh'), %(session_id)s, 'infinity')""",
    )
    given = {
        "id": org.id,
        "factor_id": org.factor_id,
        "session_id": org.signed_in.session.session_id,
        "changed_at": CHANGED_AT,
    }
    with psycopg.connect(database.admin_url) as connection:
        for statement in statements:
            connection.execute(statement.encode(), given)
