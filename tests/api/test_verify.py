"""Asking whether a key is good, over HTTP: what is answered, to whom, and of whose keys."""

from __future__ import annotations

from typing import Any

import pytest

from identity.app_keys import NewAppKey
from identity.apps import NewApp
from identity.key_text import compose, new_secret
from tests.conftest import Api, Organisation

WHOSE = ("tenant_id", "app_id", "branch_id", "user_id", "key_id")
WHAT = ("name", "type", "environment", "scopes", "metadata", "expires_at", "credits", "rate_limits")
MEMBERS = {"valid", "code", *WHOSE, *WHAT}
NOTHING = dict.fromkeys((*WHOSE, *WHAT))


async def verified(caller: Api, key: str, **asked: Any) -> dict[str, Any]:
    answer = await caller.post("/v1/keys/verify", {"key": key, **asked})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found.keys() == MEMBERS
    assert found["valid"] == (found["code"] == "valid")
    return found


async def test_a_good_key_is_told_of(target: Organisation) -> None:
    assert await verified(target.admin, target.key.key) == {
        "valid": True,
        "code": "valid",
        "tenant_id": target.id,
        "app_id": "shop",
        "branch_id": "mad",
        "user_id": "ana",
        "key_id": target.key.id,
        "name": "till",
        "type": "secret",
        "environment": "live",
        "scopes": ["orders:*"],
        "metadata": {},
        "expires_at": None,
        "credits": None,
        "rate_limits": None,
    }


ASKED: list[tuple[dict[str, Any], str]] = [
    ({"scopes": ["orders:read", "orders:write:all"]}, "valid"),
    ({"scopes": ["orders:*"]}, "valid"),
    ({"scopes": []}, "valid"),
    ({"scopes": ["orders:read", "users:read"]}, "insufficient_scope"),
    ({"scopes": ["*"]}, "insufficient_scope"),
    ({"scopes": ["orders"]}, "insufficient_scope"),
    ({"scopes": ["ordersx:read"]}, "insufficient_scope"),
    ({"app_id": "shop", "branch_id": "mad", "environment": "live"}, "valid"),
    ({"app_id": "identity"}, "wrong_app"),
    ({"branch_id": "bcn"}, "wrong_branch"),
    ({"environment": "test"}, "wrong_environment"),
    ({"environment": "test", "app_id": "x", "branch_id": "x", "scopes": ["x"]}, "wrong_environment"),
    ({"app_id": "x", "branch_id": "x", "scopes": ["x"]}, "wrong_app"),
    ({"branch_id": "x", "scopes": ["x"]}, "wrong_branch"),
]


@pytest.mark.parametrize(("asked", "code"), ASKED, ids=str)
async def test_a_key_is_good_for_what_it_was_made_for(asked: dict[str, Any], code: str, target: Organisation) -> None:
    assert (await verified(target.admin, target.key.key, **asked))["code"] == code


@pytest.mark.parametrize("text", ["", "x", "isk_live_x_y", "🔑", " ", "x" * 5000, "null"])
async def test_what_is_no_key_is_an_answer_too(text: str, target: Organisation) -> None:
    assert await verified(target.admin, text) == {"valid": False, "code": "malformed", **NOTHING}


async def test_a_typo_is_malformed_and_a_wrong_secret_not_found(target: Organisation) -> None:
    typo = target.key.key[:-1] + ("a" if target.key.key[-1] != "a" else "b")
    guess = compose(target.key.prefix, target.key.environment, target.key.id, new_secret())
    assert await verified(target.admin, typo) == {"valid": False, "code": "malformed", **NOTHING}
    assert await verified(target.admin, guess) == {"valid": False, "code": "not_found", **NOTHING}


async def test_a_tenant_sees_no_key_of_another(target: Organisation, stranger: Organisation, platform: Api) -> None:
    for key in (target.key, target.admin_key):
        assert await verified(stranger.admin, key.key) == {"valid": False, "code": "not_found", **NOTHING}
        assert (await verified(platform, key.key))["key_id"] == key.id


async def test_a_tenant_does_not_even_see_that_anothers_key_is_dead(org: Organisation, other_org: Organisation) -> None:
    await org.stores.app_keys.revoke(org.id, "shop", org.key.id)
    assert (await verified(org.admin, org.key.key))["code"] == "revoked"
    assert await verified(other_org.admin, org.key.key) == {"valid": False, "code": "not_found", **NOTHING}


async def test_who_may_verify_one_app_sees_its_keys_alone(org: Organisation) -> None:
    await org.stores.apps.create(org.id, NewApp(id="desk", name="Desk", type="web"))
    desk = await org.stores.app_keys.issue(org.id, "desk", NewAppKey(name="desk"))
    shops, all_apps = await org.holding("keys:verify/shop"), await org.holding("keys:verify")
    assert (await verified(shops, org.key.key))["code"] == "valid"
    for key in (desk, org.admin_key):
        assert await verified(shops, key.key) == {"valid": False, "code": "not_found", **NOTHING}
        assert (await verified(all_apps, key.key))["code"] == "valid"


async def test_whoami_tells_a_key_of_itself(target: Organisation, platform: Api) -> None:
    for key in (target.key, target.admin_key):
        mine = (await Api(target.client, key.key).get("/v1/keys/whoami")).json()
        assert mine == await verified(platform, key.key)


async def test_a_verification_that_returns_after_a_change_shows_it(org: Organisation) -> None:
    one = f"{org.path}/apps/shop/keys/{org.key.id}"
    for action, code in (("disable", "disabled"), ("enable", "valid"), ("disable", "disabled"), ("revoke", "revoked")):
        await org.admin.post(f"{one}/{action}")
        assert (await verified(org.admin, org.key.key))["code"] == code
    await org.admin.delete(one)
    assert await verified(org.admin, org.key.key) == {"valid": False, "code": "not_found", **NOTHING}


async def test_a_dead_key_still_tells_who_sees_it_whose_it_was(org: Organisation) -> None:
    await org.admin.patch(f"{org.path}/apps/shop/keys/{org.key.id}", {"name": "old till", "metadata": {"n": [1]}})
    await org.admin.post(f"{org.path}/users/ana/suspend")
    found = await verified(org.admin, org.key.key)
    assert (found["code"], found["name"], found["metadata"]) == ("user_suspended", "old till", {"n": [1]})
    assert (found["key_id"], found["user_id"]) == (org.key.id, "ana")
