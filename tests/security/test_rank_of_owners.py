"""A key sleeps with its owner: who wakes the owner of a key of `identity` enables it, and so must outrank it."""

from __future__ import annotations

import pytest

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
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
