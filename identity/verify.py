"""Is this key good, for this? Each verdict is proved by a statement that was sent after the question arrived."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict

from identity.db import Connection, Pool, bounded, check_login, checkout, open_pool
from identity.errors import Unavailable
from identity.fields import Metadata, Scopes
from identity.key_text import KeyText, parse
from identity.settings import Settings

LIVE = """
SELECT k.tenant_id, k.app_id, k.branch_id, k.user_id, k.id AS key_id, k.name, k.type, k.environment, k.scopes,
       k.metadata, k.expires_at, k.prefix, k.secret_hash,
       CASE WHEN k.revoked_at IS NOT NULL            THEN 'revoked'
            WHEN k.disabled_at IS NOT NULL           THEN 'disabled'
            WHEN k.expires_at <= clock_timestamp()   THEN 'expired'
            WHEN t.deleted_at IS NOT NULL            THEN 'tenant_deleted'
            WHEN t.status = 'suspended'              THEN 'tenant_suspended'
            WHEN a.deleted_at IS NOT NULL            THEN 'app_deleted'
            WHEN a.status = 'disabled'               THEN 'app_disabled'
            WHEN b.deleted_at IS NOT NULL            THEN 'branch_deleted'
            WHEN b.status = 'disabled'               THEN 'branch_disabled'
            WHEN u.deleted_at IS NOT NULL            THEN 'user_deleted'
            WHEN u.status = 'suspended'              THEN 'user_suspended'
            WHEN u.status = 'locked'                 THEN 'user_locked'
            WHEN k.user_id IS NOT NULL AND g.status IS DISTINCT FROM 'active' THEN 'access_revoked'
            ELSE 'valid' END AS code
  FROM (SELECT asked.key_id, id, status, deleted_at
          FROM unnest(%(ids)s::text[]) AS asked (key_id)
          JOIN identity.tenants ON ref = left(asked.key_id, 6) OFFSET 0) AS t
  JOIN identity.app_keys AS k ON k.tenant_id = t.id AND k.id = t.key_id
  JOIN identity.apps AS a ON a.tenant_id = k.tenant_id AND a.id = k.app_id
  LEFT JOIN identity.branches AS b ON b.tenant_id = k.tenant_id AND b.app_id = k.app_id AND b.id = k.branch_id
  LEFT JOIN identity.users AS u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
  LEFT JOIN identity.user_apps AS g ON g.tenant_id = k.tenant_id AND g.app_id = k.app_id AND g.user_id = k.user_id
"""
"""The whole chain of each key, and the first link that fails. Prepared, and planned once for all. OFFSET 0 keeps the
planner from joining the keys by their tenant alone, which read every key of the tenant for each one asked."""

LANE = {
    "role": "identity_verifier",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""A custom plan would cost ten times the look-up; and of few keys the indexes know all, whatever a planner guesses."""


class Verification(BaseModel):
    """What is asked of a key. Its text may be any string: that it is none of ours is an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    scopes: Scopes = ()
    """All of these."""
    app_id: str | None = None
    branch_id: str | None = None
    environment: str | None = None
    ip: str | None = None


class Verdict(BaseModel):
    """Whether it is good, the first link of the chain that fails, and whose it is. Of a key that is not known, or
    whose secret is wrong, nothing else is told."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    code: str
    tenant_id: str | None = None
    app_id: str | None = None
    branch_id: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    name: str | None = None
    type: str | None = None
    environment: str | None = None
    scopes: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    expires_at: datetime | None = None

    def but(self, code: str) -> Verdict:
        return self.model_copy(update={"valid": False, "code": code})


MALFORMED = Verdict(valid=False, code="malformed")
NOT_FOUND = Verdict(valid=False, code="not_found")


def covers(granted: tuple[str, ...], scope: str) -> bool:
    """Exactly, or by a granted `*` or `orders:*`. (The database's identity.covers is the same rule.)"""
    return any(each in ("*", scope) or (each.endswith(":*") and scope.startswith(each[:-1])) for each in granted)


@dataclass(frozen=True)
class Verifier:
    """Looks keys up, each time anew, as a role that may read the chain of all tenants and nothing else."""

    pool: Pool
    timeout_s: float

    async def verify(self, asked: Verification) -> Verdict:
        """The whole chain, then what is asked for; the first that fails gives the code."""
        verdict = await self.look_up(asked.key)
        return _for_this(verdict, asked) if verdict.valid else verdict

    async def look_up(self, text: str) -> Verdict:
        """The key and its chain. Unavailable within timeout_s where the database does not answer."""
        key = parse(text)
        if key is None:
            return MALFORMED
        return _judged(key, await self._row(key.id))

    async def probe(self) -> None:
        """Unavailable where no look-up could be answered now."""
        await self._row("")

    async def _row(self, key_id: str) -> dict[str, Any] | None:
        try:
            async with checkout(self.pool) as connection:
                return await bounded(connection, _fetch(connection, key_id), self.timeout_s)
        except psycopg.OperationalError as error:
            raise Unavailable from error


async def _fetch(connection: Connection, key_id: str) -> dict[str, Any] | None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(LIVE, {"ids": [key_id]})
        return await cursor.fetchone()


def _judged(key: KeyText, row: dict[str, Any] | None) -> Verdict:
    """The secret first, in constant time: who has it wrong learns nothing."""
    if row is None or not hmac.compare_digest(row["secret_hash"], key.secret_hash):
        return NOT_FOUND
    if (row["prefix"], row["environment"]) != (key.prefix, key.environment):
        return NOT_FOUND
    return Verdict(valid=row["code"] == "valid", **row)


def _for_this(verdict: Verdict, asked: Verification) -> Verdict:
    if asked.environment not in (None, verdict.environment):
        return verdict.but("wrong_environment")
    if asked.app_id not in (None, verdict.app_id):
        return verdict.but("wrong_app")
    if asked.branch_id is not None and verdict.branch_id not in (None, asked.branch_id):
        return verdict.but("wrong_branch")
    if not all(covers(verdict.scopes or (), scope) for scope in asked.scopes):
        return verdict.but("insufficient_scope")
    return verdict


@asynccontextmanager
async def open_verifier(settings: Settings) -> AsyncIterator[Verifier]:
    """A few connections of its own, past any pooler."""
    async with open_pool(
        settings.lanes_url,
        min_size=settings.verify_connections,
        max_size=settings.verify_connections,
        checkout_timeout_s=min(settings.checkout_timeout_s, settings.verify_timeout_s),
        statement_timeout_s=settings.verify_timeout_s,
        lock_timeout_s=settings.verify_timeout_s,
        idle_timeout_s=settings.idle_in_transaction_timeout_s,
        prepare_threshold=0,
        **LANE,
    ) as pool:
        await check_login(pool, single_login=settings.single_login, variable="IDENTITY_LANES_DATABASE_URL")
        yield Verifier(pool, settings.verify_timeout_s)
