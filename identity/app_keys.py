"""App keys: the API keys with which services call each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, get_args

from pydantic import Field

from identity import filters, key_text
from identity.db import IfMatch, Page, Row, Store, Swept, columns, in_order, sweep_by_tenant
from identity.errors import Conflict, NotFound
from identity.fields import Changes, Given, Instant, Metadata, Scopes, Slug, Text, unset
from identity.key_limits import (
    AllowedIps,
    AllowedRoute,
    AllowedRoutes,
    Credits,
    CreditsPatch,
    RateLimit,
    RateLimits,
)

Type = Literal["secret", "public", "restricted", "service"]
Environment = Literal["live", "test"]

PREFIXES: dict[Type, str] = {"secret": "isk", "public": "ipk", "restricted": "irk", "service": "isv"}
"""Not sk_, which scanners take for another vendor's."""


class Leak(Row):
    """Where a key was found, as it was told to us."""

    source: str
    url: str | None
    reported_at: datetime


class AppKey(Row):
    tenant_id: str
    id: str
    app_id: str
    branch_id: str | None
    user_id: str | None
    prefix: str
    type: Type
    environment: Environment
    name: str
    scopes: tuple[str, ...]
    metadata: Metadata
    expires_at: datetime | None
    disabled_at: datetime | None
    revoked_at: datetime | None
    revoke_reason: str | None
    algorithm: Literal["sha256", "sha512"] | None
    """By which its text was hashed where another system issued it; of a key that was issued here none."""
    prefix_shown: str | None
    """How such a key begins."""
    rotated_from: str | None
    credits: Credits | None
    rate_limits: tuple[RateLimit, ...]
    allowed_ips: tuple[str, ...]
    allowed_routes: tuple[AllowedRoute, ...]
    rotated_to: str | None
    """Its living successor, else the one that was revoked last."""
    last_used_at: datetime | None
    leaks: tuple[Leak, ...]
    """Up to ten reports of it; public keys are revoked by none."""
    created_at: datetime
    updated_at: datetime


class IssuedKey(AppKey):
    """A key as the call that makes it answers, this once with its text."""

    key: str


class NewAppKey(Given):
    name: Text
    type: Type = "secret"
    environment: Environment = "live"
    branch_id: Slug | None = None
    """Binds it to one branch of the app."""
    user_id: str | None = Field(default=None, min_length=1, max_length=128)
    """Its owner, with whom it dies."""
    scopes: Scopes = ()
    metadata: Metadata = {}
    expires_at: Instant | None = None
    credits: Credits | None = None
    """None: it may be used any number of times."""
    rate_limits: RateLimits = ()
    allowed_ips: AllowedIps = ()
    """Networks from which it may be used; none: from anywhere."""
    allowed_routes: AllowedRoutes = ()
    """None: for any."""


class AppKeyChanges(Changes):
    name: Text = unset()
    scopes: Scopes = unset()
    metadata: Metadata | None = unset()
    expires_at: Instant | None = unset()
    credits: CreditsPatch | None = unset()
    rate_limits: RateLimits = unset()
    allowed_ips: AllowedIps = unset()
    allowed_routes: AllowedRoutes = unset()


class Revocation(Given):
    reason: Text | None = None


LAST_USE = """(SELECT last_used_at FROM identity.key_last_uses AS used
         WHERE used.tenant_id = app_keys.tenant_id AND used.key_id = app_keys.id)"""

ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "app_id": filters.Text("app_id"),
    "branch_id": filters.Text("branch_id"),
    "user_id": filters.Text("user_id"),
    "prefix": filters.Text("prefix"),
    "type": filters.Text("type", get_args(Type)),
    "environment": filters.Text("environment", get_args(Environment)),
    "name": filters.Text("name"),
    "scopes": filters.Texts("scopes"),
    "allowed_ips": filters.Texts("allowed_ips"),
    "expires_at": filters.Instant("expires_at"),
    "disabled_at": filters.Instant("disabled_at"),
    "revoked_at": filters.Instant("revoked_at"),
    "revoke_reason": filters.Text("revoke_reason"),
    "rotated_from": filters.Text("rotated_from"),
    "last_used_at": filters.Instant(LAST_USE),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
    "metadata": filters.Document("metadata"),
}


class AppKeyFilter(filters.Search):
    attributes = ATTRIBUTES

    app_id: str | None = None
    branch_id: str | None = None
    user_id: str | None = None
    name: str | None = None
    type: Type | None = None
    environment: Environment | None = None


STORED = columns(AppKey, but=("credits", "rotated_to", "last_used_at", "leaks"))


def shown(limits: str) -> str:
    """The select list; a statement that writes limits takes them from what it wrote: the table does not tell it yet."""
    return f"""{STORED},
       (SELECT app_keys.credits || jsonb_build_object('remaining', identity.refilled(
                   app_keys.credits, limits.remaining, limits.refilled_at, clock_timestamp()))
          FROM {limits} AS limits
         WHERE limits.tenant_id = app_keys.tenant_id AND limits.key_id = app_keys.id) AS credits,
       (SELECT next.id FROM identity.app_keys AS next
         WHERE next.tenant_id = app_keys.tenant_id AND next.rotated_from = app_keys.id
         ORDER BY next.revoked_at DESC NULLS FIRST LIMIT 1) AS rotated_to,
       {LAST_USE} AS last_used_at,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('source', source, 'url', url, 'reported_at', leak.created_at)
                                  ORDER BY number), '[]')
          FROM identity.key_leaks AS leak
         WHERE leak.tenant_id = app_keys.tenant_id AND leak.key_id = app_keys.id) AS leaks"""


COLUMNS = shown("identity.key_limits")

GET = f"""
SELECT {COLUMNS}
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s
"""

GET_MANY = f"""
SELECT {COLUMNS}
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = ANY (%(ids)s::text[])
 ORDER BY id
"""

HELD_SCOPES = """
SELECT DISTINCT unnest(scopes) AS scope
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND app_id = 'identity' AND revoked_at IS NULL
   AND (user_id = %(user_id)s OR branch_id = %(branch_id)s)
"""

HOLD = f"{GET} FOR UPDATE OF app_keys"

FIND = f"""
SELECT {COLUMNS}
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::text[])
 ORDER BY id
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s
   AND (%(app_id)s::text IS NULL OR app_id = %(app_id)s)
   AND (%(branch_id)s::text IS NULL OR branch_id = %(branch_id)s)
   AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(type)s::text IS NULL OR type = %(type)s)
   AND (%(environment)s::text IS NULL OR environment = %(environment)s)
"""

# What ISSUE and IMPORT (of key_imports) have in common.
GIVEN = """(
    SELECT tenant.ref || given.id AS key, app.id AS app, app.settings ->> 'key_prefix' AS own_prefix,
           app.deleted_at AS app_deleted_at, given.*
      FROM jsonb_to_recordset(%(rows)s)
           AS given (id text, ordinal int, branch_id text, user_id text, prefix text, secret_hash text, algorithm text,
                     prefix_shown text, type text, environment text, name text, scopes text[], metadata jsonb,
                     expires_at timestamptz, credits jsonb, rate_limits jsonb, allowed_ips text[],
                     allowed_routes jsonb)
      JOIN identity.tenants AS tenant ON tenant.id = %(tenant_id)s
      JOIN identity.apps AS app ON app.tenant_id = tenant.id AND app.id = %(app_id)s
)"""
KEYS_GIVEN = """(tenant_id, id, app_id, branch_id, user_id, prefix, secret_hash, algorithm, prefix_shown, type,
                 environment, name, scopes, metadata, expires_at, credits, rate_limits, allowed_ips, allowed_routes)
    SELECT %(tenant_id)s, key, app, branch_id, user_id, coalesce(own_prefix, prefix), decode(secret_hash, 'hex'),
           algorithm, prefix_shown, type, environment, name, scopes, metadata, expires_at,
           jsonb_strip_nulls(credits - 'remaining'), rate_limits, allowed_ips, allowed_routes
      FROM given"""
LIMITS_GIVEN = """(tenant_id, key_id, remaining)
    SELECT %(tenant_id)s, issued.id, coalesce((given.credits ->> 'remaining')::bigint, 0)
      FROM issued JOIN given ON key = issued.id
     WHERE issued.credits IS NOT NULL OR issued.rate_limits <> '[]'
     ORDER BY key"""

ISSUE = f"""
WITH given AS {GIVEN}, issued AS (
    INSERT INTO identity.app_keys {KEYS_GIVEN}
     ORDER BY key
    RETURNING {STORED}, credits
), limits AS (
    INSERT INTO identity.key_limits {LIMITS_GIVEN}
    RETURNING tenant_id, key_id, remaining, refilled_at
)
SELECT {shown("limits")} FROM issued AS app_keys
"""

UPDATE = f"""
WITH given AS (
    SELECT key, changes FROM jsonb_to_recordset(%(rows)s) AS given (key text, changes jsonb)
), held AS (
    SELECT id AS key, credits AS credits_before FROM identity.app_keys
     WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = ANY (%(names)s::text[])
     ORDER BY id FOR UPDATE
), changed AS (
    UPDATE identity.app_keys
       SET (name, scopes, metadata, expires_at, credits, rate_limits, allowed_ips, allowed_routes) = (
               SELECT new.name, new.scopes,
                      identity.merge_patch(app_keys.metadata, changes -> 'metadata'), new.expires_at,
                      CASE WHEN changes -> 'credits' = 'null' THEN NULL
                           ELSE identity.merge_patch(app_keys.credits, changes -> 'credits') - 'remaining' END,
                      new.rate_limits, new.allowed_ips, new.allowed_routes
                 FROM jsonb_populate_record(app_keys, changes) AS new)
      FROM given JOIN held USING (key)
     WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = key AND id = ANY (%(names)s::text[])
       AND (SELECT count(*) FROM held) = cardinality(%(names)s::text[])
       AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
    RETURNING {STORED}, credits, credits_before, (changes -> 'credits' ->> 'remaining')::bigint AS remaining
), clock AS (
    SELECT clock_timestamp() AS at
), limits AS (
    INSERT INTO identity.key_limits AS limits (tenant_id, key_id, remaining)
    SELECT tenant_id, id, coalesce(remaining, 0)
      FROM changed
     WHERE credits IS NOT NULL OR rate_limits <> '[]'
     ORDER BY id
    ON CONFLICT (tenant_id, key_id) DO UPDATE SET (remaining, refilled_at) = (
        SELECT coalesce(changed.remaining, CASE WHEN credits_before IS NULL THEN 0 ELSE
                        identity.refilled(credits_before, limits.remaining, limits.refilled_at, at) END),
               CASE WHEN credits IS DISTINCT FROM credits_before THEN at
                    ELSE identity.last_refill(credits, limits.refilled_at, at) END
          FROM changed, clock WHERE id = limits.key_id)
    RETURNING tenant_id, key_id, remaining, refilled_at
)
SELECT {shown("limits")} FROM changed AS app_keys
"""

SET_DISABLED = f"""
UPDATE identity.app_keys
   SET disabled_at = CASE WHEN %(disabled)s THEN clock_timestamp() END
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s
   AND revoked_at IS NULL AND (disabled_at IS NOT NULL) <> %(disabled)s
RETURNING {COLUMNS}
"""

REVOKE = f"""
UPDATE identity.app_keys
   SET revoked_at = clock_timestamp(), revoke_reason = %(reason)s
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s AND revoked_at IS NULL
RETURNING {COLUMNS}
"""

DELETE = f"""
DELETE FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

# Eight of one tenant: its workers would hear of more as of a change of everything, and forget every verdict. Twenty in
# all: each takes its counts along, thousands of them.
SWEEP = sweep_by_tenant(
    "app_keys",
    "tenant_id, id",
    "least(revoked_at, expires_at)",
    "days => coalesce((settings ->> 'keep_dead_keys_days')::int, %(days)s)",
    of_one="8",
    of_all="least(%(limit)s, 20)",
)


class AppKeyStore(Store[AppKey]):
    row = AppKey
    noun = "key"

    async def issue(self, tenant_id: str, app_id: str, new: NewAppKey) -> IssuedKey:
        """The key with its text, which nobody can ask for again."""
        return (await self.issue_many(tenant_id, app_id, [new]))[0]

    async def issue_many(self, tenant_id: str, app_id: str, news: Sequence[NewAppKey]) -> list[IssuedKey]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        secrets = {key_text.new_random_id(): key_text.new_secret() for _ in news}
        rows = [
            new.row() | {"id": id, "prefix": PREFIXES[new.type], "secret_hash": key_text.hash_secret(secret).hex()}
            for (id, secret), new in zip(secrets.items(), news, strict=True)
        ]
        keys: list[AppKey] = await self._bulk(ISSUE, tenant_id, rows, app_id=app_id)
        if len(keys) < len(news):
            raise NotFound("app_not_found", "No such app.")
        issued = in_order(secrets, keys, "id", lambda id: id[-key_text.RANDOM_ID_CHARS :])
        return [with_text(key, secret) for key, secret in zip(issued, secrets.values(), strict=True)]

    async def get(self, tenant_id: str, app_id: str, id: str) -> AppKey:
        return await self._one(GET, tenant_id, app_id=app_id, id=id)

    async def hold(self, tenant_id: str, app_id: str, id: str) -> AppKey:
        """As get, and in a transaction nobody changes it before its end."""
        return await self._one(HOLD, tenant_id, app_id=app_id, id=id)

    async def exists(self, tenant_id: str, app_id: str, id: str) -> bool:
        return await self._first(GET, tenant_id, app_id=app_id, id=id) is not None

    async def find(self, tenant_id: str, id: str) -> AppKey | None:
        """By id alone, in whichever app."""
        return await self._first(FIND, tenant_id, ids=[id])

    async def get_many(self, tenant_id: str, ids: Sequence[str]) -> list[AppKey]:
        """Those that there are, in the order of their ids."""
        return await self._rows(FIND, tenant_id, ids=list(ids))

    async def held_scopes(
        self, tenant_id: str, *, user_id: str | None = None, branch_id: str | None = None
    ) -> list[str]:
        """What the keys of `identity` may do that this user owns, or that this branch binds, awake or not."""
        found = await self._run(HELD_SCOPES, tenant_id, user_id=user_id, branch_id=branch_id)
        return [row["scope"] for row in found]

    async def update(
        self, tenant_id: str, app_id: str, id: str, changes: AppKeyChanges, *, if_match: IfMatch = None
    ) -> AppKey:
        return await self._update_one(UPDATE, GET, tenant_id, id, changes, if_match, app_id=app_id)

    async def update_many(self, tenant_id: str, app_id: str, changes: Mapping[str, AppKeyChanges]) -> list[AppKey]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        return await self._update_all(UPDATE, GET_MANY, tenant_id, changes, app_id=app_id)

    async def disable(self, tenant_id: str, app_id: str, id: str) -> AppKey:
        return await self._set_disabled(tenant_id, app_id, id, disabled=True)

    async def enable(self, tenant_id: str, app_id: str, id: str) -> AppKey:
        return await self._set_disabled(tenant_id, app_id, id, disabled=False)

    async def revoke(self, tenant_id: str, app_id: str, id: str, *, reason: str | None = None) -> AppKey:
        """For good. Once revoked it stays as it is, with the first reason."""
        revoked = await self._first(REVOKE, tenant_id, app_id=app_id, id=id, reason=reason)
        return revoked or await self.get(tenant_id, app_id, id)

    async def delete(self, tenant_id: str, app_id: str, id: str, *, if_match: IfMatch = None) -> AppKey:
        """For good, without a trace: a key has no tombstone, since nobody could want its text back."""
        return await self._matched(DELETE, GET, tenant_id, if_match, app_id=app_id, id=id)

    async def _set_disabled(self, tenant_id: str, app_id: str, id: str, *, disabled: bool) -> AppKey:
        moved = await self._first(SET_DISABLED, tenant_id, app_id=app_id, id=id, disabled=disabled)
        if moved is None:
            moved = await self.get(tenant_id, app_id, id)
            if moved.revoked_at:
                raise Conflict("status_conflict", "A revoked key stays revoked.")
        return moved

    async def sweep(self, *, after: str, limit: int, days: int, tenants: int | None = None) -> Swept:
        """Takes keys away of tenants after that one, revoked or expired for longer than the days that each keeps
        them. With a limit of 0 it only tells which tenants are next."""
        return await self._swept_by_tenant(SWEEP, after, tenants, limit=limit, days=days)

    async def list(
        self,
        tenant_id: str,
        where: AppKeyFilter = AppKeyFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[AppKey]:
        """Keys of the tenant, of an app, of a branch (with its app) or of a user."""
        return await self._page(LIST, tenant_id, "id", where, after, limit)


def with_text(key: AppKey, secret: str) -> IssuedKey:
    text = key_text.compose(key.prefix, key.environment, key.id, secret)
    return IssuedKey(**key.model_dump(), key=text)
