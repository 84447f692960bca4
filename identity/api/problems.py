"""Errors as answers: RFC 9457 problem details, and pydantic's findings as JSON pointers."""

from __future__ import annotations

import json
from http import HTTPStatus

from pydantic import ValidationError
from starlette.responses import Response

from identity.api.strict_json import escape
from identity.errors import FieldError, IdentityError, Invalid, OAuthError
from identity.fields import words_of

MEDIA_TYPE = "application/problem+json"


def edge_headers(request_id: str) -> dict[str, str]:
    """What every answer carries, whoever gives it."""
    return {"X-Request-Id": request_id, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def problem(error: IdentityError, request_id: str) -> Response:
    """The answer that says what went wrong. Nothing of it names what the caller may not know of."""
    if isinstance(error, OAuthError):
        told = {"error": error.code, "error_description": error.detail}
        return Response(json.dumps(told), error.status, error.headers, "application/json")
    return raw_problem(
        error.status,
        error.code,
        error.detail,
        request_id,
        headers=error.headers,
        errors=error.errors,
        members=error.members,
    )


def raw_problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    *,
    headers: dict[str, str] | None = None,
    errors: tuple[FieldError, ...] = (),
    members: dict[str, object] | None = None,
) -> Response:
    body: dict[str, object] = {
        "type": f"/docs#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": request_id,
        **(members or {}),
    }
    if errors:
        body["errors"] = [_field_error(error) for error in errors]
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


def _field_error(error: FieldError) -> dict[str, str]:
    where = {"parameter": error.parameter} if error.parameter is not None else {"pointer": error.pointer or ""}
    return {**where, "detail": error.detail}


def invalid(error: ValidationError, *, parameters: bool = False) -> Invalid:
    """What pydantic found, each with its place. What was given is never quoted: it may be a secret."""
    found = tuple(
        FieldError(words_of(each["msg"]), parameter=str(each["loc"][0]) if each["loc"] else "")
        if parameters
        else FieldError(words_of(each["msg"]), pointer="".join(f"/{escape(str(step))}" for step in each["loc"]))
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )
    places = ", ".join(dict.fromkeys(each.parameter or each.pointer or "the body" for each in found))
    return Invalid("invalid_request", f"Not as it should be: {places}.", errors=found)
