"""The headers of requests and answers: what each is, and which operations know it."""

from __future__ import annotations

from typing import Any, get_origin

from pydantic import BaseModel

from identity.api.routes import Route
from identity.db import Page


def _request(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


def _answer(description: str, *, required: bool = True, **schema: Any) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string", **schema}}


REQUEST_HEADERS = {
    "RequestId": _request(
        "X-Request-Id",
        "Named in the log and in the answer. Where it is not 1 to 128 of `A-Za-z0-9._-`, the service makes its own.",
    ),
    "IfMatch": _request("If-Match", "The ETag that the record must have still, or one of several; else 412."),
    "IfNoneMatch": _request("If-None-Match", "The ETag that you have: 304 where the record has it still."),
    "IfNone": _request("If-None-Match", "`*`: only create; 412 where there is one already."),
    "Prefer": _request("Prefer", "`return=representation`: 200 with the record, in place of 204."),
    "IdempotencyKey": _request(
        "Idempotency-Key",
        "A random text of your own, of 128 bits or more: for 24 hours one request with one key has one effect "
        "and one answer, so that it can be sent again.",
        minLength=1,
        maxLength=255,
        pattern="^[!-~]+$",
    ),
}

RESPONSE_HEADERS = {
    "RequestId": _answer("The request's id, as it stands in the log.", pattern="^[A-Za-z0-9._-]{1,128}$"),
    "ETag": _answer("The record's version, for If-Match.", pattern='^"[0-9a-f]+"$'),
    "Location": _answer("The path of the record."),
    "Authenticate": _answer("`Bearer`, with `invalid_token` where a credential was sent (RFC 6750); `Basic` of OAuth."),
    "RetryAfter": _answer("Seconds after which another try makes sense.", pattern="^[0-9]+$"),
    "Replayed": _answer("The answer of an earlier request with this Idempotency-Key.", required=False, const="true"),
}


def request_headers(route: Route) -> list[str]:
    """By their names among the components."""
    found = ["RequestId"]
    if route.method in ("PUT", "PATCH", "DELETE"):
        found.append("IfMatch")
    if route.method == "PUT":
        found.append("IfNone")
    if route.method == "GET" and has_etag(route):
        found.append("IfNoneMatch")
    if route.method == "DELETE":
        found.append("Prefer")
    return [*found, "IdempotencyKey"] if route.makes else found


def answer_headers(route: Route, status: int) -> dict[str, Any]:
    named = {"X-Request-Id": "RequestId"}
    if status == 304 or (status in (200, 201) and has_etag(route)):
        named["ETag"] = "ETag"
    if status == 201:
        named["Location"] = "Location"
    if status == 201 and route.makes:
        named["Idempotent-Replayed"] = "Replayed"
    return refer(named)


def problem_headers(status: int, codes: list[str]) -> dict[str, Any]:
    named = {"X-Request-Id": "RequestId"}
    if status == 401:
        named["WWW-Authenticate"] = "Authenticate"
    if status in (429, 503):
        named["Retry-After"] = "RetryAfter"
    found = refer(named)
    if "idempotency_in_progress" in codes:
        found["Retry-After"] = RESPONSE_HEADERS["RetryAfter"] | {"required": False}
    return found


def refer(named: dict[str, str]) -> dict[str, Any]:
    return {header: {"$ref": f"#/components/headers/{name}"} for header, name in named.items()}


def has_etag(route: Route) -> bool:
    """Whether it answers one record that tells when it was changed."""
    row = route.answers
    return (
        get_origin(row) is not Page
        and isinstance(row, type)
        and issubclass(row, BaseModel)
        and "updated_at" in row.model_fields
    )
