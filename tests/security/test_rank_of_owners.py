"""A key of `identity` sleeps with its owner and its branch: who wakes those enables it, and so must outrank it."""

from __future__ import annotations

import pytest

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.branches import NewBranch
from tests.conftest import Api, Organisation


@pytest.mark.parametrize("how", ["activate", "unlock", "restore", "grant"])
async def test_waking_the_owner_of_a_key_takes_the_rank_to_wake_the_key(org: Organisation, how: str) -> None:
    users, access = org.stores.users, org.stores.user_apps
    await access.grant(org.id, IDENTITY, "ana")
    new = NewAppKey(name="ana", scopes=("*",), user_id="ana")
    asleep = Api(org.client, (await org.stores.app_keys.issue(org.id, IDENTITY, new)).key)
    match how:
        case "activate":
            await users.suspend(org.id, "ana")
        case "unlock":
            await users.lock(org.id, "ana")
        case "restore":
            await users.delete(org.id, "ana")
        case "grant":
            await access.revoke(org.id, IDENTITY, "ana")
    caller = await org.holding("users:write")
    path = "apps/identity/users/ana" if how == "grant" else f"users/ana/{how}"
    method = "PUT" if how == "grant" else "POST"
    assert (await caller(method, f"{org.path}/{path}")).status_code == 403
    assert (await asleep.get("/v1/keys/whoami")).status_code == 401
    assert (await org.admin(method, f"{org.path}/{path}")).status_code in (200, 201)


@pytest.mark.parametrize("how", ["enable", "restore"])
async def test_waking_the_branch_of_a_key_takes_the_rank_to_wake_the_key(org: Organisation, how: str) -> None:
    branches = org.stores.branches
    await branches.create(org.id, IDENTITY, NewBranch(id="hq", code="HQ", name="Seat", type="headquarters"))
    new = NewAppKey(name="seat", scopes=("*",), branch_id="hq")
    asleep = Api(org.client, (await org.stores.app_keys.issue(org.id, IDENTITY, new)).key)
    await (branches.disable if how == "enable" else branches.delete)(org.id, IDENTITY, "hq")
    path = f"{org.path}/apps/identity/branches/hq/{how}"
    assert (await (await org.holding("branches:write")).post(path)).status_code == 403
    assert (await asleep.get("/v1/keys/whoami")).status_code == 401
    assert (await org.admin.post(path)).status_code == 200


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("PATCH", {"username": "mine"}, 403),
        ("PATCH", {"email": "mine@example.com"}, 403),
        ("PATCH", {"email": None}, 403),
        ("PUT", {"username": "mine"}, 403),
        ("PATCH", {"full_name": "Ana"}, 200),
    ],
)
async def test_the_name_of_a_keys_owner_takes_its_rank(
    org: Organisation, method: str, body: dict[str, str | None], expected: int
) -> None:
    await org.stores.app_keys.issue(org.id, IDENTITY, NewAppKey(name="ana", scopes=("*",), user_id="ana"))
    caller = await org.holding("users:write")
    assert (await caller(method, f"{org.path}/users/ana", json=body)).status_code == expected
    assert (await org.admin(method, f"{org.path}/users/ana", json=body)).status_code == 200
