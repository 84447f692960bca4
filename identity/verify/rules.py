"""From where, and for which routes, a key may be used. What cannot be read in one way only is refused."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from identity.key_limits import ANY, ONE, Network, network, segments


@dataclass(frozen=True, slots=True)
class Route:
    """Methods, none of them meaning any, and the segments of a path before and after its `**`, if it has one."""

    methods: frozenset[str]
    before: tuple[str, ...]
    after: tuple[str, ...] | None


@lru_cache(512)
def parse_ips(allowed: bytes) -> tuple[Network, ...]:
    """Of JSON. Parsed when it is first judged, and so many are remembered: a key may have a hundred, and whoever looks
    up many keys must not wait for those of all."""
    return tuple(map(network, json.loads(allowed)))


@lru_cache(512)
def parse_routes(allowed: bytes) -> tuple[Route, ...]:
    """Likewise."""
    found = json.loads(allowed)
    return tuple(_route(frozenset(each.get("methods", ())), segments(each["path"]) or ()) for each in found)


def ip_allowed(allowed: Sequence[Network], ip: str | None) -> bool:
    """By networks; none of them: from anywhere. An IPv4 address that is mapped into IPv6 is that IPv4 address."""
    if not allowed:
        return True
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    return any(address in each for each in allowed)


def route_allowed(allowed: Sequence[Route], method: str | None, path: str | None) -> bool:
    """By methods and paths; none of them: for any."""
    if not allowed:
        return True
    given = segments(path or "")
    if given is None or not method:
        return False
    return any((method in each.methods or not each.methods) and _matches(each, given) for each in allowed)


def _route(methods: frozenset[str], path: tuple[str, ...]) -> Route:
    if ANY not in path:
        return Route(methods, path, None)
    at = path.index(ANY)
    return Route(methods, path[:at], path[at + 1 :])


def _matches(route: Route, path: tuple[str, ...]) -> bool:
    if route.after is None:
        return _equal(route.before, path)
    rest = len(path) - len(route.after)
    return (
        rest >= len(route.before)
        and _equal(route.before, path[: len(route.before)])
        and _equal(route.after, path[rest:])
    )


def _equal(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """`*` is a segment that there is: not the nothing behind a last slash."""
    return len(pattern) == len(path) and all(
        each == given or (each == ONE and given != "") for each, given in zip(pattern, path, strict=True)
    )
