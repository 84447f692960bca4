"""Tenants and keys by the thousand, made in seconds: over HTTP each key would cost a commit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from identity.key_text import CHECKSUM_CHARS, SECRET_CHARS, compose, hash_secret, new_random_id, new_secret

KEYS_A_ROUND = 10
"""Every tenth key of a tenant is alike, and each of the ten hangs on something that the nine others do not hang on."""

TENANTS = """
INSERT INTO identity.tenants (id, name)
SELECT %(prefix)s || '-' || n, 'Tenant ' || n FROM generate_series(1, %(count)s) AS n
"""
APPS = """
INSERT INTO identity.apps (tenant_id, id, name, type)
SELECT t.id, a.id, a.id, a.type
  FROM identity.tenants AS t, (VALUES ('identity', 'service'), ('shop', 'web'), ('till', 'mobile')) AS a (id, type)
 WHERE t.id LIKE %(prefix)s || '-%%'
"""
BRANCHES = """
INSERT INTO identity.branches (tenant_id, app_id, id, code, name, type)
SELECT id, 'shop', 'mad', 'MAD', 'Madrid', 'store' FROM identity.tenants WHERE id LIKE %(prefix)s || '-%%'
"""
USERS = """
INSERT INTO identity.users (tenant_id, id, username, username_canonical)
SELECT t.id, 'user-' || n, 'user-' || n, 'user-' || n
  FROM identity.tenants AS t, generate_series(0, 9) AS n WHERE t.id LIKE %(prefix)s || '-%%'
"""
ACCESS = """
INSERT INTO identity.user_apps (tenant_id, app_id, user_id)
SELECT t.id, a.id, 'user-' || n
  FROM identity.tenants AS t, (VALUES ('shop'), ('till')) AS a (id), generate_series(0, 9) AS n
 WHERE t.id LIKE %(prefix)s || '-%%'
"""
REFS = "SELECT id, ref FROM identity.tenants WHERE id LIKE %(prefix)s || '-%%' ORDER BY length(id), id"
KEYS = """
COPY identity.app_keys (tenant_id, id, app_id, branch_id, user_id, prefix, secret_hash, name, scopes) FROM STDIN
"""


class Key(NamedTuple):
    """A key that the database has, and its text."""

    tenant_id: str
    app_id: str
    branch_id: str | None
    user_id: str | None
    id: str
    text: str


@dataclass(frozen=True)
class Filled:
    """Keys by tenant, and of each tenant the key that may verify them."""

    callers: list[Key]
    keys: list[Key]

    def by_tenant(self) -> Iterator[list[Key]]:
        each = len(self.keys) // len(self.callers)
        return (self.keys[start : start + each] for start in range(0, len(self.keys), each))


def fill(url: str, prefix: str, *, tenants: int, keys_each: int) -> Filled:
    """As a superuser. Keys have no foreign key judged one by one: what they name was made a moment ago."""
    given: dict[str, Any] = {"prefix": prefix, "count": tenants}
    with psycopg.connect(url) as connection:
        for statement in (TENANTS, APPS, BRANCHES, USERS, ACCESS):
            connection.execute(statement, given)
        refs: list[tuple[str, str]] = connection.execute(REFS, given).fetchall()
        callers = [_key(id, ref, "identity", None, None) for id, ref in refs]
        keys = [_of(id, ref, n) for id, ref in refs for n in range(keys_each)]
        connection.execute("SET LOCAL session_replication_role = replica")
        with connection.cursor().copy(KEYS) as copy:
            for key in callers:
                copy.write_row(_row(key, "{keys:verify}"))
            for key in keys:
                copy.write_row(_row(key, "{orders:read,orders:write}"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return Filled(callers, keys)


def _of(tenant_id: str, ref: str, n: int) -> Key:
    """Its place in the chain: the eighth of ten has the branch to itself, the tenth is alone in its app."""
    kind = n % KEYS_A_ROUND
    app_id, branch_id = ("till", None) if kind == 9 else ("shop", "mad" if kind == 7 else None)
    return _key(tenant_id, ref, app_id, branch_id, f"user-{kind}")


def _key(tenant_id: str, ref: str, app_id: str, branch_id: str | None, user_id: str | None) -> Key:
    id = ref + new_random_id()
    return Key(tenant_id, app_id, branch_id, user_id, id, compose("isk", "live", id, new_secret()))


def _row(key: Key, scopes: str) -> tuple[Any, ...]:
    secret = key.text[-SECRET_CHARS - CHECKSUM_CHARS : -CHECKSUM_CHARS]
    name = f"key {secrets.token_hex(4)}"
    return (key.tenant_id, key.id, key.app_id, key.branch_id, key.user_id, "isk", hash_secret(secret), name, scopes)
