"""Branches: where an app is used, such as stores, offices and airports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from identity import filters
from identity.db import IfMatch, Page, Row, Store, Swept, columns, in_order, sweep_by_tenant
from identity.fields import (
    Changes,
    Document,
    Email,
    Given,
    Metadata,
    Printable,
    Slug,
    Text,
    Timezone,
    patch_of,
    unset,
)

Type = Literal["headquarters", "regional", "store", "warehouse", "franchise", "office", "other"]
Status = Literal["active", "disabled"]
Code = Annotated[Printable, StringConstraints(min_length=1, max_length=64)]
Hour = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Address(Document):
    street: Text | None = None
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    country: Text | None = None
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)


class Contact(Document):
    name: Text | None = None
    email: Email | None = None
    phone: Text | None = None


class BranchSettings(Document):
    """How a branch is run; None: as its app or tenant."""

    timezone: Timezone | None = None
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$")] | None = None
    business_hours: dict[Weekday, tuple[tuple[Hour, Hour], ...]] = {}
    """From and to, as often a day as it opens."""
    features: dict[str, bool] = {}


class Branch(Row):
    tenant_id: str
    app_id: str
    id: str
    code: str
    name: str
    type: Type
    status: Status
    address: Address
    contact: Contact
    settings: BranchSettings
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class NewBranch(Given):
    id: Slug | None = None
    """Default: a UUIDv7."""
    code: Code
    name: Text
    type: Type
    address: Address = Address()
    contact: Contact = Contact()
    settings: BranchSettings = BranchSettings()
    metadata: Metadata = {}


class BranchChanges(Changes):
    code: Code = unset()
    name: Text = unset()
    type: Type = unset()
    address: patch_of(Address) | None = unset()  # type: ignore[valid-type]
    contact: patch_of(Contact) | None = unset()  # type: ignore[valid-type]
    settings: patch_of(BranchSettings) | None = unset()  # type: ignore[valid-type]
    metadata: Metadata | None = unset()


ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "code": filters.Text("code"),
    "name": filters.Text("name"),
    "type": filters.Text("type", get_args(Type)),
    "status": filters.Text("status", get_args(Status)),
    "address": filters.Document(
        "address", dict.fromkeys(Address.model_fields, str) | {"latitude": float, "longitude": float}
    ),
    "contact": filters.Document("contact", dict.fromkeys(Contact.model_fields, str)),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
    "deleted_at": filters.Instant("deleted_at"),
    "metadata": filters.Document("metadata", by_tenant=True),
}


class BranchFilter(filters.Filter):
    attributes = ATTRIBUTES

    code: str | None = None
    name: str | None = None
    type: Type | None = None
    status: Status | None = None


COLUMNS = columns(Branch)

GET = f"""
SELECT {COLUMNS}
  FROM identity.branches
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s AND deleted_at IS NULL
"""

GET_MANY = f"""
SELECT {COLUMNS}
  FROM identity.branches
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = ANY (%(ids)s::text[]) AND deleted_at IS NULL
 ORDER BY id
"""

# One at a time in a tenant, as UPSERT: whoever looks records up by name, to make those that are missing, would else
# meet another who does.
HOLD_NAMED = f"""
SELECT pg_advisory_xact_lock(hashtextextended('branches ' || %(tenant_id)s, 0));
SELECT {COLUMNS}
  FROM identity.branches
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND deleted_at IS NULL
   AND (id = ANY (%(ids)s::text[]) OR code = ANY (%(codes)s::text[]))
 ORDER BY id FOR NO KEY UPDATE
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.branches_of_tenant AS branches
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s
   AND (deleted_at IS NOT NULL) = %(deleted)s
   AND (%(code)s::text IS NULL OR code = %(code)s)
   AND (%(name)s::text IS NULL OR name = %(name)s)
   AND (%(type)s::text IS NULL OR type = %(type)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
"""

CREATE = f"""
INSERT INTO identity.branches (tenant_id, app_id, id, code, name, type, address, contact, settings, metadata)
SELECT %(tenant_id)s, %(app_id)s, coalesce(id, identity.uuid7()), code, name, type, address, contact, settings, metadata
  FROM jsonb_populate_recordset(NULL::identity.branches, %(rows)s) AS given
 ORDER BY given.id, code
RETURNING {COLUMNS}
"""

# One at a time in a tenant: two that name the same new branch by its code would else meet in either order.
UPSERT = f"""
SELECT pg_advisory_xact_lock(hashtextextended('branches ' || %(tenant_id)s, 0));
INSERT INTO identity.branches AS old (tenant_id, app_id, id, code, name, type, address, contact, settings, metadata)
SELECT %(tenant_id)s, %(app_id)s, coalesce(given.id, known.id, identity.uuid7()), given.code, given.name, given.type,
       given.address, given.contact, given.settings, given.metadata
  FROM jsonb_populate_recordset(NULL::identity.branches, %(rows)s) AS given
  LEFT JOIN (
       SELECT id, code FROM identity.branches
        WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s
          AND code = ANY (%(names)s::text[]) AND deleted_at IS NULL
       ) AS known ON given.id IS NULL AND known.code = given.code
 WHERE %(if_match)s::timestamptz[] IS NULL
    OR EXISTS (SELECT FROM identity.branches
                WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = given.id AND deleted_at IS NULL
                AND updated_at = ANY (%(if_match)s::timestamptz[]))
 ORDER BY coalesce(given.id, known.id), given.code
    ON CONFLICT (tenant_id, app_id, id) DO UPDATE
   SET code = excluded.code, name = excluded.name, type = excluded.type, address = excluded.address,
       contact = excluded.contact, settings = excluded.settings, metadata = excluded.metadata
 WHERE %(if_match)s::timestamptz[] IS NULL OR old.updated_at = ANY (%(if_match)s::timestamptz[])
RETURNING {COLUMNS}, xmax = 0 AS created
"""

UPDATE = f"""
WITH given AS (
    SELECT key, changes FROM jsonb_to_recordset(%(rows)s) AS given (key text, changes jsonb)
), held AS (
    SELECT id AS key FROM identity.branches
     WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = ANY (%(names)s::text[]) AND deleted_at IS NULL
     ORDER BY id FOR UPDATE
)
UPDATE identity.branches AS old
   SET (code, name, type, address, contact, settings, metadata) = (
           SELECT new.code, new.name, new.type,
                  identity.merge_patch(old.address, changes -> 'address'),
                  identity.merge_patch(old.contact, changes -> 'contact'),
                  identity.merge_patch(old.settings, changes -> 'settings'),
                  identity.merge_patch(old.metadata, changes -> 'metadata')
             FROM jsonb_populate_record(old, changes) AS new)
  FROM given JOIN held USING (key)
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = key AND id = ANY (%(names)s::text[])
   AND (SELECT count(*) FROM held) = cardinality(%(names)s::text[])
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

SET_STATUS = f"""
UPDATE identity.branches
   SET status = %(to)s
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s AND deleted_at IS NULL
   AND status = ANY (%(froms)s::text[])
RETURNING {COLUMNS}
"""

DELETE = f"""
UPDATE identity.branches
   SET deleted_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s AND deleted_at IS NULL
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

RESTORE = f"""
UPDATE identity.branches
   SET deleted_at = NULL
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s AND deleted_at IS NOT NULL
RETURNING {COLUMNS}
"""

PURGE = """
WITH gone AS (
    DELETE FROM identity.branches
     WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s
       AND deleted_at <= clock_timestamp() - make_interval(secs => %(after_s)s)
    RETURNING id
)
SELECT deleted_at IS NOT NULL AS deleted, EXISTS (SELECT FROM gone) AS purged
  FROM identity.branches
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s
"""

# Few: each takes its keys along.
SWEEP = sweep_by_tenant(
    "branches",
    "tenant_id, app_id, id",
    "deleted_at",
    "secs => %(after_s)s",
    of_one="%(limit)s",
    of_all="least(%(limit)s, 20)",
)


class BranchStore(Store[Branch]):
    row = Branch
    noun = "branch"

    async def create(self, tenant_id: str, app_id: str, new: NewBranch) -> Branch:
        """Conflict where id or code is taken in the app."""
        return (await self.create_many(tenant_id, app_id, [new]))[0]

    async def create_many(self, tenant_id: str, app_id: str, news: Sequence[NewBranch]) -> list[Branch]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        created: list[Branch] = await self._bulk(CREATE, tenant_id, [new.row() for new in news], app_id=app_id)
        return in_order([new.code for new in news], created, "code")

    async def get(self, tenant_id: str, app_id: str, id: str) -> Branch:
        return await self._one(GET, tenant_id, app_id=app_id, id=id)

    async def exists(self, tenant_id: str, app_id: str, id: str) -> bool:
        return await self._first(GET, tenant_id, app_id=app_id, id=id) is not None

    async def get_many(self, tenant_id: str, app_id: str, ids: Sequence[str]) -> list[Branch]:
        """Those that there are, in the order of their ids."""
        return await self._rows(GET_MANY, tenant_id, app_id=app_id, ids=list(ids))

    async def hold_named(
        self, tenant_id: str, app_id: str, *, ids: Sequence[str] = (), codes: Sequence[str] = ()
    ) -> list[Branch]:
        """Those that there are by any of these names, in the order of their ids; in a transaction nobody changes
        them before its end."""
        return await self._rows(HOLD_NAMED, tenant_id, app_id=app_id, ids=list(ids), codes=list(codes))

    async def find(self, tenant_id: str, app_id: str, where: BranchFilter) -> Branch | None:
        """The first by code, name, type or status."""
        return next(iter((await self.list(tenant_id, app_id, where, limit=1)).items), None)

    async def replace(
        self, tenant_id: str, app_id: str, new: NewBranch, *, if_match: IfMatch = None
    ) -> tuple[Branch, bool]:
        """Creates it where there is none (True), unless if_match asks for one."""
        return (await self._upserted(UPSERT, tenant_id, [new.row()], "code", if_match, app_id=app_id))[0]

    async def upsert(self, tenant_id: str, app_id: str, news: Sequence[NewBranch]) -> list[Branch]:
        """Creates or replaces all, or none, in the order given; without an id a code names its branch."""
        upserted = await self._upserted(UPSERT, tenant_id, [new.row() for new in news], "code", app_id=app_id)
        return in_order([new.code for new in news], [row for row, _ in upserted], "code")

    async def update(
        self, tenant_id: str, app_id: str, id: str, changes: BranchChanges, *, if_match: IfMatch = None
    ) -> Branch:
        return await self._update_one(UPDATE, GET, tenant_id, id, changes, if_match, app_id=app_id)

    async def update_many(self, tenant_id: str, app_id: str, changes: Mapping[str, BranchChanges]) -> list[Branch]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        return await self._update_all(UPDATE, GET_MANY, tenant_id, changes, app_id=app_id)

    async def disable(self, tenant_id: str, app_id: str, id: str) -> Branch:
        return await self._moved(SET_STATUS, GET, tenant_id, "disabled", ["active"], app_id=app_id, id=id)

    async def enable(self, tenant_id: str, app_id: str, id: str) -> Branch:
        return await self._moved(SET_STATUS, GET, tenant_id, "active", ["disabled"], app_id=app_id, id=id)

    async def delete(self, tenant_id: str, app_id: str, id: str, *, if_match: IfMatch = None) -> Branch:
        """A tombstone: its code is free again, its keys are dead at once."""
        return await self._matched(DELETE, GET, tenant_id, if_match, app_id=app_id, id=id)

    async def restore(self, tenant_id: str, app_id: str, id: str) -> Branch:
        restored = await self._first(RESTORE, tenant_id, app_id=app_id, id=id)
        return restored or await self.get(tenant_id, app_id, id)

    async def purge(self, tenant_id: str, app_id: str, id: str, *, after_s: int) -> None:
        """For good, with its keys."""
        await self._purge(PURGE, tenant_id, app_id=app_id, id=id, after_s=after_s)

    async def sweep(self, *, after: str, limit: int, after_s: int, tenants: int | None = None) -> Swept:
        """Purges branches of tenants after that one which were deleted for so long. With a limit of 0 it only tells
        which tenants are next."""
        return await self._swept_by_tenant(SWEEP, after, tenants, limit=limit, after_s=after_s)

    async def list(
        self,
        tenant_id: str,
        app_id: str,
        where: BranchFilter = BranchFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Branch]:
        return await self._page(LIST, tenant_id, "id", where, after, limit, app_id=app_id)
