"""Tenants: organisations. Everything else belongs to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints

from identity import filters, purging
from identity.db import IfMatch, Page, Row, Store, columns, jsonb, naming, precondition_failed, secrets_in_dsn
from identity.errors import Conflict
from identity.fields import (
    AS_WHOLE,
    Changes,
    Document,
    Given,
    Limit,
    Metadata,
    Slug,
    Text,
    Timezone,
    Whole,
    patch_of,
    shown,
    unset,
)

PLATFORM = "platform"
"""The built-in tenant whose keys may address every other."""

Status = Literal["active", "suspended"]


def _without_secrets(dsn: str) -> str:
    if secrets := secrets_in_dsn(dsn):
        raise ValueError(f"must not carry {' or '.join(secrets)}: keep secrets where the application keeps its own")
    return dsn


Days = Annotated[int, Field(ge=1, le=3660), AS_WHOLE]
Domain = Annotated[
    str,
    StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$", max_length=253),
]
Dsn = Annotated[
    str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_without_secrets), shown(format="dsn")
]
DbSchema = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


class PasswordPolicy(Document):
    """What a password must be (NIST SP 800-63B: length, no composition rules)."""

    min_length: Whole = Field(default=15, ge=8, le=256)


class Lockout(Document):
    """How many failed sign-ins, each within the window after the last, close password sign-in, and for how long at
    first; with each after that it is twice as long, to a day."""

    failures: Whole = Field(default=10, ge=1, le=1000)
    window_s: Whole = Field(default=900, ge=1, le=86400)
    pause_s: Whole = Field(default=60, ge=1, le=86400)


class TenantSettings(Document):
    """How a tenant is run. The max_* are the platform's to change; None sets no limit."""

    max_users: Limit | None = None
    max_apps: Limit | None = None
    timezone: Timezone = "UTC"
    password_policy: PasswordPolicy = PasswordPolicy()
    lockout: Lockout = Lockout()
    session_idle_s: Whole = Field(default=7 * 86400, ge=60, le=366 * 86400)
    session_absolute_s: Whole = Field(default=30 * 86400, ge=60, le=366 * 86400)
    require_mfa: bool = False
    usage_days: Days = 90
    """How long it is kept how often its keys were verified."""
    keep_dead_keys_days: Days = 90
    """How long a key is kept that is revoked or expired."""


class Tenant(Row):
    id: str
    ref: str
    name: str
    domain: str | None
    status: Status
    db_dsn: str | None
    db_schema: str | None
    settings: TenantSettings
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class NewTenant(Given):
    id: Slug
    name: Text
    domain: Domain | None = None
    db_dsn: Dsn | None = None
    db_schema: DbSchema | None = None
    settings: TenantSettings = TenantSettings()
    metadata: Metadata = {}


class TenantChanges(Changes):
    name: Text = unset()
    domain: Domain | None = unset()
    db_dsn: Dsn | None = unset()
    db_schema: DbSchema | None = unset()
    settings: patch_of(TenantSettings) | None = unset()  # type: ignore[valid-type]
    metadata: Metadata | None = unset()

    def is_for_the_platform(self) -> bool:
        """Whether it names what only the platform may change; settings as a whole hold it too."""
        if "settings" in self.model_fields_set and self.settings is None:
            return True
        named = self.model_fields_set | (self.settings or {}).keys()
        return bool(named & {"domain", "db_dsn", "db_schema", "max_users", "max_apps"})


ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "ref": filters.Text("ref"),
    "name": filters.Text("name"),
    "domain": filters.Text("domain"),
    "status": filters.Text("status", get_args(Status)),
    "db_schema": filters.Text("db_schema"),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
    "deleted_at": filters.Instant("deleted_at"),
    "metadata": filters.Document("metadata"),
}


class TenantFilter(filters.Filter):
    attributes = ATTRIBUTES

    name: str | None = None
    domain: str | None = None
    status: Status | None = None


COLUMNS = columns(Tenant)

GET = f"""
SELECT {COLUMNS}
  FROM identity.tenants
 WHERE id = %(tenant_id)s AND deleted_at IS NULL
"""

GET_MANY = f"""
SELECT {COLUMNS}
  FROM identity.tenants
 WHERE id = ANY (%(ids)s::text[]) AND deleted_at IS NULL
 ORDER BY id
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.tenants
 WHERE (%(only)s::text IS NULL OR id = %(only)s)
   AND (deleted_at IS NOT NULL) = %(deleted)s AND purged_at IS NULL
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(domain)s::text IS NULL OR domain = %(domain)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
"""

CREATE = f"""
WITH tenant AS (
    INSERT INTO identity.tenants (id, name, domain, db_dsn, db_schema, settings, metadata)
    SELECT id, name, domain, db_dsn, db_schema, settings, metadata
      FROM jsonb_populate_recordset(NULL::identity.tenants, %(rows)s)
    RETURNING {COLUMNS}
), app AS (
    INSERT INTO identity.apps (tenant_id, id, name, type)
    SELECT id, 'identity', 'Identity', 'service' FROM tenant
)
SELECT {COLUMNS} FROM tenant
"""

REPLACE = f"""
UPDATE identity.tenants AS old
   SET (name, domain, db_dsn, db_schema, settings, metadata) = (
           SELECT new.name,
                  CASE WHEN %(by_platform)s THEN new.domain ELSE old.domain END,
                  CASE WHEN %(by_platform)s THEN new.db_dsn ELSE old.db_dsn END,
                  CASE WHEN %(by_platform)s THEN new.db_schema ELSE old.db_schema END,
                  CASE WHEN %(by_platform)s THEN new.settings
                       ELSE new.settings - 'max_users' - 'max_apps'
                            || jsonb_strip_nulls(jsonb_build_object('max_users', old.settings -> 'max_users',
                                                                    'max_apps', old.settings -> 'max_apps')) END,
                  new.metadata
             FROM jsonb_populate_recordset(NULL::identity.tenants, %(rows)s) AS new)
 WHERE id = %(tenant_id)s AND deleted_at IS NULL
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

UPDATE = f"""
UPDATE identity.tenants AS old
   SET (name, domain, db_dsn, db_schema, settings, metadata) = (
           SELECT new.name, new.domain, new.db_dsn, new.db_schema,
                  identity.merge_patch(old.settings, %(changes)s -> 'settings'),
                  identity.merge_patch(old.metadata, %(changes)s -> 'metadata')
             FROM jsonb_populate_record(old, %(changes)s) AS new)
 WHERE id = %(tenant_id)s AND deleted_at IS NULL
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

SET_STATUS = f"""
UPDATE identity.tenants
   SET status = %(to)s
 WHERE id = %(tenant_id)s AND deleted_at IS NULL AND status = ANY (%(froms)s::text[])
RETURNING {COLUMNS}
"""

DELETE = f"""
UPDATE identity.tenants
   SET deleted_at = clock_timestamp()
 WHERE id = %(tenant_id)s AND deleted_at IS NULL
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

RESTORE = f"""
UPDATE identity.tenants
   SET deleted_at = NULL
 WHERE id = %(tenant_id)s AND deleted_at IS NOT NULL AND purged_at IS NULL
RETURNING {COLUMNS}
"""

PURGE = """
WITH begun AS (
    UPDATE identity.tenants
       SET purged_at = clock_timestamp()
     WHERE id = %(tenant_id)s AND purged_at IS NULL
       AND deleted_at <= clock_timestamp() - make_interval(secs => %(after_s)s)
    RETURNING id
)
SELECT deleted_at IS NOT NULL AS deleted, purged_at IS NOT NULL OR EXISTS (SELECT FROM begun) AS purged
  FROM identity.tenants
 WHERE id = %(tenant_id)s
"""

DUE = """
SELECT id
  FROM identity.tenants
 WHERE id > %(after)s AND deleted_at IS NOT NULL
   AND (purged_at IS NOT NULL OR deleted_at <= clock_timestamp() - make_interval(secs => %(after_s)s))
 ORDER BY id
 LIMIT %(limit)s
"""

OF_REF = """
SELECT id FROM identity.tenants WHERE ref = %(ref)s
"""


class TenantStore(Store[Tenant]):
    """A tenant's statements run in its own scope, but for those over many tenants, which are the platform's."""

    row = Tenant
    noun = "tenant"

    async def create(self, new: NewTenant) -> Tenant:
        """With its app `identity`. Conflict where the id or the domain is taken."""
        created: Tenant = (await self._bulk(CREATE, new.id, [new.row()]))[0]
        return created

    async def create_many(self, news: list[NewTenant]) -> list[Tenant]:
        """All or none; each in its own scope, in key order."""
        created: dict[str, Tenant] = {}
        async with self.session.transaction() as session:
            for ordinal, new in sorted(enumerate(news), key=lambda each: each[1].id):
                with naming(ordinal):
                    created[new.id] = await TenantStore(session).create(new)
        return [created[new.id] for new in news]

    async def get(self, tenant_id: str) -> Tenant:
        return await self._one(GET, tenant_id)

    async def exists(self, tenant_id: str) -> bool:
        return await self._first(GET, tenant_id) is not None

    async def get_many(self, ids: list[str]) -> list[Tenant]:
        """Those that there are, in the order of their ids. For the platform."""
        return await self._rows(GET_MANY, PLATFORM, role="identity_platform", ids=ids)

    async def find(self, where: TenantFilter) -> Tenant | None:
        """By name or domain, over all tenants, for the platform."""
        return next(iter((await self.list(where, limit=1)).items), None)

    async def find_by_ref(self, ref: str) -> str | None:
        """Whose keys' ids begin so, tombstones too."""
        found = await self._run(OF_REF, PLATFORM, role="identity_platform", ref=ref)
        return found[0]["id"] if found else None

    async def replace(
        self, new: NewTenant, *, if_match: IfMatch = None, by_platform: bool = True
    ) -> tuple[Tenant, bool]:
        """Creates it where there is none (True). What is the platform's stays as it is unless the platform asks."""
        rows = jsonb([new.row()])
        for is_last in (False, True):
            replaced = await self._first(REPLACE, new.id, rows=rows, if_match=if_match, by_platform=by_platform)
            if replaced:
                return replaced, False
            if if_match is not None:
                raise precondition_failed()
            if not by_platform:
                raise self.not_found()
            try:
                async with self.session.savepoint() as session:
                    return await TenantStore(session).create(new), True
            except Conflict as error:
                if is_last or error.code != self.taken:
                    raise
        raise AssertionError("the last try returns or raises")

    async def upsert(self, news: list[NewTenant]) -> list[Tenant]:
        """Creates or replaces all, or none; each in its own scope, in key order."""
        upserted: dict[str, Tenant] = {}
        async with self.session.transaction() as session:
            for ordinal, new in sorted(enumerate(news), key=lambda each: each[1].id):
                with naming(ordinal):
                    if new.id in upserted:
                        raise Conflict(self.taken, "The same tenant is given twice.")
                    upserted[new.id], _ = await TenantStore(session).replace(new)
        return [upserted[new.id] for new in news]

    async def update(self, tenant_id: str, changes: TenantChanges, *, if_match: IfMatch = None) -> Tenant:
        return await self._matched(UPDATE, GET, tenant_id, if_match, changes=jsonb(changes.row()))

    async def update_many(self, changes: dict[str, TenantChanges]) -> list[Tenant]:
        """All or none; each in its own scope, in key order."""
        updated: dict[str, Tenant] = {}
        async with self.session.transaction() as session:
            for ordinal, (tenant_id, change) in sorted(enumerate(changes.items()), key=lambda each: each[1][0]):
                with naming(ordinal):
                    updated[tenant_id] = await TenantStore(session).update(tenant_id, change)
        return [updated[tenant_id] for tenant_id in changes]

    async def suspend(self, tenant_id: str) -> Tenant:
        return await self._moved(SET_STATUS, GET, tenant_id, "suspended", ["active"])

    async def activate(self, tenant_id: str) -> Tenant:
        return await self._moved(SET_STATUS, GET, tenant_id, "active", ["suspended"])

    async def delete(self, tenant_id: str, *, if_match: IfMatch = None) -> Tenant:
        """A tombstone: its domain is free again, all under it is dead at once."""
        return await self._matched(DELETE, GET, tenant_id, if_match)

    async def restore(self, tenant_id: str) -> Tenant:
        return await self._first(RESTORE, tenant_id) or await self.get(tenant_id)

    async def purge(self, tenant_id: str, *, after_s: int) -> None:
        """For good, with all that is under it, to the end."""
        await self.begin_purge(tenant_id, after_s=after_s)
        async for rows in self.purge_steps(tenant_id):
            if not rows:
                await asyncio.sleep(purging.WAIT_S)

    async def begin_purge(self, tenant_id: str, *, after_s: int) -> None:
        """From now on nobody restores it. Once more is no error."""
        await self._purge(PURGE, tenant_id, after_s=after_s)

    async def purge_steps(self, tenant_id: str, *, limit: int = purging.STEP_ROWS) -> AsyncGenerator[int, None]:
        """How many rows each step took: none where somebody else is at it. Nothing is lost where they are left."""
        for statement in purging.STEPS.values():
            while found := await self._run(statement, tenant_id, limit=limit):
                if found[0]["held"] and not found[0]["rows"]:
                    break
                yield found[0]["rows"]
        await self._run(purging.LAST, tenant_id)

    async def rows_to_purge(self, tenant_id: str) -> int:
        return sum([found["rows"] for found in await self._run(purging.ROWS, tenant_id)])

    async def due_for_purge(self, *, after_s: int, after: str, limit: int) -> list[str]:
        """Ids of those that were deleted for so long, or whose purge somebody began. For the platform."""
        found = await self._run(DUE, PLATFORM, role="identity_platform", after_s=after_s, after=after, limit=limit)
        return [row["id"] for row in found]

    async def list(
        self, where: TenantFilter = TenantFilter(), *, after: str | None = None, limit: int = 50
    ) -> Page[Tenant]:
        """Over all tenants, for the platform."""
        return await self._page(LIST, PLATFORM, "id", where, after, limit, role="identity_platform", only=None)

    async def list_own(
        self,
        tenant_id: str,
        where: TenantFilter = TenantFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Tenant]:
        """The same list as one tenant sees it: itself."""
        return await self._page(LIST, tenant_id, "id", where, after, limit, only=tenant_id)
