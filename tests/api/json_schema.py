"""Whether a value is as a schema of our OpenAPI document says."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema_rs

Schema = dict[str, Any]


def resolve(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def accepts(document: Schema, schema: Schema, value: Any) -> bool:
    """By JSON Schema 2020-12, of which OpenAPI 3.1 is a dialect."""
    return _validator(json.dumps(document["components"]), json.dumps(schema)).is_valid(value)


@cache
def _validator(components: str, schema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        json.loads(schema) | {"components": json.loads(components)}, validate_formats=True
    )
