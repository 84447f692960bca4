"""Reading a request: its body within bounds and as its type, its query, its headers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request

from identity.api import strict_json
from identity.api.problems import invalid
from identity.api.routes import Route
from identity.errors import FieldError, IdentityError, Invalid

MAX_LIMIT = 500
DRAIN_BYTES = 8 * 1024 * 1024
DRAIN_S = 2.0
FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPES = {"PATCH": ("application/json", "application/merge-patch+json")}


class TooLarge(IdentityError):
    """The body is larger than the route takes."""

    status = 413


class UnsupportedType(IdentityError):
    """The body is not JSON by its Content-Type, or not before it is decoded."""

    status = 415


def single_header(request: Request, name: str) -> str | None:
    found = request.headers.getlist(name)
    if len(found) > 1:
        raise Invalid("invalid_request", f"There is more than one {name} header.")
    return found[0] if found else None


async def judge_length(request: Request, max_bytes: int) -> None:
    """413 where the body says itself that it is too large: drained within bounds, so that the client gets to read the
    answer; of one that waits to be asked for (`Expect`) nothing need be sent."""
    if _declared_bytes(request) > max_bytes:
        if "expect" not in request.headers:
            await _drain(request.stream(), 0)
        raise _too_large(max_bytes)


async def pass_over_body(request: Request, max_bytes: int) -> None:
    """As read_body, of somebody who is not let in: nothing of it is kept, since a body is memory, and anybody can send
    one."""
    if "content-length" in request.headers:
        return  # its length is judged already
    async for _ in _chunks(request, max_bytes):
        pass


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, or 413 with the rest drained likewise."""
    return b"".join([chunk async for chunk in _chunks(request, max_bytes)])


async def _chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    seen = 0
    stream = request.stream()
    async for chunk in stream:
        seen += len(chunk)
        if seen > max_bytes:
            await _drain(stream, seen)
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge("body_too_large", f"The body may have at most {max_bytes} bytes.")


def _declared_bytes(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


async def _drain(stream: Any, seen: int) -> None:
    async def rest() -> None:
        nonlocal seen
        async for chunk in stream:
            seen += len(chunk)
            if seen > DRAIN_BYTES:
                return

    task = asyncio.ensure_future(rest())
    await asyncio.wait({task}, timeout=DRAIN_S)
    task.cancel()


def parse_body(route: Route, request: Request, raw: bytes) -> Any:
    """The body as the route's type. Strictly: no other type is made to fit, no unknown field is passed over."""
    if not raw:
        if route.takes is None or route.body_optional:
            return route.takes() if route.takes else None
        raise Invalid("invalid_json", "This needs a body of JSON.")
    _judge_type(route, request)
    value = strict_json.loads(raw)
    if route.takes is None:
        if value != {}:
            raise Invalid(
                "invalid_request",
                "This takes no fields.",
                errors=(FieldError("takes no fields", pointer=""),),
            )
        return None
    if route.makes_leaf and isinstance(value, dict):
        raw = _with_id(route, request, value)
    try:
        return route.takes.model_validate_json(raw, strict=True, extra="forbid")
    except ValidationError as error:
        raise invalid(error) from None


def _judge_type(route: Route, request: Request) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedType("unsupported_media_type", "Send the body as it is, without a Content-Encoding.")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    accepted = JSON_TYPES.get(route.method, ("application/json",))
    if media_type not in accepted:
        raise UnsupportedType("unsupported_media_type", f"Send the body as {' or '.join(accepted)}.")


def _with_id(route: Route, request: Request, value: dict[str, Any]) -> bytes:
    id = request.path_params[route.params[-1]]
    if value.setdefault("id", id) != id:
        detail = "must be the id in the path, or left out"
        raise Invalid("invalid_request", f"The id {detail}.", errors=(FieldError(detail, pointer="/id"),))
    return json.dumps(value).encode()


def parse_query(route: Route, request: Request) -> tuple[Any, str | None, int]:
    """A list's equalities, cursor and limit. What a route does not know is refused: a typo must not list everything."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given or "\0" in value:
            detail = "is given twice" if name in given else "contains a NUL"
            errors = (FieldError(detail, parameter=name),)
            raise Invalid("invalid_request", f"A query parameter {detail}.", errors=errors)
        given[name] = value
    if route.where is None:
        if given:
            raise _unknown(next(iter(given)))
        return None, None, 50
    limit = _limit(given.pop("limit", "50")) if route.is_list else 50
    cursor = given.pop("cursor", None) if route.is_list else None
    try:
        return route.where.model_validate_strings(given), cursor, limit
    except ValidationError as error:
        raise invalid(error, parameters=True) from None


def _unknown(name: str) -> Invalid:
    return Invalid(
        "invalid_request",
        "A query parameter is not known.",
        errors=(FieldError("is not known here", parameter=name),),
    )


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_LIMIT):
        detail = f"must be a whole number from 1 to {MAX_LIMIT}"
        raise Invalid("invalid_request", f"The limit {detail}.", errors=(FieldError(detail, parameter="limit"),))
    return int(text)
