"""Nobody comes to more than they hold: the rule of rank, in plain examples."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import pytest

from identity.api import ROUTES
from identity.api.routes import ANY_KEY, PUBLIC, Route
from identity.app_keys import IssuedKey, NewAppKey
from identity.apps import IDENTITY, NewApp
from identity.errors import NotFound
from identity.stores import Stores
from identity.tenants import PLATFORM
from tests.conftest import Api, Organisation, unique
from tests.server import Database, execute

REFUSED = (403, "insufficient_rank")
MANAGING = [route for route in ROUTES if route.scope not in (PUBLIC, ANY_KEY)]


async def issue(org: Organisation, *scopes: str, **more: Any) -> IssuedKey:
    return await org.stores.app_keys.issue(org.id, IDENTITY, NewAppKey(name="target", scopes=scopes, **more))


async def platform_holding(org: Organisation, *scopes: str) -> Api:
    new = NewAppKey(name="limited", scopes=scopes)
    return Api(org.client, (await org.stores.app_keys.issue(PLATFORM, IDENTITY, new)).key)


async def outcome(call: Any) -> tuple[int, str | None]:
    answer = await call
    return answer.status_code, answer.json().get("code") if answer.content else None


def keys(org: Organisation, key: IssuedKey | None = None, verb: str = "") -> str:
    path = f"{org.path}/apps/identity/keys"
    return f"{path}/{key.id}{verb}" if key else path


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        (["users:write"], [], (403, "insufficient_scope")),
        (["keys:read"], [], (403, "insufficient_scope")),
        (["keys:verify"], ["keys:verify"], (403, "insufficient_scope")),
        (["keys:write"], ["*"], REFUSED),
        (["keys:write"], ["users:read"], REFUSED),
        (["keys:write"], ["keys:verify"], REFUSED),
        (["keys:write"], ["keys:write", "apps:read"], REFUSED),
        (["keys:write", "users:read"], ["users:write"], REFUSED),
        (["keys:write", "keys:verify/shop"], ["keys:verify"], REFUSED),
        (["keys:write", "keys:verify/shop"], ["keys:verify/till"], REFUSED),
        (["keys:write"], [], (201, None)),
        (["keys:write"], ["keys:write", "keys:read"], (201, None)),
        (["keys:write", "users:write"], ["users:read"], (201, None)),
        (["keys:write", "keys:verify"], ["keys:verify/shop"], (201, None)),
        (["*"], ["*"], (201, None)),
    ],
)
async def test_a_key_is_issued_within_what_the_caller_holds(
    org: Organisation, platform: Api, held: list[str], asked: list[str], expected: tuple[int, str | None]
) -> None:
    for caller in (await org.holding(*held), await platform_holding(org, *held)):
        assert await outcome(caller.post(keys(org), {"name": "new", "scopes": asked})) == expected


ACTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "rotate": ("POST", "/rotate", None),
    "rotate with a grace": ("POST", "/rotate", {"grace_s": 3600}),
    "enable": ("POST", "/enable", None),
    "rename": ("PATCH", "", {"name": "mine"}),
    "change its metadata": ("PATCH", "", {"metadata": {"mine": True}}),
    "prolong": ("PATCH", "", {"expires_at": None}),
    "lower its scopes": ("PATCH", "", {"scopes": []}),
}


async def act(caller: Api, org: Organisation, key: IssuedKey, how: str) -> tuple[int, str | None]:
    method, verb, body = ACTS[how]
    return await outcome(caller(method, keys(org, key, verb), **({} if body is None else {"json": body})))


@pytest.mark.parametrize("how", ACTS)
async def test_a_key_that_may_more_is_out_of_reach(org: Organisation, platform: Api, how: str) -> None:
    lower, higher = await issue(org, "keys:write"), await issue(org, "keys:write", "users:read")
    await org.stores.app_keys.disable(org.id, IDENTITY, higher.id) if how == "enable" else None
    for caller in (Api(org.client, lower.key), await platform_holding(org, "keys:write")):
        for target in (org.admin_key, higher):
            before = await org.stores.app_keys.get(org.id, IDENTITY, target.id)
            assert await act(caller, org, target, how) == REFUSED
            assert await org.stores.app_keys.get(org.id, IDENTITY, target.id) == before


@pytest.mark.parametrize("how", ACTS)
async def test_a_key_that_may_no_more_is_within_reach(org: Organisation, how: str) -> None:
    caller = await org.holding("keys:write", "users:write")
    status, _ = await act(caller, org, await issue(org, "keys:write", "users:read"), how)
    assert status == (201 if "rotate" in how else 200)


async def test_no_key_raises_itself_or_a_lower_one(org: Organisation) -> None:
    own, lower = await issue(org, "keys:write", "apps:read"), await issue(org)
    caller = Api(org.client, own.key)
    for target in (own, lower):
        for scopes in (["*"], ["apps:write"], ["keys:write", "users:read"]):
            assert await outcome(caller.patch(keys(org, target), {"scopes": scopes})) == REFUSED
    assert (await caller.patch(keys(org, lower), {"scopes": ["apps:read"]})).status_code == 200


async def test_a_key_that_rotates_itself_lives_on_for_a_minute(org: Organisation) -> None:
    own = await issue(org, "keys:write")
    caller = Api(org.client, own.key)
    successor = (await caller.post(keys(org, own, "/rotate"))).json()
    assert successor["scopes"] == ["keys:write"]
    assert (await caller.get("/v1/keys/whoami")).status_code == 200


async def test_the_platform_asks_for_an_admin_key_with_full_rank_alone(org: Organisation, platform: Api) -> None:
    caller, id = await platform_holding(org, "tenants:write", "keys:write"), unique()
    new = {"id": id, "name": "New", "admin_key": True}
    assert await outcome(caller.post("/v1/tenants", new)) == REFUSED
    with pytest.raises(NotFound):
        await org.stores.tenants.get(id)
    answer = (await caller.post("/v1/tenants", new | {"admin_key": False})).json()
    assert "admin_key" not in answer
    assert (await platform.post("/v1/tenants", new | {"id": unique()})).json()["admin_key"]["scopes"] == ["*"]


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def until_somebody_waits(database: Database) -> None:
    for _ in range(500):
        if execute(database.admin_url, WAITING) != [(0,)]:
            return
        time.sleep(0.01)
    pytest.fail("nobody waits for the lock")


@pytest.mark.parametrize("how", ACTS)
async def test_a_raise_of_the_target_between_judging_and_acting_gains_nothing(
    org: Organisation, database: Database, how: str
) -> None:
    caller, target = await org.holding("keys:write"), await issue(org, "keys:write")
    if how == "enable":
        await org.stores.app_keys.disable(org.id, IDENTITY, target.id)
    with psycopg.connect(database.admin_url) as raising:
        raising.execute("UPDATE identity.app_keys SET scopes = '{*}' WHERE id = %s", [target.id])
        acting = asyncio.ensure_future(act(caller, org, target, how))
        await asyncio.to_thread(until_somebody_waits, database)
        raising.commit()
    assert await acting == REFUSED


def address(org: Organisation, route: Route) -> str:
    names = {"tenant_id": org.id, "app_id": "shop", "branch_id": "mad", "user_id": "ana", "key_id": org.key.id}
    names |= {"session_id": org.signed_in.session.session_id, "factor_id": org.factor_id}
    names |= {"invitation_id": org.invitation.id}
    return route.path.format(**{name: names[name] for name in route.params})


@pytest.mark.parametrize("app", ["shop", "platforms"])
async def test_keys_of_other_apps_manage_nothing_whatever_they_carry(
    org: Organisation, stores: Stores, platform: Api, app: str
) -> None:
    tenant_id, app_id = (org.id, "shop") if app == "shop" else (PLATFORM, unique("app"))
    if app != "shop":
        await stores.apps.create(PLATFORM, NewApp(id=app_id, name=app_id, type="web"))
    scopes = ("*", "keys:write", "keys:verify", "tenants:write", "identity:*")
    caller = Api(org.client, (await stores.app_keys.issue(tenant_id, app_id, NewAppKey(name="all", scopes=scopes))).key)
    refused = {403} if tenant_id == org.id else {403, 404}
    for route in MANAGING:
        assert (await caller(route.method, address(org, route))).status_code in refused, route.name
    assert (await caller.get("/v1/keys/whoami")).json()["app_id"] == app_id
