"""Invitations: a token by which somebody becomes a user, or takes access as the user that they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, StringConstraints

from identity import filters
from identity.db import Page, Row, Store, columns, sweep
from identity.errors import Conflict, NotFound
from identity.fields import AS_WHOLE, Email, Given, Scopes, Slug, canonical
from identity.leaving import HOLD_USER
from identity.token_text import hash_token, new_token

DAY_S = 86400

Status = Literal["pending", "accepted", "withdrawn", "expired"]
InvitationToken = Annotated[str, StringConstraints(min_length=1, max_length=200)]
AppIds = Annotated[tuple[Slug, ...], Field(min_length=1, max_length=50)]
Lifetime = Annotated[int, Field(ge=60, le=30 * DAY_S), AS_WHOLE]


class Invitation(Row):
    tenant_id: str
    id: str
    email: str
    app_ids: tuple[str, ...]
    scopes: tuple[str, ...]
    """What whoever accepts may do in each of these apps."""
    invited_by: str | None
    """Who made it, or sent it last."""
    expires_at: datetime
    accepted_at: datetime | None
    accepted_by: str | None
    """The user that came of it, or took it."""
    withdrawn_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SentInvitation(Invitation):
    """As the call answers that makes it or sends it again, this once with its token."""

    token: str


class NewInvitation(Given):
    email: Email
    app_ids: AppIds
    scopes: Scopes = ()
    """In each of these apps: all of them must allow it."""
    expires_in_s: Lifetime = 7 * DAY_S


class Resending(Given):
    expires_in_s: Lifetime = 7 * DAY_S


APP_IDS = """ARRAY(SELECT app_id FROM identity.invitation_access AS access
              WHERE access.tenant_id = %(tenant_id)s AND access.invitation_id = id ORDER BY app_id)"""
SCOPES = """coalesce((SELECT scopes FROM identity.invitation_access AS access
                  WHERE access.tenant_id = %(tenant_id)s AND access.invitation_id = id LIMIT 1), '{}')"""

ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "email": filters.Name("email_canonical"),
    "app_ids": filters.Texts(APP_IDS),
    "scopes": filters.Texts(SCOPES),
    "invited_by": filters.Text("invited_by"),
    "expires_at": filters.Instant("expires_at"),
    "accepted_at": filters.Instant("accepted_at"),
    "accepted_by": filters.Text("accepted_by"),
    "withdrawn_at": filters.Instant("withdrawn_at"),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
}


class InvitationFilter(filters.Search):
    attributes = ATTRIBUTES

    email: str | None = None
    accepted_by: str | None = None
    status: Status | None = None

    def params(self) -> dict[str, Any]:
        """In any spelling."""
        return super().params() | {"email": self.email and canonical(self.email)}


class Inviter(NamedTuple):
    """Who invites, and of which tenant they are: the platform's invite to every tenant."""

    tenant_id: str
    actor: str


@dataclass(frozen=True)
class Pending:
    """An invitation that can be accepted now; never shown."""

    tenant_id: str
    id: str
    email: str
    settings: dict[str, Any]
    """The tenant's."""
    inviter: Inviter | None
    manages: list[str] | None
    """The management scopes that it gives; None where it is for no management."""


COLUMNS = f"""{columns(Invitation, but=("app_ids", "scopes"))},
       {APP_IDS} AS app_ids,
       {SCOPES} AS scopes"""

GET = f"""
SELECT {COLUMNS}
  FROM identity.invitations
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.invitations
 WHERE tenant_id = %(tenant_id)s
   AND (%(email)s::text IS NULL OR email_canonical = %(email)s)
   AND (%(accepted_by)s::text IS NULL OR accepted_by = %(accepted_by)s)
   AND (%(status)s::text IS NULL OR %(status)s = CASE
           WHEN accepted_at IS NOT NULL THEN 'accepted'
           WHEN withdrawn_at IS NOT NULL THEN 'withdrawn'
           WHEN expires_at > clock_timestamp() THEN 'pending' ELSE 'expired' END)
"""

OF_TENANT = """
SELECT id AS tenant_id, ref
  FROM identity.tenants
 WHERE id = %(tenant_id)s
"""

# Access by a statement of its own, which sees the invitation; and the last one sees both.
CREATE = f"""
INSERT INTO identity.invitations (tenant_id, email, email_canonical, token_hash, invited_by, inviter_tenant_id,
                                  expires_at)
VALUES (%(tenant_id)s, %(email)s, %(email_canonical)s, %(token_hash)s, %(invited_by)s, %(inviter_tenant_id)s,
        clock_timestamp() + make_interval(secs => %(expires_in_s)s));
INSERT INTO identity.invitation_access (tenant_id, invitation_id, app_id, scopes)
SELECT made.tenant_id, made.id, given.app_id, %(scopes)s::text[]
  FROM identity.invitations AS made CROSS JOIN (SELECT DISTINCT unnest(%(app_ids)s::text[]) AS app_id) AS given
 WHERE made.tenant_id = %(tenant_id)s AND made.token_hash = %(token_hash)s
 ORDER BY given.app_id;
SELECT {COLUMNS}
  FROM identity.invitations
 WHERE tenant_id = %(tenant_id)s AND token_hash = %(token_hash)s
"""

RESEND = f"""
UPDATE identity.invitations
   SET token_hash = %(token_hash)s, expires_at = clock_timestamp() + make_interval(secs => %(expires_in_s)s),
       withdrawn_at = NULL, invited_by = %(invited_by)s, inviter_tenant_id = %(inviter_tenant_id)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND accepted_at IS NULL
RETURNING {COLUMNS}
"""

WITHDRAW = f"""
UPDATE identity.invitations
   SET withdrawn_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND accepted_at IS NULL AND withdrawn_at IS NULL
RETURNING {COLUMNS}
"""

PENDING = """
SELECT i.tenant_id, i.id, i.email, i.invited_by, i.inviter_tenant_id, t.settings,
       (SELECT scopes FROM identity.invitation_access AS access
         WHERE access.tenant_id = %(tenant_id)s AND access.invitation_id = i.id
           AND access.app_id = 'identity') AS manages
  FROM identity.invitations AS i
  JOIN identity.tenants AS t ON t.id = i.tenant_id AND t.status = 'active' AND t.deleted_at IS NULL
 WHERE i.tenant_id = %(tenant_id)s AND i.token_hash = %(token_hash)s
   AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL AND i.expires_at > clock_timestamp()
"""

# The user first, where there is one already: as whoever purges them, who takes their invitations along.
HOLD = f"""
{HOLD_USER}
{PENDING}
   FOR UPDATE OF i
"""

# What they may do already is taken from nobody; scopes that were revoked do not come back by it, and access that was
# revoked since it was sent does not either. Only who has its token by that address proves the address.
ACCEPT = f"""
WITH accepted AS (
    UPDATE identity.invitations
       SET accepted_at = clock_timestamp(), accepted_by = %(user_id)s
     WHERE tenant_id = %(tenant_id)s AND id = %(id)s
       AND NOT EXISTS (
           SELECT FROM identity.invitation_access AS access
             JOIN identity.user_apps AS old ON old.tenant_id = %(tenant_id)s AND old.app_id = access.app_id
                  AND old.user_id = %(user_id)s AND old.status = 'revoked'
            WHERE access.tenant_id = %(tenant_id)s AND access.invitation_id = %(id)s
              AND old.revoked_at > invitations.updated_at)
    RETURNING {COLUMNS}
), proved AS (
    UPDATE identity.users
       SET email_verified_at = clock_timestamp()
      FROM identity.invitations AS i
     WHERE i.tenant_id = %(tenant_id)s AND i.id = %(id)s AND %(proves)s
       AND users.tenant_id = %(tenant_id)s AND users.id = %(user_id)s
       AND users.email_canonical = i.email_canonical AND users.email_verified_at IS NULL
), granted AS (
    INSERT INTO identity.user_apps AS old (tenant_id, app_id, user_id, scopes)
    SELECT %(tenant_id)s, access.app_id, %(user_id)s, access.scopes
      FROM identity.invitation_access AS access
      JOIN identity.apps AS a ON a.tenant_id = %(tenant_id)s AND a.id = access.app_id AND a.deleted_at IS NULL
     WHERE access.tenant_id = %(tenant_id)s AND access.invitation_id = %(id)s
     ORDER BY access.app_id
        ON CONFLICT (tenant_id, app_id, user_id) DO UPDATE
       SET status = 'active', revoked_at = NULL,
           scopes = CASE old.status WHEN 'revoked' THEN excluded.scopes ELSE old.scopes
                    || ARRAY(SELECT unnest(excluded.scopes) EXCEPT SELECT unnest(old.scopes) ORDER BY 1) END,
           granted_at = CASE old.status WHEN 'active' THEN old.granted_at ELSE clock_timestamp() END
)
SELECT * FROM accepted
"""

SWEEP = sweep("invitations", "tenant_id, id", "expires_at", kept="30 days")


class InvitationStore(Store[Invitation]):
    """Whether there is a user of that address is not looked at: so nothing tells."""

    row = Invitation
    noun = "invitation"

    async def create(self, tenant_id: str, new: NewInvitation, *, by: Inviter | None = None) -> SentInvitation:
        """NotFound where there is no such app; Invalid where an app does not allow a scope. By nobody in particular:
        by a program that may do everything."""
        given = new.model_dump(exclude={"app_ids", "scopes"}) | {
            "app_ids": list(new.app_ids),
            "scopes": list(new.scopes),
            "email_canonical": canonical(new.email),
        }
        made = await self._sent(CREATE, tenant_id, by, given)
        assert made is not None
        return made

    async def resend(
        self, tenant_id: str, id: str, again: Resending = Resending(), *, by: Inviter | None = None
    ) -> SentInvitation:
        """With another token, and as if it were new, also where it was withdrawn or had expired."""
        sent = await self._sent(RESEND, tenant_id, by, {"id": id, **again.model_dump()})
        if sent is None:
            await self.get(tenant_id, id)
            raise _accepted()
        return sent

    async def withdraw(self, tenant_id: str, id: str) -> Invitation:
        """Once more is no error."""
        withdrawn = await self._first(WITHDRAW, tenant_id, id=id) or await self.get(tenant_id, id)
        if withdrawn.accepted_at is not None:
            raise _accepted()
        return withdrawn

    async def get(self, tenant_id: str, id: str) -> Invitation:
        return await self._one(GET, tenant_id, id=id)

    async def find_by_token(self, tenant_id: str, token: str) -> Pending | None:
        """None where it is not good, or not any more."""
        return _pending(await self._run(PENDING, tenant_id, token_hash=hash_token(token)))

    async def hold(self, tenant_id: str, token: str, *, user_id: str | None = None) -> Pending | None:
        """Likewise, and in a transaction nobody else accepts it before its end, nor changes that user."""
        return _pending(await self._run(HOLD, tenant_id, token_hash=hash_token(token), user_id=user_id))

    async def accept(self, tenant_id: str, id: str, user_id: str, *, proves: bool = True) -> Invitation:
        """Of one that is held: gives the user what it says, in the apps that there are still. NotFound where access to
        one of them was revoked since it was sent."""
        return await self._one(ACCEPT, tenant_id, id=id, user_id=user_id, proves=proves)

    async def list(
        self,
        tenant_id: str,
        where: InvitationFilter = InvitationFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Invitation]:
        return await self._page(LIST, tenant_id, "id", where, after, limit)

    async def sweep(self, *, limit: int) -> int:
        """Takes up to that many of all tenants away that expired a month ago; how many it took."""
        return await self._swept(SWEEP, limit)

    async def _sent(
        self, statement: str, tenant_id: str, by: Inviter | None, given: dict[str, Any]
    ) -> SentInvitation | None:
        """What the statement made, with a new token."""
        for tenant in await self._run(OF_TENANT, tenant_id):
            token = new_token("iit", tenant["ref"])
            inviter = {"invited_by": by and by.actor, "inviter_tenant_id": by and by.tenant_id}
            made = await self._first(statement, tenant_id, token_hash=hash_token(token), **inviter, **given)
            return None if made is None else SentInvitation(**made.model_dump(), token=token)
        raise NotFound("tenant_not_found", "No such tenant.")


def _pending(found: list[dict[str, Any]]) -> Pending | None:
    for each in found:
        actor, tenant_id = each.pop("invited_by"), each.pop("inviter_tenant_id")
        return Pending(**each, inviter=None if actor is None else Inviter(tenant_id, actor))
    return None


def _accepted() -> Conflict:
    return Conflict("status_conflict", "This invitation was accepted.")
