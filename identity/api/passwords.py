"""/v1/tenants/{tenant_id}/users/{user_id}/password, and resetting one that was forgotten."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request

from identity.api.call import Answer, Call, Service, there_is_one
from identity.api.keys import MAX_VERIFY_BYTES
from identity.api.proving import count_failure
from identity.api.rank import must_be_another_and_outrank, must_be_oneself_or_outrank, must_outrank_owner
from identity.api.routes import PUBLIC, Table
from identity.api.sign_in import ACTOR, admit, admit_known, is_right, tenant_of
from identity.errors import FieldError, Forbidden, Invalid, NotFound
from identity.fields import known_as
from identity.passwords import (
    Holder,
    NewPassword,
    NewReset,
    PasswordChange,
    PasswordChanges,
    Redemption,
    Reset,
    judge,
)
from identity.tenants import TenantSettings

table = Table("passwords")

ONE = "/v1/tenants/{tenant_id}/users/{user_id}/password"
OWN = "One's own password is changed by POST, with the old one."
WEAK = ("password_too_short", "password_too_weak", "too_busy")


@table.put(
    ONE,
    scope="users:write",
    takes=NewPassword,
    answers=PasswordChange,
    action=True,
    max_body=MAX_VERIFY_BYTES,
    raises=("insufficient_rank", *WEAK),
)
async def put_password(call: Call[NewPassword], tenant_id: str, user_id: str) -> PasswordChange:
    """Set a user's password.

    Or its `hash`, made by another system, which is made anew when the user signs in with it for the first time. Ends
    all their sessions. Of a user who may manage, the caller must hold all that they may do. If-Match is about the user;
    `If-None-Match: *` sets only a first password.
    """
    await must_be_another_and_outrank(call, user_id, OWN)
    holder = await _holder(call)
    if call.only_creates and holder.hash is not None:
        raise there_is_one()
    hash = call.body.given_hash or await _hashed(call.service, holder, call.body.password)
    async with call.stores.transaction() as tx:
        changed = await tx.passwords.set(tenant_id, user_id, hash, if_match=call.if_match)
        await must_outrank_owner(replace(call, stores=tx), user_id)  # again: hashing takes its time
    return changed


@table.post(
    ONE,
    scope="users:write",
    takes=PasswordChanges,
    answers=PasswordChange,
    status=200,
    by_oneself=True,
    max_body=MAX_VERIFY_BYTES,
    raises=("insufficient_rank", "old_password_wrong", "too_many_requests", *WEAK),
)
async def change_password(call: Call[PasswordChanges], tenant_id: str, user_id: str) -> PasswordChange:
    """Change a password by the old one.

    By the user with an access token of the app `identity`, or for them. Ends all their sessions. Wrong old passwords
    pause it as failed sign-ins pause signing in; neither pauses the other.
    """
    await must_be_oneself_or_outrank(call, user_id)
    service, stores = call.service, call.stores
    await admit_known(service, tenant_id, user_id)
    holder = await _holder(call)
    if not await is_right(service, holder, call.body.old_password.get_secret_value()):
        await count_failure(stores, holder, known_as(user_id))
        raise Forbidden("old_password_wrong", "The old password is another, or none is taken just now.")
    hash = await _hashed(service, holder, call.body.password)
    return await stores.passwords.set(tenant_id, user_id, hash, if_changed_at=holder.changed_at)


@table.action(
    f"{ONE}-reset",
    scope="users:write",
    takes=NewReset,
    answers=Reset,
    raises=("insufficient_rank", "no_email"),
)
async def reset_password(call: Call[NewReset], tenant_id: str, user_id: str) -> Reset:
    """Make a token by which a password is reset.

    Good once, for an hour, in place of the one before it, and until the user is given more management scopes. Send it
    to the user: whoever has it may set the password.
    """
    await must_be_another_and_outrank(call, user_id, OWN)
    async with call.stores.transaction() as tx:
        made = await tx.passwords.make_reset(tenant_id, user_id, by_email=call.body.by_email)
        await must_outrank_owner(replace(call, stores=tx), user_id)  # again: whoever grants more now waits, and ends it
    return made


@table.post(
    "/v1/tenants/{tenant_id}/password-reset",
    scope=PUBLIC,
    takes=Redemption,
    answers=None,
    status=204,
    max_body=MAX_VERIFY_BYTES,
    raises=("reset_not_good", "route_not_found", "too_many_requests", *WEAK),
)
async def redeem_reset(service: Service, request: Request, body: Redemption) -> Answer:
    """Set a password by the token of a reset.

    Ends all sessions of the user. Where the token was sent by e-mail, the address is proved with it.
    """
    tenant_id = tenant_of(request)
    await admit(service, request, tenant_id)
    stores = service.stores_for(request, ACTOR)
    holder = await stores.passwords.find_by_reset(tenant_id, body.token)
    if holder is None or holder.user_id is None:
        raise _not_good()
    hash = await _hashed(service, holder, body.password)
    if await stores.passwords.redeem(tenant_id, holder.user_id, body.token, hash) is None:
        raise _not_good()
    return Answer(204)


async def _holder(call: Call[NewPassword] | Call[PasswordChanges]) -> Holder:
    tenant_id, user_id = call.path["tenant_id"], call.path["user_id"]
    holder = await call.stores.passwords.find(tenant_id, user_id=user_id, counted_as=known_as(user_id))
    if holder is None or holder.user_id is None:
        raise NotFound("user_not_found", "No such user.")
    return holder


async def _hashed(service: Service, holder: Holder, password: SecretStr) -> str:
    return await hashed(service, holder.settings, holder.names, password)


async def hashed(service: Service, settings: dict[str, Any], names: tuple[str, ...], password: SecretStr) -> str:
    """Judged by the tenant's policy, and hashed, where there is room for both."""
    policy = TenantSettings.model_validate(settings).password_policy
    text = password.get_secret_value()
    return await service.hasher.hash(text, partial(judge, text, min_length=policy.min_length, names=names))


def _not_good() -> Invalid:
    detail = "is not known, was used or replaced, or has expired"
    return Invalid("reset_not_good", f"The token {detail}.", errors=(FieldError(detail, pointer="/token"),))
