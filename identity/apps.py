"""Apps: what a tenant runs, and what its keys and users are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from identity import filters
from identity.db import IfMatch, Page, Row, Store, Swept, columns, in_order, sweep_by_tenant
from identity.fields import Changes, Document, Given, Metadata, Scopes, Slug, Text, Whole, patch_of, unset

IDENTITY = "identity"
"""The app that every tenant has: this service itself. Its keys manage."""

Type = Literal["web", "mobile", "api", "desktop", "service"]
Status = Literal["active", "disabled"]
KeyPrefix = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{1,11}$")]

Origin = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]{0,31}://[a-z0-9.-]{1,253}(:[0-9]{1,5})?$", max_length=300)
]
"""As a browser names it: a scheme and a host, and nothing else."""


class AppSettings(Document):
    """How an app is run."""

    key_prefix: KeyPrefix | None = None
    """How its keys begin; default: by the key's type."""
    allowed_scopes: Scopes = ()
    """What its keys may carry; empty: anything."""
    access_token_s: Whole = Field(default=300, ge=30, le=86400)
    refresh_token_s: Whole = Field(default=30 * 86400, ge=60, le=366 * 86400)
    allowed_origins: Annotated[tuple[Origin, ...], Field(max_length=100)] = ()
    """Whose web pages may get and end tokens of this app."""
    features: dict[str, bool] = {}
    on_leak: Literal["revoke", "disable"] = "revoke"
    """What becomes of a key that is reported as leaked. (Keys of `identity` are always revoked.)"""


class App(Row):
    tenant_id: str
    id: str
    name: str
    type: Type
    status: Status
    settings: AppSettings
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class NewApp(Given):
    id: Slug
    name: Text
    type: Type
    settings: AppSettings = AppSettings()
    metadata: Metadata = {}


class AppChanges(Changes):
    name: Text = unset()
    type: Type = unset()
    settings: patch_of(AppSettings) | None = unset()  # type: ignore[valid-type]
    metadata: Metadata | None = unset()


ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "name": filters.Text("name"),
    "type": filters.Text("type", get_args(Type)),
    "status": filters.Text("status", get_args(Status)),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
    "deleted_at": filters.Instant("deleted_at"),
    "metadata": filters.Document("metadata"),
}


class AppFilter(filters.Filter):
    attributes = ATTRIBUTES

    name: str | None = None
    type: Type | None = None
    status: Status | None = None


COLUMNS = columns(App)

GET = f"""
SELECT {COLUMNS}
  FROM identity.apps
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL
"""

GET_MANY = f"""
SELECT {COLUMNS}
  FROM identity.apps
 WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::text[]) AND deleted_at IS NULL
 ORDER BY id
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.apps
 WHERE tenant_id = %(tenant_id)s
   AND (deleted_at IS NOT NULL) = %(deleted)s
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(type)s::text IS NULL OR type = %(type)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
"""

CREATE = f"""
INSERT INTO identity.apps (tenant_id, id, name, type, settings, metadata)
SELECT %(tenant_id)s, id, name, type, settings, metadata
  FROM jsonb_populate_recordset(NULL::identity.apps, %(rows)s)
 ORDER BY id
RETURNING {COLUMNS}
"""

# One at a time in a tenant: of two that put the same new app, the second would else meet the first by its name.
UPSERT = f"""
SELECT pg_advisory_xact_lock(hashtextextended('apps ' || %(tenant_id)s, 0));
INSERT INTO identity.apps AS old (tenant_id, id, name, type, settings, metadata)
SELECT %(tenant_id)s, id, name, type, settings, metadata
  FROM jsonb_populate_recordset(NULL::identity.apps, %(rows)s) AS given
 WHERE %(if_match)s::timestamptz[] IS NULL
    OR EXISTS (SELECT FROM identity.apps WHERE tenant_id = %(tenant_id)s AND id = given.id AND deleted_at IS NULL
                AND updated_at = ANY (%(if_match)s::timestamptz[]))
 ORDER BY id
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET name = excluded.name, type = excluded.type, settings = excluded.settings, metadata = excluded.metadata
 WHERE %(if_match)s::timestamptz[] IS NULL OR old.updated_at = ANY (%(if_match)s::timestamptz[])
RETURNING {COLUMNS}, xmax = 0 AS created
"""

UPDATE = f"""
WITH given AS (
    SELECT key, changes FROM jsonb_to_recordset(%(rows)s) AS given (key text, changes jsonb)
), held AS (
    SELECT id AS key FROM identity.apps
     WHERE tenant_id = %(tenant_id)s AND id = ANY (%(names)s::text[]) AND deleted_at IS NULL
     ORDER BY id FOR UPDATE
)
UPDATE identity.apps AS old
   SET (name, type, settings, metadata) = (
           SELECT new.name, new.type,
                  identity.merge_patch(old.settings, changes -> 'settings'),
                  identity.merge_patch(old.metadata, changes -> 'metadata')
             FROM jsonb_populate_record(old, changes) AS new)
  FROM given JOIN held USING (key)
 WHERE tenant_id = %(tenant_id)s AND id = key AND id = ANY (%(names)s::text[])
   AND (SELECT count(*) FROM held) = cardinality(%(names)s::text[])
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

SET_STATUS = f"""
UPDATE identity.apps
   SET status = %(to)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL AND status = ANY (%(froms)s::text[])
RETURNING {COLUMNS}
"""

DELETE = f"""
UPDATE identity.apps
   SET deleted_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

RESTORE = f"""
UPDATE identity.apps
   SET deleted_at = NULL
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NOT NULL
RETURNING {COLUMNS}
"""

PURGE = """
WITH gone AS (
    DELETE FROM identity.apps
     WHERE tenant_id = %(tenant_id)s AND id = %(id)s
       AND deleted_at <= clock_timestamp() - make_interval(secs => %(after_s)s)
    RETURNING id
)
SELECT deleted_at IS NOT NULL AS deleted, EXISTS (SELECT FROM gone) AS purged
  FROM identity.apps
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

# One in all: each takes all that is under it along.
SWEEP = sweep_by_tenant(
    "apps", "tenant_id, id", "deleted_at", "secs => %(after_s)s", of_one="1", of_all="least(%(limit)s, 1)"
)


class AppStore(Store[App]):
    row = App
    noun = "app"

    async def create(self, tenant_id: str, new: NewApp) -> App:
        """Conflict where id or name is taken, or the tenant has as many as it may have."""
        return (await self.create_many(tenant_id, [new]))[0]

    async def create_many(self, tenant_id: str, news: Sequence[NewApp]) -> list[App]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        created: list[App] = await self._bulk(CREATE, tenant_id, [new.row() for new in news])
        return in_order([new.id for new in news], created, "id")

    async def get(self, tenant_id: str, id: str) -> App:
        return await self._one(GET, tenant_id, id=id)

    async def exists(self, tenant_id: str, id: str) -> bool:
        return await self._first(GET, tenant_id, id=id) is not None

    async def get_many(self, tenant_id: str, ids: Sequence[str]) -> list[App]:
        """Those that there are, in the order of their ids."""
        return await self._rows(GET_MANY, tenant_id, ids=list(ids))

    async def find(self, tenant_id: str, where: AppFilter) -> App | None:
        """The first by type, name or status."""
        return next(iter((await self.list(tenant_id, where, limit=1)).items), None)

    async def replace(self, tenant_id: str, new: NewApp, *, if_match: IfMatch = None) -> tuple[App, bool]:
        """Creates it where there is none (True), unless if_match asks for one."""
        return (await self._upserted(UPSERT, tenant_id, [new.row()], if_match=if_match))[0]

    async def upsert(self, tenant_id: str, news: Sequence[NewApp]) -> list[App]:
        """Creates or replaces all, or none, in the order given."""
        upserted = await self._upserted(UPSERT, tenant_id, [new.row() for new in news])
        return in_order([new.id for new in news], [row for row, _ in upserted], "id")

    async def update(self, tenant_id: str, id: str, changes: AppChanges, *, if_match: IfMatch = None) -> App:
        return await self._update_one(UPDATE, GET, tenant_id, id, changes, if_match)

    async def update_many(self, tenant_id: str, changes: Mapping[str, AppChanges]) -> list[App]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        return await self._update_all(UPDATE, GET_MANY, tenant_id, changes)

    async def disable(self, tenant_id: str, id: str) -> App:
        return await self._moved(SET_STATUS, GET, tenant_id, "disabled", ["active"], id=id)

    async def enable(self, tenant_id: str, id: str) -> App:
        return await self._moved(SET_STATUS, GET, tenant_id, "active", ["disabled"], id=id)

    async def delete(self, tenant_id: str, id: str, *, if_match: IfMatch = None) -> App:
        """A tombstone: its name is free again, its keys are dead at once."""
        return await self._matched(DELETE, GET, tenant_id, if_match, id=id)

    async def restore(self, tenant_id: str, id: str) -> App:
        return await self._first(RESTORE, tenant_id, id=id) or await self.get(tenant_id, id)

    async def purge(self, tenant_id: str, id: str, *, after_s: int) -> None:
        """For good, with its branches, grants and keys."""
        await self._purge(PURGE, tenant_id, id=id, after_s=after_s)

    async def sweep(self, *, after: str, limit: int, after_s: int, tenants: int | None = None) -> Swept:
        """Purges apps of tenants after that one which were deleted for so long. With a limit of 0 it only tells which
        tenants are next."""
        return await self._swept_by_tenant(SWEEP, after, tenants, limit=limit, after_s=after_s)

    async def list(
        self, tenant_id: str, where: AppFilter = AppFilter(), *, after: str | None = None, limit: int = 50
    ) -> Page[App]:
        return await self._page(LIST, tenant_id, "id", where, after, limit)
