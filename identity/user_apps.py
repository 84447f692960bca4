"""Access: which user may use which app."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args

from identity import filters
from identity.db import IfMatch, Page, Row, Store, columns, in_order, precondition_failed
from identity.fields import Given, Scopes
from identity.leaving import Receipt, receipt

Status = Literal["active", "revoked"]


class UserApp(Row):
    tenant_id: str
    app_id: str
    user_id: str
    status: Status
    scopes: tuple[str, ...]
    """What this user may do in this app."""
    granted_at: datetime
    revoked_at: datetime | None
    created_at: datetime
    updated_at: datetime


class RevokedUserApp(UserApp):
    """Access as the call answers that revokes it, with what stopped by it."""

    receipt: Receipt = Receipt()


class Grant(Given):
    scopes: Scopes | None = None
    """None: those that are there, which at first are none."""


ATTRIBUTES: filters.Attributes = {
    "app_id": filters.Text("app_id"),
    "user_id": filters.Text("user_id"),
    "status": filters.Text("status", get_args(Status)),
    "scopes": filters.Texts("scopes"),
    "granted_at": filters.Instant("granted_at"),
    "revoked_at": filters.Instant("revoked_at"),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
}


class UserAppFilter(filters.Search):
    attributes = ATTRIBUTES

    status: Status | None = None


COLUMNS = columns(UserApp)

GET = f"""
SELECT {COLUMNS}
  FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND user_id = %(user_id)s
   AND EXISTS (SELECT FROM identity.users AS living WHERE living.tenant_id = %(tenant_id)s
                  AND living.id = user_apps.user_id AND living.deleted_at IS NULL)
"""

# The living are asked for row by row: as a join the planner would read all users for one page.
LIST_OF_APP = f"""
SELECT {COLUMNS}
  FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (SELECT deleted_at IS NULL FROM identity.users AS living
         WHERE living.tenant_id = %(tenant_id)s AND living.id = user_apps.user_id)
"""

LIST_OF_USER = f"""
SELECT {COLUMNS}
  FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (SELECT deleted_at IS NULL FROM identity.apps AS living
         WHERE living.tenant_id = %(tenant_id)s AND living.id = user_apps.app_id)
"""

HAS_ACCESS = """
SELECT EXISTS (
       SELECT FROM identity.user_apps AS access
         JOIN identity.apps AS app ON app.tenant_id = access.tenant_id AND app.id = access.app_id
         JOIN identity.users AS owner ON owner.tenant_id = access.tenant_id AND owner.id = access.user_id
        WHERE access.tenant_id = %(tenant_id)s AND access.app_id = %(app_id)s AND access.user_id = %(user_id)s
          AND access.status = 'active' AND app.status = 'active' AND owner.status = 'active'
          AND app.deleted_at IS NULL AND owner.deleted_at IS NULL
       ) AS has_access
"""

# Who is given management scopes is held first, as by whoever makes a reset for them: one sees what the other did.
GRANT = f"""
SELECT FROM identity.users
 WHERE %(app_id)s = 'identity' AND tenant_id = %(tenant_id)s AND id = ANY (%(names)s) ORDER BY id FOR NO KEY UPDATE;
INSERT INTO identity.user_apps AS old (tenant_id, app_id, user_id, scopes)
SELECT %(tenant_id)s, %(app_id)s, user_id, coalesce(%(scopes)s::text[], '{{}}')
  FROM jsonb_populate_recordset(NULL::identity.user_apps, %(rows)s) AS given
 WHERE %(if_match)s::timestamptz[] IS NULL
    OR EXISTS (SELECT FROM identity.user_apps
                WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND user_id = given.user_id)
 ORDER BY user_id
    ON CONFLICT (tenant_id, app_id, user_id) DO UPDATE
   SET status = 'active', revoked_at = NULL, scopes = coalesce(%(scopes)s::text[], old.scopes),
       granted_at = CASE old.status WHEN 'active' THEN old.granted_at ELSE clock_timestamp() END
 WHERE %(if_match)s::timestamptz[] IS NULL OR old.updated_at = ANY (%(if_match)s::timestamptz[])
RETURNING {COLUMNS}, xmax = 0 AS created
"""

# Held by a statement of its own, as a user who leaves.
HOLD = """
SELECT FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND user_id = %(user_id)s FOR NO KEY UPDATE;
"""

REVOKE = f"""
{HOLD}
WITH {receipt("user_id = %(user_id)s AND app_id = %(app_id)s")}
UPDATE identity.user_apps
   SET status = 'revoked', revoked_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND user_id = %(user_id)s AND status = 'active'
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
   AND EXISTS (SELECT FROM identity.users AS living WHERE living.tenant_id = %(tenant_id)s
                  AND living.id = user_apps.user_id AND living.deleted_at IS NULL)
RETURNING {COLUMNS}, (SELECT receipt FROM receipt)
"""


HELD_SCOPES = """
SELECT unnest(scopes) AS scope
  FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND app_id = 'identity' AND user_id = %(user_id)s
"""


class UserAppStore(Store[UserApp]):
    """There is nothing to update: access is granted, with what one may do, or revoked."""

    row = UserApp
    noun = "access"

    taken = "already_granted"

    async def grant(
        self, tenant_id: str, app_id: str, user_id: str, grant: Grant = Grant(), *, if_match: IfMatch = None
    ) -> tuple[UserApp, bool]:
        """True where it is the first time; NotFound where there is no such app or user."""
        scopes = None if grant.scopes is None else list(grant.scopes)
        given = {"app_id": app_id, "scopes": scopes}
        return (await self._upserted(GRANT, tenant_id, [{"user_id": user_id}], "user_id", if_match, **given))[0]

    async def grant_many(self, tenant_id: str, app_id: str, user_ids: Sequence[str]) -> list[UserApp]:
        """All or none, in the order given, each with the scopes that are there; an error's ordinal says which user
        there is not."""
        rows = [{"user_id": user_id} for user_id in user_ids]
        granted = await self._upserted(GRANT, tenant_id, rows, "user_id", app_id=app_id, scopes=None)
        return in_order(user_ids, [row for row, _ in granted], "user_id")

    async def revoke(self, tenant_id: str, app_id: str, user_id: str, *, if_match: IfMatch = None) -> RevokedUserApp:
        """Ends the user's sessions of that app, for good; their keys of it stop until it is granted again. Once
        revoked it stays as it is; NotFound where it was never granted."""
        for revoked in await self._run(REVOKE, tenant_id, app_id=app_id, user_id=user_id, if_match=if_match):
            return RevokedUserApp(**revoked)
        found = await self.get(tenant_id, app_id, user_id)
        if if_match is not None and found.updated_at not in if_match:
            raise precondition_failed()
        return RevokedUserApp(**dict(found))

    async def get(self, tenant_id: str, app_id: str, user_id: str) -> UserApp:
        return await self._one(GET, tenant_id, app_id=app_id, user_id=user_id)

    async def find(self, tenant_id: str, app_id: str, user_id: str) -> UserApp | None:
        """None where it was never granted."""
        return await self._first(GET, tenant_id, app_id=app_id, user_id=user_id)

    async def exists(self, tenant_id: str, app_id: str, user_id: str) -> bool:
        """Whether it was ever granted."""
        return await self.find(tenant_id, app_id, user_id) is not None

    async def has_access(self, tenant_id: str, app_id: str, user_id: str) -> bool:
        """Whether this user may use this app now: granted, and both of them active."""
        [found] = await self._run(HAS_ACCESS, tenant_id, app_id=app_id, user_id=user_id)
        return bool(found["has_access"])

    async def held_scopes(self, tenant_id: str, user_id: str) -> list[str]:
        """What this user may do over this service, awake or not: revoked access too is granted again at a word."""
        return [row["scope"] for row in await self._run(HELD_SCOPES, tenant_id, user_id=user_id)]

    async def list_of_app(
        self,
        tenant_id: str,
        app_id: str,
        where: UserAppFilter = UserAppFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[UserApp]:
        return await self._page(LIST_OF_APP, tenant_id, "user_id", where, after, limit, app_id=app_id)

    async def list_of_user(
        self,
        tenant_id: str,
        user_id: str,
        where: UserAppFilter = UserAppFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[UserApp]:
        return await self._page(LIST_OF_USER, tenant_id, "app_id", where, after, limit, user_id=user_id)
