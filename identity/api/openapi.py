"""The route table as an OpenAPI 3.1 document, and as a page."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from identity.api.routes import ANY_KEY, PUBLIC, Route
from identity.db import Page

REF = "#/components/schemas/{model}"
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "For programs; the others are for people."},
        "instance": {"type": "string", "description": "The request's id, as in X-Request-Id."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string"},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def document(routes: Sequence[Route], base_url: str) -> str:
    """OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1)."""
    paths: dict[str, dict[str, Any]] = {}
    schemas = _schemas(routes)
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Identity",
                "version": "1",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": base_url}],
            "security": [{"key": []}],
            "paths": paths,
            "components": {
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An app key."}},
                "schemas": {**schemas, "Problem": PROBLEM},
            },
        }
    )


def _row(answers: Any) -> type[BaseModel] | None:
    row: type[BaseModel] | None = get_args(answers)[0] if get_origin(answers) is Page else answers
    return row


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    models: dict[Any, None] = {}
    for route in routes:
        if route.takes is not None:
            models[route.takes, "validation"] = None
        if (row := _row(route.answers)) is not None:
            models[row, "serialization"] = None
    _, schema = models_json_schema(list(models), ref_template=REF)
    found: dict[str, Any] = schema["$defs"]
    for route in routes:
        if route.method == "PUT" and route.takes is not None:
            given = found[route.takes.__name__]
            required = [name for name in given["required"] if name != "id"]
            found[route.takes.__name__ + "Put"] = {**given, "required": required}
    return found


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.path.split("{")[0].strip("/").rsplit("/", 1)[-1] if route.params else "service"],
        "parameters": _parameters(route),
        "responses": {**_successes(route), "default": _problem()},
        "x-scope": route.scope,
    }
    if route.scope == PUBLIC:
        operation["security"] = []
    if route.takes is not None:
        media = "application/merge-patch+json" if route.method == "PATCH" else "application/json"
        schema = {"$ref": REF.format(model=route.takes.__name__ + ("Put" if route.method == "PUT" else ""))}
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {media: {"schema": schema}},
        }
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.params
    ]
    if route.where is not None:
        properties: dict[str, Any] = route.where.model_json_schema()["properties"]
        paging = {
            "limit": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
            "cursor": {"type": "string"},
        }
        found += [{"name": name, "in": "query", "schema": schema} for name, schema in (properties | paging).items()]
    return found


def _successes(route: Route) -> dict[str, Any]:
    """A PUT may create, and a DELETE show what it deleted."""
    more = {"PUT": [201], "DELETE": [200]}.get(route.method, [])
    return {str(status): _success(route, status) for status in (route.status, *more)}


def _success(route: Route, status: int) -> dict[str, Any]:
    row = _row(route.answers)
    if row is None or status == 204:
        return {"description": "Done."}
    schema: dict[str, Any] = {"$ref": REF.format(model=row.__name__)}
    if get_origin(route.answers) is Page:
        page = {"items": {"type": "array", "items": schema}, "next": {"type": ["string", "null"]}}
        schema = {"type": "object", "required": list(page), "properties": page}
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _problem() -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    return {"description": "What went wrong (RFC 9457).", "content": content}


def page(routes: Sequence[Route]) -> str:
    """Without a script, so that it needs nothing from elsewhere."""
    rows = "".join(
        f"<tr><td><code>{route.method}</code><td><code>{html.escape(route.path)}</code>"
        f"<td><code>{html.escape(_scope(route))}</code><td>{html.escape(route.summary)}"
        for route in routes
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Identity</title>"
        "<style>body{font:16px/1.5 system-ui;margin:2rem auto;max-width:75rem;padding:0 1rem}"
        "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem}"
        "td,th{border-bottom:1px solid #8884}"
        "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}</style>"
        "<h1>Identity</h1><p>The whole of it for programs: <a href=openapi.json>openapi.json</a>. Send a key as "
        "<code>Authorization: Bearer KEY</code>. Errors are <code>application/problem+json</code> with a "
        "<code>code</code>.</p>"
        f"<table><thead><tr><th>Method<th>Path<th>Scope<th>What it does</thead><tbody>{rows}</tbody></table></html>"
    )


def _scope(route: Route) -> str:
    return {PUBLIC: "(public)", ANY_KEY: "(any live key)"}.get(route.scope, route.scope)
