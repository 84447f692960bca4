"""Access: which user may use which app."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from identity.db import Page, Row, Store, columns
from identity.fields import Given

Status = Literal["active", "revoked"]


class UserApp(Row):
    tenant_id: str
    app_id: str
    user_id: str
    status: Status
    granted_at: datetime
    revoked_at: datetime | None
    created_at: datetime
    updated_at: datetime


class UserAppFilter(Given):
    status: Status | None = None


COLUMNS = columns(UserApp)

GET = f"""
SELECT {COLUMNS}
  FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND user_id = %(user_id)s
"""

LIST_OF_APP = f"""
SELECT {COLUMNS}
  FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s
   AND user_id > %(after)s
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY user_id
 LIMIT %(limit)s
"""

LIST_OF_USER = f"""
SELECT {COLUMNS}
  FROM identity.user_apps
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
   AND app_id > %(after)s
   AND (%(status)s::text IS NULL OR status = %(status)s)
 ORDER BY app_id
 LIMIT %(limit)s
"""

GRANT = f"""
INSERT INTO identity.user_apps AS old (tenant_id, app_id, user_id)
SELECT %(tenant_id)s, %(app_id)s, user_id
  FROM jsonb_populate_recordset(NULL::identity.user_apps, %(rows)s) AS given
 ORDER BY user_id
    ON CONFLICT (tenant_id, app_id, user_id) DO UPDATE
   SET status = 'active', revoked_at = NULL,
       granted_at = CASE old.status WHEN 'active' THEN old.granted_at ELSE clock_timestamp() END
RETURNING {COLUMNS}, xmax = 0 AS created
"""

REVOKE = f"""
UPDATE identity.user_apps
   SET status = 'revoked', revoked_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND user_id = %(user_id)s AND status = 'active'
RETURNING {COLUMNS}
"""


class UserAppStore(Store[UserApp]):
    """There is nothing to update: access is granted or revoked."""

    row = UserApp
    noun = "access"

    async def grant(self, tenant_id: str, app_id: str, user_id: str) -> tuple[UserApp, bool]:
        """True where it is the first time; NotFound where there is no such app or user."""
        return (await self._upserted(GRANT, tenant_id, [{"user_id": user_id}], app_id=app_id))[0]

    async def grant_many(self, tenant_id: str, app_id: str, user_ids: Sequence[str]) -> list[UserApp]:
        """All or none; an error's ordinal says which user there is not."""
        rows = [{"user_id": user_id} for user_id in user_ids]
        return [row for row, _ in await self._upserted(GRANT, tenant_id, rows, app_id=app_id)]

    async def revoke(self, tenant_id: str, app_id: str, user_id: str) -> UserApp:
        """Once revoked it stays as it is; NotFound where it was never granted."""
        revoked = await self._first(REVOKE, tenant_id, app_id=app_id, user_id=user_id)
        return revoked or await self.get(tenant_id, app_id, user_id)

    async def get(self, tenant_id: str, app_id: str, user_id: str) -> UserApp:
        return await self._one(GET, tenant_id, app_id=app_id, user_id=user_id)

    async def has_access(self, tenant_id: str, app_id: str, user_id: str) -> bool:
        found = await self._first(GET, tenant_id, app_id=app_id, user_id=user_id)
        return found is not None and found.status == "active"

    async def list_of_app(
        self,
        tenant_id: str,
        app_id: str,
        where: UserAppFilter = UserAppFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[UserApp]:
        return await self._page(LIST_OF_APP, tenant_id, "user_id", after, limit, app_id=app_id, **where.model_dump())

    async def list_of_user(
        self,
        tenant_id: str,
        user_id: str,
        where: UserAppFilter = UserAppFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[UserApp]:
        return await self._page(LIST_OF_USER, tenant_id, "app_id", after, limit, user_id=user_id, **where.model_dump())
