"""The schemas of what is taken and answered, as pydantic tells them, and a problem's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from identity.api.routes import Route
from identity.db import Page
from identity.fields import SLUG_PATTERN
from identity.filters import Search
from identity.users import USER_ID_PATTERN

REF = "#/components/schemas/{model}"

PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Where the code is explained."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "For programs; the others are for people."},
        "instance": {"type": "string", "description": "The request's id, as in X-Request-Id."},
        "mfa_token": {"type": "string", "description": "Of `mfa_required`: with it one goes on."},
        "expires_in": {"type": "integer", "description": "For how many seconds that is good."},
        "enrolled": {"type": "boolean", "description": "Whether the user has a second factor, or must enrol one."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "Where in the body (RFC 6901)."},
                    "parameter": {"type": "string", "description": "Which parameter or header."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

OAUTH_ERROR = {
    "type": "object",
    "description": "What went wrong (RFC 6749, section 5.2).",
    "required": ["error", "error_description"],
    "properties": {
        "error": {"type": "string", "description": "For programs."},
        "error_description": {"type": "string"},
    },
}

_WHOLE = {"minimum": -(2**63), "maximum": 2**63 - 1}
JSON_VALUE = {
    "description": "Any JSON, its numbers within 64 bits.",
    "anyOf": [
        {"type": ["null", "boolean", "string"]},
        {"type": "number", **_WHOLE},
        {"type": "array", "items": {"$ref": REF.format(model="JsonValue")}},
        {"type": "object", "additionalProperties": {"$ref": REF.format(model="JsonValue")}},
    ],
}

PAGING = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    "cursor": {"type": "string", "description": "The `next` of a page of this very list."},
}

COUNT = {"count": {"type": "integer", "minimum": 0, "description": "To `count=true`: how many there are on all pages."}}

_ID_SCHEMAS = {
    "tenant_id": (SLUG_PATTERN, "acme"),
    "app_id": (SLUG_PATTERN, "shop"),
    "branch_id": (SLUG_PATTERN, "mad"),
    "user_id": (USER_ID_PATTERN, "ana"),
    "factor_id": (USER_ID_PATTERN, "0198a7c4-5d1b-7e3a-8f60-2c4b6a8d0e19"),
    "session_id": (USER_ID_PATTERN, "0198a7c4-3f2e-7b1d-9c5a-6e8f0d2b4a17"),
    "invitation_id": (USER_ID_PATTERN, "0198a7c4-6a2f-7c4b-9071-3d5c7b9e1f2a"),
    "key_id": ("^[0-9A-Za-z]{22}$", "4fR9aK1mQ7xZb3TnW8yLc2"),
}
PATH_PARAMETERS = {
    name: {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": pattern},
        "example": example,
    }
    for name, (pattern, example) in _ID_SCHEMAS.items()
}


class Strictly(GenerateJsonSchema):
    """What the wire does and the types alone do not say: bodies are closed all the way down, and answers whole."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        found = super().model_schema(schema)
        is_open = schema["cls"].model_config.get("extra") == "ignore"
        if self.mode == "validation" and "properties" in found and not is_open:
            found["additionalProperties"] = False
        return found

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "serialization" and field["type"] == "model-field":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)


def row_of(answers: Any) -> type[BaseModel] | None:
    row: type[BaseModel] | None = get_args(answers)[0] if get_origin(answers) is Page else answers
    return row


def schemas(routes: Sequence[Route]) -> dict[str, Any]:
    models: dict[Any, None] = {}
    for route in routes:
        if route.takes is not None:
            models[route.takes, "validation"] = None
        if (row := row_of(route.answers)) is not None:
            models[row, "serialization"] = None
    _, schema = models_json_schema(list(models), ref_template=REF, schema_generator=Strictly)
    found: dict[str, Any] = schema["$defs"] | {"JsonValue": JSON_VALUE}
    for route in routes:
        if route.makes_leaf and route.takes is not None:
            found[route.takes.__name__ + "Put"] = _without_id(found[route.takes.__name__])
    return found


def _without_id(schema: dict[str, Any]) -> dict[str, Any]:
    """The path has it. (The body may repeat it, as a record that was read does.)"""
    properties = {name: each for name, each in schema["properties"].items() if name != "id"}
    return {**schema, "properties": properties, "required": [name for name in schema["required"] if name != "id"]}


def taken(route: Route) -> dict[str, Any]:
    assert route.takes is not None
    return {"$ref": REF.format(model=route.takes.__name__ + ("Put" if route.makes_leaf else ""))}


def answered(route: Route) -> dict[str, Any] | None:
    """None where there is no content."""
    row = row_of(route.answers)
    if row is None:
        return None
    schema: dict[str, Any] = {"$ref": REF.format(model=row.__name__)}
    if not route.is_list:
        return schema
    page = {"items": {"type": "array", "items": schema}, "next": {"type": ["string", "null"]}}
    return {"type": "object", "required": list(page), "properties": page | COUNT}


def query(route: Route) -> list[dict[str, Any]]:
    """What it may be asked for; and of a list where its page begins and ends."""
    if route.where is None:
        return []
    properties: dict[str, Any] = route.where.model_json_schema()["properties"]
    if route.is_list:
        assert issubclass(route.where, Search)
        properties |= PAGING | {"sort": properties["sort"] | {"enum": route.where.orders()}}
    return [{"name": name, "in": "query", "schema": _given(schema)} for name, schema in properties.items()]


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """A filter may be left out, and is never null."""
    types = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    more = {name: schema[name] for name in ("description", "examples", "enum") if name in schema}
    return types[0] | more if types else schema
