"""/oauth/introspect: what a token or a key is worth, by what the database says now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from identity.api.call import Call, Service
from identity.api.forms import MAX_FORM_BYTES, Form
from identity.api.keys import tell
from identity.api.routes import Table
from identity.auth import Principal, held, key_of, session_of
from identity.stores import LIFETIMES
from identity.token_text import TokenText, parse_token
from identity.tokens import KEY, Claims
from identity.verify import Verification, verdict

table = Table("oauth")

PATH = "/oauth/introspect"
BEARER = "Bearer"


class TokenInQuestion(Form):
    token: str = Field(min_length=1)
    """An access token, a refresh token, or an app key."""
    token_type_hint: str | None = None


Text = Annotated[str | None, Field(exclude_if=lambda value: value is None)]
Seconds = Annotated[int | None, Field(exclude_if=lambda value: value is None)]


class Introspection(BaseModel):
    """Whether it is good now, and whose it is (RFC 7662). Of what is not, nothing else is told."""

    active: bool
    scope: Text = None
    client_id: Text = None
    token_type: Text = None
    exp: Seconds = None
    iat: Seconds = None
    sub: Text = None
    aud: Text = None
    iss: Text = None
    jti: Text = None
    sid: Text = None
    tenant_id: Text = None
    app_id: Text = None
    branch_id: Text = None
    user_id: Text = None
    key_id: Text = None
    environment: Text = None


INACTIVE = Introspection(active=False)


@table.post(
    PATH,
    scope="keys:verify",
    takes=TokenInQuestion,
    answers=Introspection,
    status=200,
    form=True,
    max_body=MAX_FORM_BYTES,
)
async def introspect(call: Call[TokenInQuestion]) -> Introspection:
    """Tell what a token or a key is worth.

    Of access tokens, refresh tokens and app keys, by what the database says now. What is unknown, dead, or not the
    caller's to see is `{"active": false}`, and so is a key with rules of addresses or routes: those are judged by a
    verification. The caller may also name itself by HTTP Basic: its app, and its key.
    """
    service, caller, text = call.service, call.principal, call.body.token
    if (refresh := parse_token(text)) is not None:
        return await _of_refresh_token(service, caller, refresh, text)
    if (claims := await service.tokens.read(text)) is None:
        return await _of_key(service, caller, text)
    if not caller.may_see(claims.tenant_id, claims.app_id):
        return INACTIVE
    if claims.key_id is None:
        return await _of_person(service, claims)
    return await _of_keys_token(service, claims)


async def _of_key(service: Service, caller: Principal, text: str) -> Introspection:
    """As a verification that asks for nothing but the key."""
    known = await service.verifier.look_up(text)
    [told] = await tell(service, caller, [known], [Verification(key=text)])
    its = verdict(told)
    if not its.valid:
        return INACTIVE
    named = its.model_dump(include={"tenant_id", "app_id", "branch_id", "user_id", "key_id", "environment"})
    return _active(f"{its.tenant_id}/{its.app_id}", its.scopes or (), its.expires_at, sub=f"{KEY}{its.key_id}", **named)


async def _of_refresh_token(service: Service, caller: Principal, token: TokenText, text: str) -> Introspection:
    tenant_id = await service.stores.tenants.find_by_ref(token.ref)
    live = tenant_id and await service.stores.sessions.find_by_token(tenant_id, text, LIFETIMES)
    if not live or not caller.may_see(live.tenant_id, live.app_id):
        return INACTIVE
    named = live.model_dump(include={"tenant_id", "app_id", "user_id"})
    client = f"{live.tenant_id}/{live.app_id}"
    return _active(client, live.scopes, live.expires_at, sub=live.user_id, sid=live.session_id, **named)


async def _of_person(service: Service, claims: Claims) -> Introspection:
    live = await session_of(claims, service.stores.sessions)
    if live is None:
        return INACTIVE
    return _active(claims.client_id, held(claims.scopes, live.app_id, live.scopes), None, **_said(claims))


async def _of_keys_token(service: Service, claims: Claims) -> Introspection:
    """As good as the key that got it, as it is now."""
    known = await key_of(claims, service.verifier)
    if known is None or known.code != "valid" or known.has_rules:
        return INACTIVE
    service.usage.count(known.tenant_id, known.key_id, "valid")
    said = _said(claims) | {"user_id": known.user_id}
    return _active(claims.client_id, held(claims.scopes, known.app_id, known.scopes), None, **said)


def _said(claims: Claims) -> dict[str, Any]:
    derived = {name: getattr(claims, name) for name in ("tenant_id", "app_id", "user_id", "key_id")}
    return claims.model_dump(include={"exp", "iat", "sub", "iss", "jti", "sid", "branch_id", "environment"}) | derived


def _active(client: str, scopes: tuple[str, ...], expires_at: datetime | None, **more: Any) -> Introspection:
    exp = {} if expires_at is None else {"exp": int(expires_at.timestamp())}
    return Introspection(
        active=True,
        scope=" ".join(scopes),
        client_id=client,
        aud=client,
        token_type=BEARER,
        **exp,
        **more,
    )
