"""JSON Schema as far as our OpenAPI document speaks it: whether a value is as its schema says."""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
# What says nothing about the value, or (format) only by way of comment.
ANNOTATIONS = {"title", "description", "default", "format", "examples"}

RULES: dict[str, Any] = {
    "type": lambda value, types: any(is_a(value, each) for each in ([types] if isinstance(types, str) else types)),
    "enum": lambda value, allowed: value in allowed,
    "const": lambda value, only: value == only,
    "pattern": lambda value, pattern: not isinstance(value, str) or re.search(pattern, value) is not None,
    "minLength": lambda value, least: not isinstance(value, str) or len(value) >= least,
    "maxLength": lambda value, most: not isinstance(value, str) or len(value) <= most,
    "minimum": lambda value, least: not is_a(value, "number") or value >= least,
    "maximum": lambda value, most: not is_a(value, "number") or value <= most,
    "minItems": lambda value, least: not isinstance(value, list) or len(value) >= least,
    "maxItems": lambda value, most: not isinstance(value, list) or len(value) <= most,
    "maxProperties": lambda value, most: not isinstance(value, dict) or len(value) <= most,
    "required": lambda value, names: not isinstance(value, dict) or set(names) <= value.keys(),
}


def is_a(value: Any, type: str) -> bool:
    return isinstance(value, TYPES[type]) and (type == "boolean" or not isinstance(value, bool))


def resolve(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def accepts(document: Schema, schema: Schema, value: Any) -> bool:
    """KeyError for a word that is not known here: what is not judged must not pass for judged."""
    schema = resolve(document, schema)
    return all(
        RULES[word](value, rule) if word in RULES else STRUCTURES[word](document, schema, value)
        for word, rule in schema.items()
        if word not in ANNOTATIONS
    )


def _properties(document: Schema, schema: Schema, value: Any) -> bool:
    given = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    return not isinstance(value, dict) or all(
        accepts(document, given[name], member)
        if name in given
        else accepts(document, others, member)
        if isinstance(others, dict)
        else others
        for name, member in value.items()
    )


def _items(document: Schema, schema: Schema, value: Any) -> bool:
    first = schema.get("prefixItems", [])
    rest = schema.get("items", {})
    return not isinstance(value, list) or all(
        accepts(document, first[n] if n < len(first) else rest, each) for n, each in enumerate(value)
    )


STRUCTURES: dict[str, Any] = {
    "properties": _properties,
    "additionalProperties": _properties,
    "items": _items,
    "prefixItems": _items,
    "anyOf": lambda document, schema, value: any(accepts(document, each, value) for each in schema["anyOf"]),
    "propertyNames": lambda document, schema, value: (
        not isinstance(value, dict) or all(accepts(document, schema["propertyNames"], name) for name in value)
    ),
}
