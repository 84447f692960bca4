"""/v1/tenants/{tenant_id}/invitations"""

from __future__ import annotations

from typing import Any

from identity.api.call import Answer, Call
from identity.api.routes import Table
from identity.apps import IDENTITY
from identity.auth import must_outrank
from identity.db import Page
from identity.invitations import Invitation, InvitationFilter, Inviter, NewInvitation, Resending, SentInvitation

table = Table("invitations")

LIST = "/v1/tenants/{tenant_id}/invitations"
ONE = f"{LIST}/{{invitation_id}}"


def _inviter(call: Call[Any]) -> Inviter:
    return Inviter(call.principal.tenant_id, call.principal.actor)


@table.get(LIST, scope="users:read", answers=Page[Invitation], where=InvitationFilter)
async def list_invitations(call: Call[None], tenant_id: str) -> Page[Invitation]:
    """List invitations.

    Those that were accepted or withdrawn, or have expired, too; `status` tells them apart. They go a month after they
    expired.
    """
    return await call.stores.invitations.list(tenant_id, call.where, **call.page)


@table.post(
    LIST,
    scope="users:write",
    takes=NewInvitation,
    answers=SentInvitation,
    raises=("insufficient_rank", "scope_not_allowed", "not_a_management_scope"),
)
async def create_invitation(call: Call[NewInvitation], tenant_id: str) -> Answer:
    """Invite somebody.

    The answer holds a token, this once: send it to that address, and nowhere else, since whoever has it may accept. The
    `scopes` are for each of the apps, which must allow them as for a grant; of the app `identity` the caller must hold
    them all, and must hold them still when it is accepted. Whether there is a user of that address is not told.
    """
    if IDENTITY in call.body.app_ids:
        must_outrank(call.principal, call.body.scopes)
    made = await call.stores.invitations.create(tenant_id, call.body, by=_inviter(call))
    return Answer(201, made, f"{call.request.url.path}/{made.id}")


@table.get(ONE, scope="users:read", answers=Invitation)
async def get_invitation(call: Call[None], tenant_id: str, invitation_id: str) -> Invitation:
    """Get an invitation.

    Without its token, which nobody can ask for again.
    """
    return await call.stores.invitations.get(tenant_id, invitation_id)


@table.action(
    f"{ONE}/resend",
    scope="users:write",
    takes=Resending,
    answers=SentInvitation,
    adds=True,
    raises=("insufficient_rank", "status_conflict"),
)
async def resend_invitation(call: Call[Resending], tenant_id: str, invitation_id: str) -> SentInvitation:
    """Send an invitation again.

    With another token, shown this once; the one before it is good no more. Also where it was withdrawn or has expired.
    It is then the caller's invitation.
    """
    found = await call.stores.invitations.get(tenant_id, invitation_id)
    if IDENTITY in found.app_ids:
        must_outrank(call.principal, found.scopes)
    return await call.stores.invitations.resend(tenant_id, invitation_id, call.body, by=_inviter(call))


@table.action(f"{ONE}/withdraw", scope="users:write", answers=Invitation, raises=("status_conflict",))
async def withdraw_invitation(call: Call[None], tenant_id: str, invitation_id: str) -> Invitation:
    """Withdraw an invitation.

    Its token is good no more, until it is sent again. Once more is no error.
    """
    return await call.stores.invitations.withdraw(tenant_id, invitation_id)
