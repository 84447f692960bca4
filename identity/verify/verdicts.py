"""What is asked of a key, and what is answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from identity.db import json_loads
from identity.fields import AS_WHOLE, Metadata, Scopes
from identity.key_limits import MAX_COUNT
from identity.verify.known import Known
from identity.verify.rules import ip_allowed, parse_ips, parse_routes, route_allowed

MAX_BATCH = 1_000

Cost = Annotated[int, Field(ge=0, le=MAX_COUNT), AS_WHOLE]


class Verification(BaseModel):
    """What is asked of a key. Its text may be any string: that it is none of ours is an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    scopes: Scopes = ()
    """All of these."""
    app_id: str | None = None
    branch_id: str | None = None
    environment: str | None = None
    ip: str | None = None
    """From where it is used; judged by the key's `allowed_ips`, as method and path are by its `allowed_routes`."""
    method: str | None = None
    path: str | None = None
    cost: Cost = 1
    """What it takes of credits and of each rate limit; 0 looks without taking."""
    costs: Annotated[dict[str, Cost], Field(max_length=20)] = {}
    """What it takes of rate limits by their names instead; names that the key does not have count for nothing."""
    tenant_id: str | None = None
    """Whose it must be, and among whose imported keys it is looked up where it is none of ours; default: the caller's.
    Only the platform's callers may name another."""


class Verifications(BaseModel):
    """Many at once, each as if it were alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: Annotated[tuple[Verification, ...], Field(min_length=1, max_length=MAX_BATCH)]


class RateLimitLeft(BaseModel):
    """What a key may still take within a rate limit's window."""

    name: str
    limit: int
    remaining: int
    reset_s: int
    """After how long the first of what was taken is given back."""


class Verdict(BaseModel):
    """Whether it is good, the first link of the chain that fails, and whose it is. Of a key that is not known, or
    whose secret is wrong, nothing else is told."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    code: str
    tenant_id: str | None = None
    app_id: str | None = None
    branch_id: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    name: str | None = None
    type: str | None = None
    environment: str | None = None
    scopes: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    expires_at: datetime | None = None
    credits: int | None = None
    """What remains; null where it takes none, or was refused before."""
    rate_limits: tuple[RateLimitLeft, ...] | None = None


class Verdicts(BaseModel):
    """One for each key that was asked about, in the same order."""

    items: tuple[Verdict, ...]


class Asked(Protocol):
    """What is asked for beside the key's own chain, wherever it was read from."""

    @property
    def key(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def app_id(self) -> str | None: ...
    @property
    def branch_id(self) -> str | None: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def ip(self) -> str | None: ...
    @property
    def method(self) -> str | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def cost(self) -> int: ...
    @property
    def costs(self) -> Mapping[str, int]: ...
    @property
    def tenant_id(self) -> str | None: ...


def verdict(told: bytes) -> Verdict:
    return Verdict.model_validate(json_loads(told))


def covers(granted: Iterable[str], scope: str) -> bool:
    """Exactly, or by a granted `*` or `orders:*`. (The database's identity.covers is the same rule.)"""
    return any(each in ("*", scope) or (each.endswith(":*") and scope.startswith(each[:-1])) for each in granted)


def judge(known: Known, asked: Asked) -> str:
    """The code, before anything is taken: the chain first, then what is asked for; the first that fails."""
    if known.code != "valid":
        return known.code
    return _misplaced(known, asked) or _misused(known, asked) or "valid"


def _misplaced(known: Known, asked: Asked) -> str | None:
    if asked.environment not in (None, known.environment):
        return "wrong_environment"
    if asked.app_id not in (None, known.app_id):
        return "wrong_app"
    if asked.branch_id is not None and known.branch_id not in (None, asked.branch_id):
        return "wrong_branch"
    return None


def _misused(known: Known, asked: Asked) -> str | None:
    if known.allowed_ips and not ip_allowed(parse_ips(known.allowed_ips), asked.ip):
        return "ip_not_allowed"
    if known.allowed_routes and not route_allowed(parse_routes(known.allowed_routes), asked.method, asked.path):
        return "route_not_allowed"
    for scope in asked.scopes:
        if scope not in known.scopes and not covers(known.scopes, scope):
            return "insufficient_scope"
    return None
