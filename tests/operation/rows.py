"""A row for each table, so that migrations and their rollbacks run over data."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

ROWS = {
    "tenants": "INSERT INTO identity.tenants (id, name) VALUES ('acme', 'Acme')",
    "apps": "INSERT INTO identity.apps (tenant_id, id, name, type) VALUES ('acme', 'shop', 'Shop', 'web')",
    "branches": """INSERT INTO identity.branches (tenant_id, app_id, id, code, name, type)
                   VALUES ('acme', 'shop', 'mad', 'MAD', 'Madrid', 'store')""",
    "users": """INSERT INTO identity.users (tenant_id, id, username, username_canonical)
                VALUES ('acme', 'ana', 'ana', 'ana')""",
    "user_apps": "INSERT INTO identity.user_apps (tenant_id, app_id, user_id) VALUES ('acme', 'shop', 'ana')",
    "app_keys": """INSERT INTO identity.app_keys (tenant_id, id, app_id, branch_id, user_id, prefix, secret_hash, name)
                   VALUES ('acme', repeat('k', 22), 'shop', 'mad', 'ana', 'isk', sha256('k'), 'till')""",
    "key_last_uses": """INSERT INTO identity.key_last_uses (tenant_id, key_id, last_used_at)
                        VALUES ('acme', repeat('k', 22), clock_timestamp())""",
    "key_limits": "INSERT INTO identity.key_limits (tenant_id, key_id, remaining) VALUES ('acme', repeat('k', 22), 7)",
    "key_leaks": """INSERT INTO identity.key_leaks (tenant_id, key_id, number, source)
                    VALUES ('acme', repeat('k', 22), 1, 'code search')""",
    "key_usage": """INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
                    VALUES ('acme', repeat('k', 22), '2026-01-05T09:00Z', 'valid', 1)""",
    "usage_workers": "INSERT INTO identity.usage_workers (id, sequence) VALUES ('worker', 1)",
    "signing_keys": """INSERT INTO identity.signing_keys (id, public_key, private_key, starts_at)
                       VALUES ('thumbprint', '{}', 'sealed', '2026-01-05T09:00Z')""",
    "passwords": "INSERT INTO identity.passwords (tenant_id, user_id, hash) VALUES ('acme', 'ana', 'hash')",
    "password_resets": """INSERT INTO identity.password_resets (tenant_id, user_id, token_hash)
                          VALUES ('acme', 'ana', sha256('token'))""",
    "last_logins": """INSERT INTO identity.last_logins (tenant_id, user_id, last_login_at)
                      VALUES ('acme', 'ana', clock_timestamp())""",
    "sessions": """INSERT INTO identity.sessions (tenant_id, id, app_id, user_id, scopes, address, user_agent,
                                                  expires_at, ends_at)
                   VALUES ('acme', 'session', 'shop', 'ana', '{}', '192.0.2.7', 'browser', 'infinity', 'infinity')""",
    "refresh_tokens": """INSERT INTO identity.refresh_tokens (tenant_id, hash, session_id, expires_at)
                         VALUES ('acme', sha256('token'), 'session', 'infinity')""",
    "factors": "INSERT INTO identity.factors (tenant_id, id, user_id, secret) VALUES ('acme', 'totp', 'ana', 'sealed')",
    "recovery_codes": """INSERT INTO identity.recovery_codes (tenant_id, hash, factor_id)
                         VALUES ('acme', sha256('code'), 'totp')""",
    "sign_in_challenges": """INSERT INTO identity.sign_in_challenges (tenant_id, token_hash, app_id, user_id,
                                                                      password_changed_at, expires_at)
                             VALUES ('acme', sha256('token'), 'shop', 'ana', '2026-01-05T09:00Z', 'infinity')""",
    "invitations": """INSERT INTO identity.invitations (tenant_id, id, email, email_canonical, token_hash, expires_at)
                      VALUES ('acme', 'invitation', 'b@c', 'b@c', sha256('token'), 'infinity')""",
    "invitation_access": """INSERT INTO identity.invitation_access (tenant_id, invitation_id, app_id, scopes)
                            VALUES ('acme', 'invitation', 'shop', '{}')""",
    "sign_in_failures": "INSERT INTO identity.sign_in_failures (tenant_id, name, failures) VALUES ('acme', 'ana', 1)",
    "sign_in_limits": "INSERT INTO identity.sign_in_limits (subject, paid_until) VALUES ('address', 'infinity')",
    "idempotency_keys": """INSERT INTO identity.idempotency_keys (tenant_id, caller, id, request_hash, status, answer)
                           VALUES ('acme', 'key:k', 'id', 'hash', 201, 'sealed')""",
}
"""In the order in which they point at each other; what triggers fill (counters) is not here."""

TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'identity'::regnamespace AND relkind = 'r'
   AND relname !~ '^(_?yoyo_|applied_migrations)' ORDER BY relname
"""
SCHEMA = "SELECT FROM pg_namespace WHERE nspname = 'identity'"


def fill(url: str) -> None:
    """Every table that there is and that has no row yet."""
    there = rows(url)
    with psycopg.connect(url, options="-c role=identity_owner", autocommit=True) as connection:
        for table, insert in ROWS.items():
            if there.get(table) == []:
                connection.execute(insert.encode())


def rows(url: str) -> dict[str, list[Any]]:
    """What every table holds."""
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute(SCHEMA).fetchall():
            return {}
        connection.execute("SET ROLE identity_owner")
        tables = [name for (name,) in connection.execute(TABLES)]
        every = sql.SQL("SELECT to_jsonb(t) FROM identity.{} AS t ORDER BY 1")
        return {name: connection.execute(every.format(sql.Identifier(name))).fetchall() for name in tables}
