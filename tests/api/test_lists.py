"""Lists: every record once, page by page, and only by a cursor that was made for that very list."""

from __future__ import annotations

from typing import Any

import pytest

from identity.app_keys import NewAppKey
from identity.apps import NewApp
from identity.branches import NewBranch
from identity.users import NewUser
from tests.api.problems import places, told
from tests.conftest import Api, Organisation, make_organisation

PATHS = ["/apps", "/apps/shop/branches", "/users", "/apps/shop/users", "/users/ana/apps", "/keys", "/apps/shop/keys"]


@pytest.fixture(scope="module")
async def full(target: Organisation) -> Organisation:
    """Three more of everything, in an organisation that the tests of this file only read."""
    org = await make_organisation(target.stores, target.client)
    for n in "123":
        await org.stores.apps.create(org.id, NewApp(id=f"app{n}", name=f"App {n}", type="api"))
        await org.stores.branches.create(
            org.id, "shop", NewBranch(id=f"b{n}", code=f"B{n}", name=f"B {n}", type="office")
        )
        await org.stores.users.create(org.id, NewUser(id=f"user{n}", username=f"User{n}", email=f"U{n}@example.com"))
        await org.stores.user_apps.grant(org.id, "shop", f"user{n}")
        await org.stores.user_apps.grant(org.id, f"app{n}", "ana")
        await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name=f"key {n}", type="public", environment="test"))
    await org.stores.apps.disable(org.id, "app1")
    await org.stores.branches.disable(org.id, "shop", "b1")
    await org.stores.users.lock(org.id, "user1")
    await org.stores.user_apps.revoke(org.id, "shop", "user1")
    return org


async def pages(caller: Api, path: str, limit: int) -> list[list[Any]]:
    found: list[list[Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while params.get("cursor", "") is not None:
        page = (await caller.get(path, params=params)).json()
        assert page.keys() == {"items", "next"}
        found.append(page["items"])
        params["cursor"] = page["next"]
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_every_record_comes_once(path: str, limit: int, full: Organisation) -> None:
    whole = (await full.admin.get(full.path + path)).json()
    assert whole["next"] is None
    assert len(whole["items"]) >= 4
    parts = await pages(full.admin, full.path + path, limit)
    assert [record for part in parts for record in part] == whole["items"]
    assert {len(part) for part in parts[:-1]} <= {limit}
    assert parts[-1]


async def test_the_platform_pages_through_all_tenants(full: Organisation, target: Organisation, platform: Api) -> None:
    ids = [tenant["id"] for page in await pages(platform, "/v1/tenants", 500) for tenant in page]
    assert ids == sorted(set(ids))
    assert {full.id, target.id, "platform"} <= set(ids)


async def test_what_comes_and_goes_meanwhile_moves_nothing_else(org: Organisation) -> None:
    for id in ("a", "c", "e", "g"):
        await org.stores.users.create(org.id, NewUser(id=id, username=id))
    first = (await org.admin.get(f"{org.path}/users?limit=2")).json()
    await org.stores.users.create(org.id, NewUser(id="aa", username="aa"))
    await org.stores.users.delete(org.id, "ana")
    await org.stores.users.delete(org.id, "a")
    rest = (await org.admin.get(f"{org.path}/users", params={"cursor": first["next"]})).json()
    assert [user["id"] for user in first["items"] + rest["items"]] == ["a", "ana", "c", "e", "g"]


@pytest.mark.parametrize("elsewhere", [path for path in PATHS if path != "/apps"])
async def test_a_cursor_is_good_for_its_own_list_alone(elsewhere: str, full: Organisation) -> None:
    cursor = (await full.admin.get(f"{full.path}/apps?limit=1")).json()["next"]
    answer = await full.admin.get(full.path + elsewhere, params={"cursor": cursor})
    assert (told(answer), places(answer)) == ((400, "invalid_cursor"), ["cursor"])


async def test_a_cursor_is_good_for_its_own_filter_alone(full: Organisation) -> None:
    path = f"{full.path}/apps"
    cursor = (await full.admin.get(path, params={"limit": 1, "type": "api"})).json()["next"]
    for other in ({}, {"type": "web"}, {"type": "api", "status": "active"}):
        answer = await full.admin.get(path, params={**other, "cursor": cursor})
        assert told(answer) == (400, "invalid_cursor")
    for limit in (1, 2):
        answer = await full.admin.get(path, params={"type": "api", "cursor": cursor, "limit": limit})
        assert answer.json()["items"][0]["id"] == "app2"


async def test_a_cursor_is_good_for_its_own_tenant_alone(full: Organisation, other_org: Organisation) -> None:
    cursor = (await full.admin.get(f"{full.path}/apps?limit=1")).json()["next"]
    answer = await other_org.admin.get(f"{other_org.path}/apps", params={"cursor": cursor})
    assert told(answer) == (400, "invalid_cursor")


async def test_a_cursor_of_the_platform_is_good_for_the_platform_alone(full: Organisation, platform: Api) -> None:
    for path in ("/v1/tenants", f"{full.path}/apps"):
        cursor = (await platform.get(f"{path}?limit=1")).json()["next"]
        assert told(await full.admin.get(path, params={"cursor": cursor})) == (400, "invalid_cursor")


async def test_no_character_of_a_cursor_can_be_changed(full: Organisation) -> None:
    path = f"{full.path}/apps"
    cursor = (await full.admin.get(f"{path}?limit=1")).json()["next"]
    for n, character in enumerate(cursor[:-1]):
        forged = cursor[:n] + ("A" if character != "A" else "B") + cursor[n + 1 :]
        assert told(await full.admin.get(path, params={"cursor": forged})) == (400, "invalid_cursor")


EQUALITIES = [
    ("/apps?name=App 2", ["app2"]),
    ("/apps?type=api", ["app1", "app2", "app3"]),
    ("/apps?status=disabled", ["app1"]),
    ("/apps?type=api&status=active", ["app2", "app3"]),
    ("/apps?name=app 2", []),
    ("/apps?name=%25", []),
    ("/apps/shop/branches?code=B2", ["b2"]),
    ("/apps/shop/branches?name=B 3", ["b3"]),
    ("/apps/shop/branches?type=store", ["mad"]),
    ("/apps/shop/branches?status=disabled", ["b1"]),
    ("/users?username=user2", ["user2"]),
    ("/users?username=USER2", ["user2"]),
    ("/users?email=u3@EXAMPLE.com", ["user3"]),
    ("/users?status=locked", ["user1"]),
    ("/users?deleted=true", []),
    ("/users?limit=1&status=active", ["ana"]),
]
OF_KEYS = [
    ("/keys?app_id=shop&name=till", ["till"]),
    ("/keys?app_id=identity", ["admin"]),
    ("/keys?app_id=nowhere", []),
    ("/keys?type=public", ["key 1", "key 2", "key 3"]),
    ("/keys?environment=test&name=key 2", ["key 2"]),
    ("/keys?user_id=ana", ["till"]),
    ("/keys?branch_id=mad", ["till"]),
    ("/apps/shop/keys?environment=live", ["till"]),
    ("/apps/identity/keys", ["admin"]),
]


@pytest.mark.parametrize(("query", "ids"), EQUALITIES)
async def test_a_list_is_narrowed_by_what_is_equal(query: str, ids: list[str], full: Organisation) -> None:
    assert [record["id"] for record in (await full.admin.get(full.path + query)).json()["items"]] == ids


@pytest.mark.parametrize(("query", "names"), OF_KEYS)
async def test_a_list_of_keys_is_narrowed_too(query: str, names: list[str], full: Organisation) -> None:
    items = (await full.admin.get(full.path + query)).json()["items"]
    assert sorted(record["name"] for record in items) == names


async def test_access_is_listed_by_its_status(full: Organisation) -> None:
    revoked = (await full.admin.get(f"{full.path}/apps/shop/users?status=revoked")).json()["items"]
    active = (await full.admin.get(f"{full.path}/users/ana/apps?status=active")).json()["items"]
    assert [access["user_id"] for access in revoked] == ["user1"]
    assert [access["app_id"] for access in active] == ["app1", "app2", "app3", "shop"]


async def test_a_list_of_an_app_cannot_be_talked_into_another(full: Organisation) -> None:
    answer = await full.admin.get(f"{full.path}/apps/shop/keys?app_id=identity")
    assert all(key["app_id"] == "shop" for key in answer.json().get("items", []))


@pytest.mark.parametrize("path", ["/apps", "/apps/shop/branches", "/users"])
async def test_tombstones_are_listed_only_for_who_asks(path: str, org: Organisation) -> None:
    one = (await org.admin.get(org.path + path)).json()["items"][-1]["id"]
    assert (await org.admin.delete(f"{org.path}{path}/{one}")).status_code == 204
    for deleted in ("true", "false"):
        items = (await org.admin.get(f"{org.path}{path}?deleted={deleted}")).json()["items"]
        assert (one in [record["id"] for record in items]) == (deleted == "true")
        assert all((record["deleted_at"] is not None) == (deleted == "true") for record in items)
