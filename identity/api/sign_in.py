"""POST /v1/tenants/{tenant_id}/sessions: signing in. Whatever is wrong, the answer is the same and takes as long."""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import digest
from typing import Annotated, Literal

from pydantic import BaseModel, StringConstraints
from starlette.requests import Request

from identity.api.call import Answer, Service
from identity.api.keys import MAX_VERIFY_BYTES
from identity.api.proving import SignInFailed, challenge, count_failure, needs_factor, prove
from identity.api.rate_limit import TooManyRequests, network_of
from identity.api.routes import PUBLIC, Table
from identity.factors import Proof, Totp
from identity.fields import SLUG_PATTERN, Given, Slug, canonical
from identity.hashing import TooBusy
from identity.passwords import Holder, Password
from identity.sessions import NewSession, Successor
from identity.sign_ins import Rate
from identity.stores import LIFETIMES, Stores
from identity.tenants import PLATFORM, TenantSettings

table = Table("sessions")

ACTOR = "sign-in"
MAX_USER_AGENT_CHARS = 500
NOWHERE_DIGITS = 4
"""Hexadecimal: 65,536 names, of which each is new to whoever tries a few."""

Login = Annotated[str, StringConstraints(min_length=1, max_length=320)]
AskedScope = Annotated[str, StringConstraints(max_length=4000, pattern=r"^([!#-\[\]-~]+( [!#-\[\]-~]+)*)?$")]


class SignIn(Given):
    login: Login
    """Username or e-mail, in any spelling."""
    password: Password
    app_id: Slug
    totp: Totp | None = None
    """A code of the second factor, where the user has one: else it is asked for."""
    scope: AskedScope | None = None
    """What of it is granted will be in the token; default: all that is."""


class SignedIn(BaseModel):
    """As OAuth answers (RFC 6749, section 5.1), and the session's id."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (a type, not a token)
    expires_in: int
    refresh_token: str
    session_id: str
    scope: str


@table.post(
    "/v1/tenants/{tenant_id}/sessions",
    scope=PUBLIC,
    takes=SignIn,
    answers=SignedIn,
    max_body=MAX_VERIFY_BYTES,
    raises=("sign_in_failed", "mfa_required", "route_not_found", "too_many_requests", "too_busy", "factor_unreadable"),
)
async def sign_in(service: Service, request: Request, body: SignIn) -> Answer:
    """Sign in.

    With username or e-mail, and password, to an app. An unknown user, a wrong password, and one who may not sign in,
    or not just now, are told alike. Who has a second factor, or must have one, is told `mfa_required` where no `totp`
    came along, with an `mfa_token` by which to go on.
    """
    tenant_id = tenant_of(request)
    await admit(service, request, tenant_id)
    stores = service.stores_for(request, ACTOR)
    holder = await stores.passwords.find(tenant_id, login=body.login, app_id=body.app_id)
    found = None
    password = body.password.get_secret_value()
    if await is_right(service, holder, password, by_stranger=True) and holder and holder.may_use_app:
        await _rehash(service, stores, holder, password)
        found = await _begin(service, stores, holder, request, body)
    if found is None:
        await note_failure(service, stores, holder, tenant_id, body.login)
        raise SignInFailed
    return Answer(201, await signed_in(service, found), location_of(found))


def location_of(found: Successor) -> str:
    live = found.session
    return f"/v1/tenants/{live.tenant_id}/users/{live.user_id}/sessions/{live.session_id}"


async def signed_in(service: Service, found: Successor) -> SignedIn:
    """A live session as its app gets it."""
    live = found.session
    token = await service.tokens.sign(
        live.tenant_id,
        live.app_id,
        live.user_id,
        scopes=live.scopes,
        lifetime_s=live.access_token_s,
        session_id=live.session_id,
    )
    return SignedIn(
        access_token=token,
        expires_in=live.access_token_s,
        refresh_token=found.refresh_token,
        session_id=live.session_id,
        scope=" ".join(live.scopes),
    )


def tenant_of(request: Request) -> str:
    """Whatever can be no tenant's id is nobody's; the database need not hear of it."""
    id: str = request.path_params["tenant_id"]
    return id if re.fullmatch(SLUG_PATTERN.strip("^$"), id) else ""


async def admit(service: Service, request: Request, tenant_id: str) -> None:
    """TooManyRequests where the address, or the tenant, has tried as often as it may; whom it tried does not matter.
    A tenant that there is not has an allowance too, as one that there is: else this would tell which there are."""
    await _take(service, f"address {network_of(request.state.address)}", f"tenant {tenant_id}")


async def admit_known(service: Service, tenant_id: str, user_id: str) -> None:
    """Likewise for who calls with a credential, by whom it is about: no stranger uses that allowance up."""
    await _take(service, f"known user {tenant_id}/{user_id}", f"known tenant {tenant_id}")


async def _take(service: Service, one: str, all: str) -> None:
    first = Rate(_blind(service, one), service.settings.sign_ins_per_address)
    then = Rate(_blind(service, all), service.settings.sign_ins_per_tenant)
    if not await service.stores.sign_ins.take(first, then):
        raise TooManyRequests(60 / min(first.a_minute, then.a_minute))


async def is_right(service: Service, holder: Holder | None, password: str, *, by_stranger: bool = False) -> bool:
    """Whether it is the holder's password and good for something now: hashed all the same where it is not."""
    matches = await service.hasher.verify(holder.hash if holder else None, password, by_stranger=by_stranger)
    return matches and holder is not None and not holder.is_paused


async def note_failure(service: Service, stores: Stores, holder: Holder | None, tenant_id: str, login: str) -> None:
    """Of whoever it was meant for; of nobody likewise, since to write takes time. Of a tenant that there is not it is
    the platform's, under one of so few names that no stranger fills a table with them; nobody reads it."""
    name = f"login {canonical(login)}"
    if holder is None:
        name = "#" + _blind(service, f"tenant {tenant_id} {name}").hex()[:NOWHERE_DIGITS]
        await stores.sign_ins.failed(PLATFORM, name, **TenantSettings().lockout.model_dump())
    else:
        await count_failure(stores, holder, holder.user_id or "#" + _blind(service, name).hex())


def user_agent_of(request: Request) -> str:
    text = "".join(char for char in request.headers.get("user-agent", "") if char.isprintable())
    return text[:MAX_USER_AGENT_CHARS]


async def _begin(service: Service, stores: Stores, holder: Holder, request: Request, body: SignIn) -> Successor | None:
    """MfaRequired, or SignInFailed, where a second factor is asked for and did not come along, or a wrong one."""
    assert holder.user_id is not None
    new = NewSession(
        user_id=holder.user_id,
        app_id=body.app_id,
        scopes=None if body.scope is None else body.scope.split(),
        address=request.state.address,
        user_agent=user_agent_of(request),
        if_changed_at=holder.changed_at,
    )
    if not needs_factor(holder):
        return await stores.sessions.create(holder.tenant_id, holder.ref, new, LIFETIMES)
    if body.totp is None or not holder.has_factor:
        raise await challenge(stores, holder, new)
    return (await prove(service, stores, holder.tenant_id, holder.ref, new, Proof(totp=body.totp))).successor


async def _rehash(service: Service, stores: Stores, holder: Holder, password: str) -> None:
    """Now that the password is known. Where there is no room for that, the next time will do."""
    if holder.hash is None or holder.user_id is None or holder.changed_at is None:
        return
    if service.hasher.is_outdated(holder.hash):
        try:
            hash = await service.hasher.hash(password)
        except TooBusy:
            return
        await stores.passwords.rehash(holder.tenant_id, holder.user_id, hash, if_changed_at=holder.changed_at)


def _blind(service: Service, about: str) -> bytes:
    """What is counted by, so that it need not be stored."""
    return digest(service.secret_keys[0], b"identity sign-in " + about.encode(), sha256)
