"""Which errors an operation may end in, by status: deduced from the route table, the chain of a key and the schema."""

from __future__ import annotations

import re

from identity.api.openapi.codes import CODES
from identity.api.openapi.constraints import broken_values, conflicts
from identity.api.routes import ANY_KEY, PUBLIC, Route
from identity.verify import LIVE

CHAIN = [code for code in re.findall(r"THEN '(\w+)'", LIVE) if code != "valid"]
"""Why a key is dead, in the order in which it is judged."""


def codes(route: Route) -> dict[int, list[str]]:
    """The statuses of problems, each with its codes; a status that cannot come is left out."""
    found = {400: ["invalid_request"], 408: ["request_timeout"], 413: ["body_too_large"], 431: ["headers_too_large"]}
    if route.tells_oauth:
        found[503] = ["unavailable"]
    elif route.scope != PUBLIC or route.takes is not None:
        found[415] = ["unsupported_media_type"]
        found[503] = ["unavailable"]
        found[400].append("invalid_json")
    if route.scope != PUBLIC:
        found[401] = ["invalid_token", *CHAIN]
        found[400] += [*(["invalid_cursor", "filter_too_expensive"] if route.is_list else []), *broken_values(route)]
        found[403] = [] if route.scope == ANY_KEY else ["insufficient_scope", *_platform_only(route)]
        found[404] = _not_found(route)
        found[400] += _not_found_in_body(route)
        found[409] = conflicts(route)
    if route.method in ("PUT", "PATCH", "DELETE"):
        found[412] = ["precondition_failed"]
    if route.is_done_once:
        found[409] += ["idempotency_in_progress", "idempotency_answer_lost"]
        found[422] = ["idempotency_key_reused"]
    for code in route.raises:
        found.setdefault(CODES[code].status, []).append(code)
    found[500] = ["internal_error"]
    return {status: list(dict.fromkeys(of)) for status, of in sorted(found.items()) if of}


def _platform_only(route: Route) -> list[str]:
    return ["platform_only"] if route.platform_only else []


def _not_found(route: Route) -> list[str]:
    """Of each thing that the path names; and a path whose parameter holds a slash leads nowhere."""
    named = [name.removesuffix("_id") for name in route.params]
    if route.noun == "access" and route.leaf == "user_id":
        named.append("access")
    return [f"{noun}_not_found" for noun in named] + (["route_not_found"] if named else [])


def _not_found_in_body(route: Route) -> list[str]:
    named = [name for name in (route.takes.model_fields if route.takes else ()) if name.endswith(("_id", "_ids"))]
    return [f"{name.removesuffix('s').removesuffix('_id')}_not_found" for name in named if route.makes]
