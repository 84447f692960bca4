"""Users: people of a tenant. Names are shown as given and compared in their canonical form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import StringConstraints

from identity import filters
from identity.db import IfMatch, Page, Row, Store, Swept, columns, in_order, precondition_failed, sweep_by_tenant
from identity.fields import Changes, Email, Given, Metadata, Text, canonical, unset
from identity.leaving import Receipt, receipt

Status = Literal["active", "suspended", "locked"]
USER_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
UserId = Annotated[str, StringConstraints(pattern=USER_ID_PATTERN)]


class User(Row):
    tenant_id: str
    id: str
    username: str
    email: str | None
    full_name: str | None
    status: Status
    metadata: Metadata
    email_verified_at: datetime | None
    """When somebody proved to receive what is sent there."""
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class LeavingUser(User):
    """A user as the call answers that suspends or deletes them, with what stopped by it."""

    receipt: Receipt = Receipt()


class NewUser(Given):
    id: UserId | None = None
    """Default: a UUIDv7."""
    username: Text
    email: Email | None = None
    full_name: Text | None = None
    metadata: Metadata = {}

    def row(self) -> dict[str, Any]:
        return _with_canonical(super().row())


class UserChanges(Changes):
    username: Text = unset()
    email: Email | None = unset()
    full_name: Text | None = unset()
    metadata: Metadata | None = unset()

    def row(self) -> dict[str, Any]:
        return _with_canonical(super().row())


LAST_LOGIN = """(SELECT last_login_at FROM identity.last_logins AS login
         WHERE login.tenant_id = %(tenant_id)s AND login.user_id = id)"""

ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "username": filters.Name("username_canonical"),
    "email": filters.Name("email_canonical"),
    "full_name": filters.Text("full_name"),
    "status": filters.Text("status", get_args(Status)),
    "email_verified_at": filters.Instant("email_verified_at"),
    "last_login_at": filters.Instant(LAST_LOGIN),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
    "deleted_at": filters.Instant("deleted_at"),
    "metadata": filters.Document("metadata", by_tenant=True),
}


class UserFilter(filters.Filter):
    attributes = ATTRIBUTES

    username: str | None = None
    email: str | None = None
    status: Status | None = None

    def params(self) -> dict[str, Any]:
        """In any spelling."""
        names = {"username": self.username, "email": self.email}
        return super().params() | {column: name and canonical(name) for column, name in names.items()}


def _with_canonical(row: dict[str, Any]) -> dict[str, Any]:
    named = {column: row[column] for column in ("username", "email") if column in row}
    return row | {f"{column}_canonical": name and canonical(name) for column, name in named.items()}


# Of a user by the tenant and the id of whichever row the statement is at.
COLUMNS = f"""{columns(User, but=("last_login_at",))},
       {LAST_LOGIN} AS last_login_at"""

NAME = "username_canonical"

GET = f"""
SELECT {COLUMNS}
  FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL
"""

GET_MANY = f"""
SELECT {COLUMNS}
  FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s::text[]) AND deleted_at IS NULL
 ORDER BY id
"""

# One at a time in a tenant, as UPSERT: whoever looks records up by name, to make those that are missing, would else
# meet another who does.
HOLD_NAMED = f"""
SELECT pg_advisory_xact_lock(hashtextextended('users ' || %(tenant_id)s, 0));
SELECT {COLUMNS}
  FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL
   AND (id = ANY (%(ids)s::text[]) OR username_canonical = ANY (%(usernames)s::text[])
        OR email_canonical = ANY (%(emails)s::text[]))
 ORDER BY id FOR NO KEY UPDATE
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.users_of_tenant AS users
 WHERE tenant_id = %(tenant_id)s
   AND (deleted_at IS NOT NULL) = %(deleted)s
   AND (%(username)s::text IS NULL OR username_canonical = %(username)s)
   AND (%(email)s::text IS NULL OR email_canonical = %(email)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
"""

CREATE = f"""
INSERT INTO identity.users
       (tenant_id, id, username, username_canonical, email, email_canonical, full_name, metadata)
SELECT %(tenant_id)s, coalesce(id, identity.uuid7()), username, username_canonical,
       email, email_canonical, full_name, metadata
  FROM jsonb_populate_recordset(NULL::identity.users, %(rows)s) AS given
 ORDER BY given.id, username_canonical
RETURNING {COLUMNS}
"""

# One at a time in a tenant: two that name the same new user by username would else meet in either order.
UPSERT = f"""
SELECT pg_advisory_xact_lock(hashtextextended('users ' || %(tenant_id)s, 0));
INSERT INTO identity.users AS old
       (tenant_id, id, username, username_canonical, email, email_canonical, full_name, metadata)
SELECT %(tenant_id)s, coalesce(given.id, known.id, identity.uuid7()), given.username, given.username_canonical,
       given.email, given.email_canonical, given.full_name, given.metadata
  FROM jsonb_populate_recordset(NULL::identity.users, %(rows)s) AS given
  LEFT JOIN (
       SELECT id, username_canonical FROM identity.users
        WHERE tenant_id = %(tenant_id)s AND username_canonical = ANY (%(names)s::text[]) AND deleted_at IS NULL
       ) AS known ON given.id IS NULL AND known.username_canonical = given.username_canonical
 WHERE %(if_match)s::timestamptz[] IS NULL
    OR EXISTS (SELECT FROM identity.users WHERE tenant_id = %(tenant_id)s AND id = given.id AND deleted_at IS NULL
                AND updated_at = ANY (%(if_match)s::timestamptz[]))
 ORDER BY coalesce(given.id, known.id), given.username_canonical
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET username = excluded.username, username_canonical = excluded.username_canonical, email = excluded.email,
       email_canonical = excluded.email_canonical, full_name = excluded.full_name, metadata = excluded.metadata
 WHERE %(if_match)s::timestamptz[] IS NULL OR old.updated_at = ANY (%(if_match)s::timestamptz[])
RETURNING {COLUMNS}, xmax = 0 AS created
"""

UPDATE = f"""
WITH given AS (
    SELECT key, changes FROM jsonb_to_recordset(%(rows)s) AS given (key text, changes jsonb)
), held AS (
    SELECT id AS key FROM identity.users
     WHERE tenant_id = %(tenant_id)s AND id = ANY (%(names)s::text[]) AND deleted_at IS NULL
     ORDER BY id FOR UPDATE
)
UPDATE identity.users AS old
   SET (username, username_canonical, email, email_canonical, full_name, metadata) = (
           SELECT new.username, new.username_canonical, new.email, new.email_canonical, new.full_name,
                  identity.merge_patch(old.metadata, changes -> 'metadata')
             FROM jsonb_populate_record(old, changes) AS new)
  FROM given JOIN held USING (key)
 WHERE tenant_id = %(tenant_id)s AND id = key AND id = ANY (%(names)s::text[])
   AND (SELECT count(*) FROM held) = cardinality(%(names)s::text[])
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

SET_STATUS = f"""
UPDATE identity.users
   SET status = %(to)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL AND status = ANY (%(froms)s::text[])
RETURNING {COLUMNS}
"""

# Held by a statement of its own: a sign-in that is under way holds the user too, and the session that it made is then
# there for the receipt.
HOLD = """
SELECT FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL FOR NO KEY UPDATE;
"""

SUSPEND = f"""
{HOLD}
WITH {receipt("user_id = %(id)s")}
UPDATE identity.users
   SET status = 'suspended'
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL AND status IN ('active', 'locked')
RETURNING {COLUMNS}, (SELECT receipt FROM receipt)
"""

DELETE = f"""
{HOLD}
WITH {receipt("user_id = %(id)s")}
UPDATE identity.users
   SET deleted_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}, (SELECT receipt FROM receipt)
"""

RESTORE = f"""
UPDATE identity.users
   SET deleted_at = NULL
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NOT NULL
RETURNING {COLUMNS}
"""

PURGE = """
WITH gone AS (
    DELETE FROM identity.users
     WHERE tenant_id = %(tenant_id)s AND id = %(id)s
       AND deleted_at <= clock_timestamp() - make_interval(secs => %(after_s)s)
    RETURNING id
)
SELECT deleted_at IS NOT NULL AS deleted, EXISTS (SELECT FROM gone) AS purged
  FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

# Four of one tenant: its workers would hear of more, with their keys, as of a change of everything, and forget every
# verdict.
SWEEP = sweep_by_tenant(
    "users", "tenant_id, id", "deleted_at", "secs => %(after_s)s", of_one="4", of_all="least(%(limit)s, 20)"
)


class UserStore(Store[User]):
    row = User
    noun = "user"

    async def create(self, tenant_id: str, new: NewUser) -> User:
        """Conflict where id, username or e-mail is taken, or the tenant has as many as it may have."""
        return (await self.create_many(tenant_id, [new]))[0]

    async def create_many(self, tenant_id: str, news: Sequence[NewUser]) -> list[User]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        created: list[User] = await self._bulk(CREATE, tenant_id, [new.row() for new in news])
        return _in_order(news, created)

    async def get(self, tenant_id: str, id: str) -> User:
        return await self._one(GET, tenant_id, id=id)

    async def exists(self, tenant_id: str, id: str) -> bool:
        return await self._first(GET, tenant_id, id=id) is not None

    async def get_many(self, tenant_id: str, ids: Sequence[str]) -> list[User]:
        """Those that there are, in the order of their ids."""
        return await self._rows(GET_MANY, tenant_id, ids=list(ids))

    async def hold_named(
        self, tenant_id: str, *, ids: Sequence[str] = (), usernames: Sequence[str] = (), emails: Sequence[str] = ()
    ) -> list[User]:
        """Those that there are by any of these names, in any spelling, in the order of their ids; in a transaction
        nobody changes them before its end."""
        names = {"usernames": [canonical(name) for name in usernames], "emails": [canonical(name) for name in emails]}
        return await self._rows(HOLD_NAMED, tenant_id, ids=list(ids), **names)

    async def find(self, tenant_id: str, where: UserFilter) -> User | None:
        """The first by username or e-mail, in any spelling, or by status."""
        return next(iter((await self.list(tenant_id, where, limit=1)).items), None)

    async def replace(self, tenant_id: str, new: NewUser, *, if_match: IfMatch = None) -> tuple[User, bool]:
        """Creates it where there is none (True), unless if_match asks for one."""
        return (await self._upserted(UPSERT, tenant_id, [new.row()], NAME, if_match))[0]

    async def upsert(self, tenant_id: str, news: Sequence[NewUser]) -> list[User]:
        """Creates or replaces all, or none, in the order given; without an id a username names its user."""
        upserted = await self._upserted(UPSERT, tenant_id, [new.row() for new in news], NAME)
        return _in_order(news, [row for row, _ in upserted])

    async def update(self, tenant_id: str, id: str, changes: UserChanges, *, if_match: IfMatch = None) -> User:
        return await self._update_one(UPDATE, GET, tenant_id, id, changes, if_match)

    async def update_many(self, tenant_id: str, changes: Mapping[str, UserChanges]) -> list[User]:
        """All or none, in the order given; an error's ordinal says which was wrong."""
        return await self._update_all(UPDATE, GET_MANY, tenant_id, changes)

    async def suspend(self, tenant_id: str, id: str) -> LeavingUser:
        """Ends all their sessions, for good; their keys stop until they are active again."""
        for left in await self._run(SUSPEND, tenant_id, id=id):
            return LeavingUser(**left)
        return LeavingUser(**dict(await self._moved(SET_STATUS, GET, tenant_id, "suspended", [], id=id)))

    async def activate(self, tenant_id: str, id: str) -> User:
        return await self._moved(SET_STATUS, GET, tenant_id, "active", ["suspended"], id=id)

    async def lock(self, tenant_id: str, id: str) -> User:
        return await self._moved(SET_STATUS, GET, tenant_id, "locked", ["active"], id=id)

    async def unlock(self, tenant_id: str, id: str) -> User:
        return await self._moved(SET_STATUS, GET, tenant_id, "active", ["locked"], id=id)

    async def delete(self, tenant_id: str, id: str, *, if_match: IfMatch = None) -> LeavingUser:
        """A tombstone: username and e-mail are free again, their keys are dead at once, their sessions for good."""
        for left in await self._run(DELETE, tenant_id, id=id, if_match=if_match):
            return LeavingUser(**left)
        await self.get(tenant_id, id)
        raise precondition_failed()

    async def restore(self, tenant_id: str, id: str) -> User:
        return await self._first(RESTORE, tenant_id, id=id) or await self.get(tenant_id, id)

    async def purge(self, tenant_id: str, id: str, *, after_s: int) -> None:
        """For good, with their access and keys."""
        await self._purge(PURGE, tenant_id, id=id, after_s=after_s)

    async def sweep(self, *, after: str, limit: int, after_s: int, tenants: int | None = None) -> Swept:
        """Purges users of tenants after that one which were deleted for so long. With a limit of 0 it only tells which
        tenants are next."""
        return await self._swept_by_tenant(SWEEP, after, tenants, limit=limit, after_s=after_s)

    async def list(
        self, tenant_id: str, where: UserFilter = UserFilter(), *, after: str | None = None, limit: int = 50
    ) -> Page[User]:
        return await self._page(LIST, tenant_id, "id", where, after, limit)


def _in_order(news: Sequence[NewUser], users: Sequence[User]) -> list[User]:
    return in_order([canonical(new.username) for new in news], users, "username", canonical)
