"""OAuth's forms: how they are read, which client sent one, and whose web pages may read the answer."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from identity.api.call import Service
from identity.api.problems import invalid
from identity.api.reading import FORM_TYPE
from identity.api.routes import Route
from identity.errors import Invalid, InvalidClient, NotFound, OAuthError

MAX_FORM_BYTES = 64 * 1024
MAX_FIELDS = 50


class Form(BaseModel):
    """What a form holds, as far as we know it: the rest is passed over (RFC 6749, section 3.2)."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ClientForm(Form):
    """One in which the client may say who it is."""

    client_id: str | None = None
    """`{tenant_id}/{app_id}`."""
    client_secret: str | None = None
    """A key of that app, where it is not sent by HTTP Basic."""


@dataclass(frozen=True)
class Client:
    """An app, as it says itself; the secret is yet to be judged."""

    tenant_id: str
    app_id: str
    secret: str | None

    @property
    def id(self) -> str:
        return f"{self.tenant_id}/{self.app_id}"

    @classmethod
    def of(cls, id: str, secret: str | None) -> Client:
        tenant_id, _, app_id = id.partition("/")
        return cls(tenant_id, app_id, secret or None)


def parse_form(route: Route, request: Request, raw: bytes) -> Any:
    """The body as the route's type; a field without a value is a field left out."""
    assert route.takes is not None
    try:
        return route.takes.model_validate(_fields(request, raw))
    except ValidationError as error:
        wrong = invalid(error)
    except ValueError as error:
        wrong = Invalid("invalid_request", str(error))
    raise OAuthError(wrong.code, wrong.detail) if route.tells_oauth else wrong


def _fields(request: Request, raw: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise ValueError(f"Send the body as {FORM_TYPE}.")
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ValueError("The body is no form in UTF-8, or has too many fields.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("A field is given more than once.")
    if any("\0" in value for value in fields.values()):
        raise ValueError("A field contains a NUL.")
    return {name: value for name, value in fields.items() if value}


def basic(authorization: str | None) -> Client | None:
    """The client of an HTTP Basic credential (RFC 6749, section 2.3.1); None where it is no such."""
    match = re.fullmatch(r"basic +([A-Za-z0-9+/]+=*)", authorization or "", re.IGNORECASE)
    if match is None:
        return None
    try:
        id, _, secret = b64decode(match[1], validate=True).decode().partition(":")
    except ValueError:
        return None
    return Client.of(unquote_plus(id), unquote_plus(secret))


def client_of(request: Request, form: ClientForm) -> Client:
    """Who sends it, in one way and not in two. InvalidClient where nobody says."""
    given = request.headers.getlist("authorization")
    if not given:
        if form.client_id is None:
            raise InvalidClient("Say who you are, by client_id or by HTTP Basic.")
        return Client.of(form.client_id, form.client_secret)
    client = basic(given[0]) if len(given) == 1 else None
    if client is None:
        raise InvalidClient("The Authorization header must be one of HTTP Basic.")
    if form.client_secret is not None or form.client_id not in (None, client.id):
        raise OAuthError("invalid_request", "Say who you are in one way, not in two.")
    return client


async def open_to_pages(service: Service, request: Request, client: Client) -> None:
    """Lets the web page that asks read the answer, whatever it will be, where the client's app allows its origin."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    try:
        app = await service.stores.apps.get(client.tenant_id, client.app_id)
    except NotFound:
        return
    if origin in app.settings.allowed_origins:
        request.state.allowed_origin = origin


def preflight(request: Request, methods: Iterable[str]) -> Response:
    """What a browser asks before it asks. It does not say of which app, so it is told yes: whether the page may read
    the answer is judged with the request."""
    origin = request.headers.get("origin")
    if origin is not None:
        request.state.allowed_origin = origin
    headers = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-Id",
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=headers)
