"""/oauth: tokens for who has signed in and for an app's keys, and the end of one."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from identity import key_text
from identity.api.call import Service
from identity.api.forms import MAX_FORM_BYTES, Client, ClientForm, client_of, open_to_pages
from identity.api.routes import PUBLIC, Table
from identity.api.sign_in import signed_in
from identity.auth import held
from identity.errors import InvalidClient, NotFound, OAuthError
from identity.fields import SCOPE_PATTERN
from identity.stores import LIFETIMES, Stores
from identity.tokens import KEY
from identity.verify import Known, verdict

table = Table("oauth")

TOKEN = "/oauth/token"  # noqa: S105 - a path
ACTOR = "oauth"
MAX_SCOPES = 100
OF_KEYS = ("secret", "service")
"""The types of keys that get tokens: a public one is no secret, and a restricted one would be less so."""
NO_RULES = "This key has limits, or rules of addresses or routes, which no token could keep: use the key itself."


Text = Annotated[str | None, Field(exclude_if=lambda value: value is None)]


class TokenRequest(ClientForm):
    grant_type: str = Field(min_length=1)
    """`client_credentials` or `refresh_token`."""
    refresh_token: str | None = None
    scope: str | None = None
    """Those wanted, with a space between; default: all that key or session has."""


class IssuedToken(BaseModel):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    scope: str
    refresh_token: Text = None
    """The one that is good from now on."""
    session_id: Text = None


class TokenToRevoke(ClientForm):
    token: str = Field(min_length=1)
    token_type_hint: str | None = None


class Revoked(BaseModel):
    """Nothing more is told, whatever it was (RFC 7009, section 2.2)."""


@table.post(
    TOKEN,
    scope=PUBLIC,
    takes=TokenRequest,
    answers=IssuedToken,
    status=200,
    form=True,
    max_body=MAX_FORM_BYTES,
    raises=(
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_grant",
        "slow_down",
    ),
)
async def get_token(service: Service, request: Request, form: TokenRequest) -> IssuedToken:
    """Get an access token.

    The client is `{tenant_id}/{app_id}`. By `client_credentials` its secret is a key of that app of type secret or
    service, by HTTP Basic or in the form, and the scopes are those of the key, or fewer. By `refresh_token` the client
    alone suffices; the token is used up, and its successor answered: who did not hear of that may ask again for ten
    seconds, and gets the same. Later it was stolen from somebody, and the session ends.
    """
    client = client_of(request, form)
    await open_to_pages(service, request, client)
    if form.grant_type == "client_credentials":
        return await _token_for_key(service, client, form.scope)
    if form.grant_type == "refresh_token":
        return await _token_by_refresh(service, request, client, form)
    raise OAuthError("unsupported_grant_type", "The grant type is client_credentials or refresh_token.")


async def _token_by_refresh(service: Service, request: Request, client: Client, form: TokenRequest) -> IssuedToken:
    """Apps are public clients for it: who has the token is who signed in."""
    if form.refresh_token is None:
        raise OAuthError("invalid_request", "The refresh_token is missing.")
    if client.secret is not None:
        await _authenticated(service, client)
    asked = None if form.scope is None else _scopes(form.scope)
    return await refreshed(service, service.stores_for(request, ACTOR), client, form.refresh_token, asked)


async def refreshed(
    service: Service, stores: Stores, client: Client, token: str, asked: tuple[str, ...] | None = None
) -> IssuedToken:
    """OAuthError where the token is not good, or comes too soon."""
    a_minute = service.settings.refreshes_per_session
    found = await stores.sessions.refresh(client.tenant_id, client.app_id, token, LIFETIMES, a_minute=a_minute)
    if found is None:
        raise OAuthError("invalid_grant", "This refresh token is not good, or not any more.")
    live = found.session
    if asked is not None:
        found = replace(found, session=live.model_copy(update={"scopes": held(asked, live.app_id, live.scopes)}))
    return IssuedToken(**(await signed_in(service, found)).model_dump())


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
    asked = _scopes(scope)
    if held(asked, known.app_id, known.scopes) != asked:
        raise OAuthError("invalid_scope", "The key does not have all of these scopes.")
    return asked


def _scopes(scope: str) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(scope.split(" ")))
    if len(asked) > MAX_SCOPES or not all(len(each) <= 128 and re.fullmatch(SCOPE_PATTERN, each) for each in asked):
        raise OAuthError("invalid_scope", "Scopes are words with one space between.")
    return asked


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

    A refresh token, or an access token of a person: their session ends with it. What is no token of this client, or
    none any more, is answered the same. A key is not ended here, nor is a token that a key got: that lives as long as
    its key, at our own API and for whoever asks us, and elsewhere until it expires.
    """
    client = client_of(request, form)
    await open_to_pages(service, request, client)
    if client.secret is not None:
        await _authenticated(service, client)
    sessions = service.stores_for(request, ACTOR).sessions
    claims = await service.tokens.read(form.token)
    if key_text.parse(form.token) is not None or (claims is not None and claims.key_id is not None):
        raise OAuthError("unsupported_token_type", "End the key instead, which this is or came from.")
    if claims is None:
        await sessions.end_by_token(client.tenant_id, form.token, app_id=client.app_id)
    elif client.id == claims.client_id and claims.user_id is not None and claims.sid is not None:
        with suppress(NotFound):
            await sessions.end(client.tenant_id, claims.user_id, claims.sid)
    return Revoked()
