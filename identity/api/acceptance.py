"""Accepting an invitation: as a new user, without a credential, or as the user that one is."""

from __future__ import annotations

from starlette.requests import Request

from identity.api.call import Answer, Call, Service
from identity.api.judging import point
from identity.api.keys import MAX_VERIFY_BYTES
from identity.api.passwords import WEAK, hashed
from identity.api.routes import PUBLIC, Table
from identity.api.sign_in import admit, tenant_of
from identity.auth import outranks, scopes_of
from identity.errors import Conflict, FieldError, Invalid, NotFound
from identity.fields import Given, Text
from identity.invitations import Invitation, InvitationToken, Pending
from identity.passwords import Password
from identity.stores import Stores
from identity.users import NewUser, User

table = Table("acceptance")

ACTOR = "invitation"


class InvitationNotGood(Invalid):
    """That is all that anybody is told."""

    def __init__(self) -> None:
        detail = "is not known, was used, replaced or withdrawn, or has expired"
        super().__init__("invitation_not_good", f"The token {detail}.", errors=(FieldError(detail, pointer="/token"),))


class Acceptance(Given):
    token: InvitationToken
    username: Text
    password: Password
    full_name: Text | None = None


class AcceptanceAsUser(Given):
    token: InvitationToken


@table.post(
    "/v1/tenants/{tenant_id}/invitations/accept",
    scope=PUBLIC,
    takes=Acceptance,
    answers=User,
    max_body=MAX_VERIFY_BYTES,
    raises=(
        *("invitation_not_good", "username_taken", "email_taken", "users_max_reached"),
        *("route_not_found", "too_many_requests", *WEAK),
    ),
)
async def accept_invitation(service: Service, request: Request, body: Acceptance) -> Answer:
    """Accept an invitation as a new user.

    Their e-mail address is the one that was invited, and proved by it. Where somebody has that address already, whoever
    holds the token is told `email_taken`, and the token stays good: they sign in, and accept it as that user.
    """
    tenant_id = tenant_of(request)
    await admit(service, request, tenant_id)
    stores = service.stores_for(request, ACTOR)
    found = await stores.invitations.find_by_token(tenant_id, body.token)
    if found is None:
        raise InvitationNotGood
    names = tuple(filter(None, (body.username, found.email, body.full_name)))
    hash = await hashed(service, found.settings, names, body.password)
    try:
        async with stores.transaction() as tx:
            held = await _hold(service, tx, tenant_id, body.token)
            new = NewUser(username=body.username, email=held.email, full_name=body.full_name)
            id = (await tx.users.create(tenant_id, new)).id
            await tx.passwords.set(tenant_id, id, hash)
            await _accept(tx, held, id)
            user = await tx.users.get(tenant_id, id)
    except Conflict as error:
        raise point(error, Acceptance.model_fields) from None
    return Answer(201, user, f"/v1/tenants/{tenant_id}/users/{id}")


@table.post(
    "/v1/tenants/{tenant_id}/users/{user_id}/accept-invitation",
    scope="users:write",
    takes=AcceptanceAsUser,
    answers=Invitation,
    status=200,
    by_oneself=True,
    action=True,
    max_body=MAX_VERIFY_BYTES,
    raises=("invitation_not_good",),
)
async def accept_as_user(call: Call[AcceptanceAsUser], tenant_id: str, user_id: str) -> Invitation:
    """Accept an invitation as a user.

    By the user with an access token of the app `identity`, or for them. They get its apps and scopes besides what they
    have; where they call themselves, and the invited address is theirs, it is proved.
    """
    async with call.stores.transaction() as tx:
        await tx.users.get(tenant_id, user_id)
        held = await _hold(call.service, tx, tenant_id, call.body.token, user_id)
        return await _accept(tx, held, user_id, proves=call.principal.is_user(tenant_id, user_id))


async def _hold(service: Service, tx: Stores, tenant_id: str, token: str, user_id: str | None = None) -> Pending:
    """What it gives over this service is judged as if whoever invited granted it now."""
    held = await tx.invitations.hold(tenant_id, token, user_id=user_id)
    if held is None:
        raise InvitationNotGood
    if held.manages is None or held.inviter is None:
        return held
    scopes = list(held.manages)
    if user_id is not None:
        scopes += await tx.user_apps.held_scopes(tenant_id, user_id)
        scopes += await tx.app_keys.held_scopes(tenant_id, user_id=user_id)
    if not outranks(await scopes_of(held.inviter.actor, held.inviter.tenant_id, service.verifier, tx), scopes):
        raise InvitationNotGood
    return held


async def _accept(tx: Stores, held: Pending, user_id: str, *, proves: bool = True) -> Invitation:
    """An app may have narrowed since what it allows, or the access been revoked."""
    try:
        return await tx.invitations.accept(held.tenant_id, held.id, user_id, proves=proves)
    except (Invalid, NotFound):
        raise InvitationNotGood from None
