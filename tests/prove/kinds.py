"""The ways in which a key dies, in an order in which none of them kills the next one's victim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.load.http import request
from tests.load.keys import Key

Kind = Callable[[Key], tuple[str, str, Any]]
"""Method, path and body of what kills it."""


def _key(verb: str) -> Kind:
    return lambda key: ("POST", f"{_of_key(key)}/{verb}", None)


def _of_key(key: Key) -> str:
    return f"/v1/tenants/{key.tenant_id}/apps/{key.app_id}/keys/{key.id}"


KINDS: tuple[Kind, ...] = (
    _key("revoke"),
    _key("disable"),
    lambda key: ("DELETE", _of_key(key), None),
    _key("rotate"),
    lambda key: ("POST", f"/v1/tenants/{key.tenant_id}/users/{key.user_id}/suspend", None),
    lambda key: ("DELETE", f"/v1/tenants/{key.tenant_id}/users/{key.user_id}", None),
    lambda key: ("DELETE", f"/v1/tenants/{key.tenant_id}/apps/{key.app_id}/users/{key.user_id}", None),
    lambda key: ("POST", f"/v1/tenants/{key.tenant_id}/apps/shop/branches/{key.branch_id}/disable", None),
    lambda key: ("POST", f"/v1/tenants/{key.tenant_id}/apps/{key.app_id}/disable", None),
    lambda key: ("POST", f"/v1/tenants/{key.tenant_id}/suspend", None),
)


def killing(n: int, key: Key, admin_key: str) -> bytes:
    """The request that kills the n-th key of its tenant."""
    method, path, body = KINDS[n % len(KINDS)](key)
    return request(method, path, admin_key, body)
