"""The route table as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from identity import __version__
from identity.api.openapi.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from identity.api.openapi.operations import operation
from identity.api.openapi.schemas import OAUTH_ERROR, PATH_PARAMETERS, PROBLEM, schemas
from identity.api.routes import Route

DESCRIPTION = """\
Tenants, their apps, branches and users, and the app keys with which services call each other.

Send a key as `Authorization: Bearer KEY`: `Authorize` does so for what you try out here. Each operation names the scope
that it needs, and each error the codes that it may carry, which are explained [below](#codes). Bodies are JSON, and
closed: an unknown field is refused. Text holds no NUL and no lone surrogate, whole numbers fit into 64 bits, documents
nest to 32 levels. Instants are RFC 3339 in UTC, durations are seconds. The format `printable` means no control
characters and no white space around, `timezone` a name of the IANA database, `dsn` a connection string without a
secret, `network` an address or a CIDR network, `path-pattern` a path in which `*` stands for a segment and `**`, once,
for any number of them."""


def document(routes: Sequence[Route], base_url: str) -> dict[str, Any]:
    """Everything that the service answers to."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Identity",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "security": [{"key": []}],
        "tags": [{"name": noun} for noun in dict.fromkeys(route.noun for route in routes)],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An app key."}},
            "parameters": PATH_PARAMETERS | REQUEST_HEADERS,
            "headers": RESPONSE_HEADERS,
            "schemas": {**schemas(routes), "Problem": PROBLEM, "OAuthError": OAUTH_ERROR},
        },
    }


def as_json(routes: Sequence[Route], base_url: str) -> str:
    """The document as it is served."""
    return json.dumps(document(routes, base_url))
