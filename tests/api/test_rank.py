"""The rule of rank: nobody makes, changes or receives a management key that may do more than they may."""

from __future__ import annotations

from typing import Any

import pytest

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from tests.conftest import Api, Organisation

ABOVE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "issue": ("POST", "/apps/identity/keys", {"name": "up", "scopes": ["*"]}),
    "issue one more": ("POST", "/apps/identity/keys", {"name": "up", "scopes": ["keys:write", "apps:read"]}),
    "widen": ("PATCH", "/apps/identity/keys/{own}", {"scopes": ["keys:write", "tenants:read"]}),
    "change": ("PATCH", "/apps/identity/keys/{admin}", {"name": "mine"}),
    "narrow": ("PATCH", "/apps/identity/keys/{admin}", {"scopes": ["keys:write"]}),
    "rotate": ("POST", "/apps/identity/keys/{admin}/rotate", {}),
    "enable": ("POST", "/apps/identity/keys/{admin}/enable", {}),
}


@pytest.mark.parametrize("what", ABOVE)
async def test_nobody_reaches_above_its_own_rank(what: str, org: Organisation) -> None:
    method, path, body = ABOVE[what]
    new = NewAppKey(name="clerk", scopes=("keys:write", "users:write"))
    clerk = await org.stores.app_keys.issue(org.id, IDENTITY, new)
    before = await org.stores.app_keys.list(org.id)
    path = path.format(own=clerk.id, admin=org.admin_key.id)
    answer = await Api(org.client, clerk.key)(method, f"{org.path}{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_rank")
    assert await org.stores.app_keys.list(org.id) == before


async def test_within_its_rank_a_key_may_make_others(org: Organisation) -> None:
    clerk = await org.holding("keys:write", "users:write")
    made = await clerk.post(f"{org.path}/apps/identity/keys", {"name": "less", "scopes": ["keys:read", "users:read"]})
    one = f"{org.path}/apps/identity/keys/{made.json()['id']}"
    assert (await clerk.patch(one, {"scopes": ["users:write"]})).status_code == 200
    assert (await clerk.post(f"{one}/rotate")).status_code == 201
