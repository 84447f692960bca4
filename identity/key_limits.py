"""What limits a key: how often it may be used, from where, and for which routes."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field, StringConstraints

from identity.fields import AS_WHOLE, Document, patch_of, shown

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_CREDITS = 10**15
MAX_COUNT = 2**31 - 1
YEAR_S = 366 * 86400
MAX_PATHS_CHARS = 5_000

ONE, ANY = "*", "**"
"""Of a path: one segment, whatever it is; and any number of them."""

Remaining = Annotated[int, Field(ge=0, le=MAX_CREDITS), AS_WHOLE]
Added = Annotated[int, Field(ge=1, le=MAX_CREDITS), AS_WHOLE]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT), AS_WHOLE]
PeriodS = Annotated[int, Field(ge=1, le=YEAR_S), AS_WHOLE]
LimitName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Method = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,20}$")]


def segments(path: str) -> tuple[str, ...] | None:
    """What lies between the slashes of a path, percent encoding taken off once; the last is empty where it ends in a
    slash. None where servers could read it in two ways: dot segments, doubled slashes, a slash or a backslash that is
    encoded, an escape within an escape, control characters."""
    if not path.startswith("/") or re.search(r"[?#]|%(?![0-9A-Fa-f]{2})", path):
        return None
    try:
        found = tuple(unquote(each, errors="strict") for each in path[1:].split("/"))
    except UnicodeDecodeError:
        return None
    named = found[:-1] if found[-1] == "" else found
    return None if any(map(_is_ambiguous, named)) else found


def _is_ambiguous(segment: str) -> bool:
    """Some servers drop what follows a semicolon before they look at dots."""
    bare = segment.partition(";")[0]
    return bare in ("", ".", "..") or not segment.isprintable() or bool(re.search(r"[/\\]|%[0-9A-Fa-f]{2}", segment))


def network(text: str) -> Network:
    """ValueError where it is none. Of IPv4 addresses that are mapped into IPv6 it is a network of IPv4."""
    found = ipaddress.ip_network(text)
    if isinstance(found, ipaddress.IPv6Network):
        mapped = found.network_address.ipv4_mapped
        if found.network_address.scope_id is not None:
            raise ValueError("an address with a zone is known on one host alone")
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, found.prefixlen - 96))
    return found


def _network(text: str) -> str:
    try:
        network(text)
    except ValueError:
        raise ValueError("must be an address or a network such as 192.0.2.0/24, without bits behind the mask") from None
    return text


def _pattern(path: str) -> str:
    found = segments(path)
    if found is None or "%" in path:
        raise ValueError("must be a path such as /orders/*, without dot segments, doubled slashes or percent encoding")
    if any(ONE in each and each not in (ONE, ANY) for each in found) or found.count(ANY) > 1:
        raise ValueError("* stands for one whole segment, and ** for any number of them, once")
    return path


def _names_differ(limits: tuple[RateLimit, ...]) -> tuple[RateLimit, ...]:
    if len({limit.name for limit in limits}) < len(limits):
        raise ValueError("each rate limit needs a name of its own")
    return limits


def _not_too_long(routes: tuple[AllowedRoute, ...]) -> tuple[AllowedRoute, ...]:
    """Every verification reads them."""
    if sum(len(route.path) for route in routes) > MAX_PATHS_CHARS:
        raise ValueError(f"paths may have at most {MAX_PATHS_CHARS} characters together")
    return routes


class Credits(Document):
    """Uses that a key has left. Refills are added, one each interval."""

    remaining: Remaining = 0
    refill_amount: Added | None = None
    refill_interval_s: PeriodS | None = None


class RateLimit(Document):
    """How much may be taken within any span of so many seconds."""

    name: LimitName
    limit: Count
    window_s: PeriodS


class AllowedRoute(Document):
    """A path that the key may be used for: `*` is one segment, `**` any number of them."""

    methods: Annotated[tuple[Method, ...], Field(max_length=20)] = ()
    """None: any."""
    path: Annotated[
        str, StringConstraints(min_length=1, max_length=500), AfterValidator(_pattern), shown(format="path-pattern")
    ]


AllowedIp = Annotated[str, StringConstraints(max_length=50), AfterValidator(_network), shown(format="network")]
RateLimits = Annotated[tuple[RateLimit, ...], Field(max_length=5), AfterValidator(_names_differ)]
AllowedIps = Annotated[tuple[AllowedIp, ...], Field(max_length=100)]
AllowedRoutes = Annotated[tuple[AllowedRoute, ...], Field(max_length=100), AfterValidator(_not_too_long)]
CreditsPatch = patch_of(Credits)
