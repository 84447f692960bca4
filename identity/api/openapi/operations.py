"""One route as an operation: its parameters, its body, its answers and the errors that it may end in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from identity.api.openapi.codes import CODES
from identity.api.openapi.errors import codes
from identity.api.openapi.examples import EXAMPLES
from identity.api.openapi.headers import answer_headers, has_etag, problem_headers, request_headers
from identity.api.openapi.links import links
from identity.api.openapi.schemas import REF, answered, query, taken
from identity.api.reading import FORM_TYPE, JSON_TYPES
from identity.api.routes import ANY_KEY, PUBLIC, Route

PROBLEM_MEDIA = "application/problem+json"


def operation(route: Route) -> dict[str, Any]:
    errors = codes(route).items()
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": _description(route),
        "tags": [route.noun],
        "parameters": _parameters(route),
        "responses": {**_answers(route), **{str(status): _error(route, status, of) for status, of in errors}},
        "security": [] if route.scope == PUBLIC else [{"key": [] if route.scope == ANY_KEY else [route.scope]}],
        "x-scope": route.scope,
    }
    if route.takes is not None:
        found["requestBody"] = _body(route)
    return found


def scope_of(route: Route) -> str:
    """As a sentence."""
    if route.scope == PUBLIC:
        return "Public: needs no key."
    if route.scope == ANY_KEY:
        return "Needs any live key."
    by = "a key of the tenant `platform` with " if route.platform_only else ""
    return f"Needs {by}the scope `{route.scope}`."


def _description(route: Route) -> str:
    return "\n\n".join(filter(None, (route.description, scope_of(route))))


def _parameters(route: Route) -> list[dict[str, Any]]:
    named = [*route.params, *request_headers(route)]
    return [*query(route), *({"$ref": f"#/components/parameters/{name}"} for name in named)]


def _body(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": taken(route)}
    if (example := EXAMPLES.get(route.name)) is not None:
        content["example"] = example.request
    medias = (FORM_TYPE,) if route.form else JSON_TYPES.get(route.method, ("application/json",))
    return {"required": not route.body_optional, "content": dict.fromkeys(medias, content)}


def _answers(route: Route) -> dict[str, Any]:
    """A PUT may create, a DELETE show what it deleted, and a GET find nothing new."""
    more = {"PUT": () if route.action else (201,), "DELETE": (200,)}.get(route.method, route.also)
    if route.method == "GET" and has_etag(route):
        more = (304,)
    return {str(status): _answer(route, status) for status in (route.status, *more)}


def _answer(route: Route, status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": answer_headers(route, status)}
    if status in (204, 304):
        return found
    content: dict[str, Any] = {"schema": answered(route) or {}}
    if (example := EXAMPLES.get(route.name)) is not None:
        content["example"] = example.answer
    found["content"] = {route.media: content}
    if operations := links(route):
        found["links"] = operations
    return found


def _error(route: Route, status: int, of: list[str]) -> dict[str, Any]:
    """OAuth has a shape of its own for what is wrong with a request; all else is a problem."""
    told = _problem(status, of)
    if route.tells_oauth and status in (400, 401):
        schema = {"allOf": [{"$ref": REF.format(model="OAuthError")}, {"properties": {"error": {"enum": of}}}]}
        example = {"error": of[0], "error_description": CODES[of[0]].meaning}
        told["content"] = {"application/json": {"schema": schema, "example": example}}
    return told


def _problem(status: int, of: list[str]) -> dict[str, Any]:
    named = ", ".join(f"[`{code}`](#{code})" for code in of)
    schema = {"allOf": [{"$ref": REF.format(model="Problem")}, {"properties": {"code": {"enum": of}}}]}
    return {
        "description": f"{HTTPStatus(status).phrase}: {named}",
        "headers": problem_headers(status, of),
        "content": {PROBLEM_MEDIA: {"schema": schema}},
    }
