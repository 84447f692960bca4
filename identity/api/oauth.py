"""/oauth: tokens for an app's keys, what a token or a key is worth now, and the end of one."""

from __future__ import annotations

import re
import time
from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from identity import key_text
from identity.api.call import Call, Service
from identity.api.forms import MAX_FORM_BYTES, Client, ClientForm, Form, client_of, open_to_pages
from identity.api.keys import tell
from identity.api.routes import PUBLIC, Table
from identity.auth import Principal, held, key_of
from identity.errors import InvalidClient, OAuthError
from identity.fields import SCOPE_PATTERN
from identity.tokens import KEY, Claims
from identity.verify import Known, Verification, verdict

table = Table("oauth")

MAX_SCOPES = 100
OF_KEYS = ("secret", "service")
"""The types of keys that get tokens: a public one is no secret, and a restricted one would be less so."""
NO_RULES = "This key has limits, or rules of addresses or routes, which no token could keep: use the key itself."


def _is_none(value: object) -> bool:
    return value is None


class TokenRequest(ClientForm):
    grant_type: str = Field(min_length=1)
    """`client_credentials`."""
    scope: str | None = None
    """Those wanted, with a space between; default: all that the key has."""


class IssuedToken(BaseModel):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    scope: str


class TokenInQuestion(Form):
    token: str = Field(min_length=1)
    """An access token, or an app key."""
    token_type_hint: str | None = None


class TokenToRevoke(ClientForm):
    token: str = Field(min_length=1)
    token_type_hint: str | None = None


class Revoked(BaseModel):
    """Nothing more is told, whatever it was (RFC 7009, section 2.2)."""


class Introspection(BaseModel):
    """Whether it is good now, and whose it is (RFC 7662). Of what is not, nothing else is told."""

    active: bool
    scope: str | None = Field(default=None, exclude_if=_is_none)
    client_id: str | None = Field(default=None, exclude_if=_is_none)
    token_type: str | None = Field(default=None, exclude_if=_is_none)
    exp: int | None = Field(default=None, exclude_if=_is_none)
    iat: int | None = Field(default=None, exclude_if=_is_none)
    sub: str | None = Field(default=None, exclude_if=_is_none)
    aud: str | None = Field(default=None, exclude_if=_is_none)
    iss: str | None = Field(default=None, exclude_if=_is_none)
    jti: str | None = Field(default=None, exclude_if=_is_none)
    sid: str | None = Field(default=None, exclude_if=_is_none)
    tenant_id: str | None = Field(default=None, exclude_if=_is_none)
    app_id: str | None = Field(default=None, exclude_if=_is_none)
    branch_id: str | None = Field(default=None, exclude_if=_is_none)
    user_id: str | None = Field(default=None, exclude_if=_is_none)
    key_id: str | None = Field(default=None, exclude_if=_is_none)
    environment: str | None = Field(default=None, exclude_if=_is_none)


INACTIVE = Introspection(active=False)


@table.post(
    "/oauth/token",
    scope=PUBLIC,
    takes=TokenRequest,
    answers=IssuedToken,
    status=200,
    form=True,
    max_body=MAX_FORM_BYTES,
    raises=("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"),
)
async def get_token(service: Service, request: Request, form: TokenRequest) -> IssuedToken:
    """Get an access token.

    By `client_credentials`: the client is `{tenant_id}/{app_id}`, its secret a key of that app of type secret or
    service, by HTTP Basic or in the form. The scopes are those of the key, or fewer.
    """
    client = client_of(request, form)
    await open_to_pages(service, request, client)
    if form.grant_type == "client_credentials":
        return await _token_for_key(service, client, form.scope)
    raise OAuthError("unsupported_grant_type", "The grant type is client_credentials.")


async def _token_for_key(service: Service, client: Client, scope: str | None) -> IssuedToken:
    known = await _authenticated(service, client)
    if known.has_rules:
        raise OAuthError("unauthorized_client", NO_RULES)
    if verdict(known.answer).type not in OF_KEYS:
        raise OAuthError("unauthorized_client", "Only keys of type secret or service get tokens.")
    scopes = _granted(known, scope)
    app = await service.stores.apps.get(client.tenant_id, client.app_id)
    lifetime_s = int(min(app.settings.access_token_s, known.expires_at_s - time.time()))
    if lifetime_s < 1:
        raise InvalidClient("This key has expired.")
    text = await service.tokens.sign(
        client.tenant_id,
        client.app_id,
        KEY + known.key_id,
        scopes=scopes,
        lifetime_s=lifetime_s,
        branch_id=known.branch_id,
        environment=known.environment,
    )
    return IssuedToken(access_token=text, expires_in=lifetime_s, scope=" ".join(scopes))


async def _authenticated(service: Service, client: Client) -> Known:
    """The client's key. Of one that is not its, nothing is told."""
    if client.secret is None:
        raise InvalidClient("The client's secret is a key of its app.")
    known = await service.verifier.look_up(client.secret)
    if not known.key_id or (known.tenant_id, known.app_id) != (client.tenant_id, client.app_id):
        raise InvalidClient("No such client, or not with this secret.")
    service.usage.count(known.tenant_id, known.key_id, known.code)
    if known.code != "valid":
        raise InvalidClient(f"This key is not good: {known.code.replace('_', ' ')}.")
    return known


def _granted(known: Known, scope: str | None) -> tuple[str, ...]:
    if scope is None:
        return known.scopes
    asked = tuple(dict.fromkeys(scope.split(" ")))
    if len(asked) > MAX_SCOPES or not all(len(each) <= 128 and re.fullmatch(SCOPE_PATTERN, each) for each in asked):
        raise OAuthError("invalid_scope", "Scopes are words with one space between.")
    if held(asked, known) != asked:
        raise OAuthError("invalid_scope", "The key does not have all of these scopes.")
    return asked


@table.post(
    "/oauth/introspect",
    scope="keys:verify",
    takes=TokenInQuestion,
    answers=Introspection,
    status=200,
    form=True,
    max_body=MAX_FORM_BYTES,
)
async def introspect(call: Call[TokenInQuestion]) -> Introspection:
    """Tell what a token or a key is worth.

    Of access tokens and app keys, by what the database says now. What is unknown, dead, or not the caller's to see is
    `{"active": false}`, and so is a key with rules of addresses or routes: those are judged by a verification. The
    caller may also name itself by HTTP Basic: its app, and its key.
    """
    claims = await call.service.tokens.read(call.body.token)
    if claims is None:
        return await _of_key(call.service, call.principal, call.body.token)
    return await _of_token(call.service, call.principal, claims)


async def _of_key(service: Service, caller: Principal, text: str) -> Introspection:
    """As a verification that asks for nothing but the key."""
    known = await service.verifier.look_up(text)
    [told] = await tell(service, caller, [known], [Verification(key=text)])
    its = verdict(told)
    if not its.valid:
        return INACTIVE
    assert its.scopes is not None
    client = f"{its.tenant_id}/{its.app_id}"
    return Introspection(
        active=True,
        scope=" ".join(its.scopes),
        client_id=client,
        aud=client,
        token_type="Bearer",  # noqa: S106
        exp=int(its.expires_at.timestamp()) if its.expires_at else None,
        sub=f"{KEY}{its.key_id}",
        tenant_id=its.tenant_id,
        app_id=its.app_id,
        branch_id=its.branch_id,
        user_id=its.user_id,
        key_id=its.key_id,
        environment=its.environment,
    )


async def _of_token(service: Service, caller: Principal, claims: Claims) -> Introspection:
    if not caller.may_see(claims.tenant_id, claims.app_id):
        return INACTIVE
    known = await key_of(claims, service.verifier)
    if known is None or known.code != "valid" or known.has_rules:
        return INACTIVE
    service.usage.count(known.tenant_id, known.key_id, "valid")
    return Introspection(
        active=True,
        scope=" ".join(held(claims.scopes, known)),
        token_type="Bearer",  # noqa: S106
        tenant_id=claims.tenant_id,
        app_id=claims.app_id,
        branch_id=known.branch_id,
        user_id=known.user_id,
        key_id=known.key_id,
        environment=known.environment,
        **claims.model_dump(include={"client_id", "exp", "iat", "sub", "aud", "iss", "jti", "sid"}),
    )


@table.post(
    "/oauth/revoke",
    scope=PUBLIC,
    takes=TokenToRevoke,
    answers=Revoked,
    status=200,
    form=True,
    max_body=MAX_FORM_BYTES,
    raises=("invalid_client", "unsupported_token_type"),
)
async def revoke_token(service: Service, request: Request, form: TokenToRevoke) -> Revoked:
    """End a token.

    What is no token of ours, or none any more, is answered the same. A key is not ended here, nor is a token that a key
    got: that lives as long as its key, at our own API and for whoever asks us, and elsewhere until it expires.
    """
    client = client_of(request, form)
    await open_to_pages(service, request, client)
    if client.secret is not None:
        await _authenticated(service, client)
    claims = await service.tokens.read(form.token)
    if claims is not None or key_text.parse(form.token) is not None:
        raise OAuthError("unsupported_token_type", "End the key instead, which this is or came from.")
    return Revoked()
