"""Creating, replacing, deleting and acting, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from identity.api.openapi.headers import has_etag
from identity.api.routes import Route
from tests.api.problems import places, told
from tests.api.samples import GUARDED, bodies, each, one, path_of, send
from tests.conftest import Api, Organisation

CREATES = [route for route in GUARDED if route.method == "POST" and route.status == 201]
PUTS = [route for route in GUARDED if route.method == "PUT" and not route.action]
DELETES = [route for route in GUARDED if route.method == "DELETE"]
ACTIONS = [route for route in GUARDED if route.action and not route.name.startswith("purge")]


ONCE = ("key", "secret", "otpauth_uri", "token")
"""What is shown by the call that makes it, and never again."""


@each(CREATES)
async def test_what_is_created_can_be_found_where_it_is_said_to_be(
    route: Route, org: Organisation, platform: Api
) -> None:
    made = await send(platform, route, org)
    assert made.status_code == 201
    found = await platform.get(made.headers["Location"])
    assert found.json() == {name: value for name, value in made.json().items() if name not in ONCE}
    assert found.headers["ETag"] == made.headers["ETag"]


@each(PUTS)
async def test_a_put_creates_and_then_replaces(route: Route, org: Organisation, platform: Api) -> None:
    await platform.post(f"{org.path}/users", {"id": "new", "username": "already"})
    path = path_of(route, org, **{route.params[-1]: "new" if route.name == "grant_access" else f"{org.id}-new"})
    more: dict[str, Any] = {}
    if route.takes:
        own = {"name": "New", "code": "NEW", "username": "new", "email": "new@example.com"}
        sample = bodies(org)[route.name]
        more = {"json": sample | {name: own[name] for name in own.keys() & sample.keys()}}
    created = await send(platform, route, org, path, **more)
    replaced = await send(platform, route, org, path, **more)
    assert (created.status_code, replaced.status_code) == (201, 200)
    assert created.headers["Location"] == path
    assert "Location" not in replaced.headers
    assert replaced.json() == created.json() | {"updated_at": replaced.json()["updated_at"]}


async def test_a_put_forgets_what_it_does_not_name(org: Organisation) -> None:
    path = f"{org.path}/apps/shop"
    full = {"name": "Full", "type": "web", "settings": {"access_token_s": 60}, "metadata": {"a": 1}}
    await org.admin.put(path, full)
    found = (await org.admin.put(path, {"name": "Bare", "type": "api"})).json()
    assert (found["name"], found["metadata"], found["settings"]["access_token_s"]) == ("Bare", {}, 300)


async def test_a_put_may_repeat_the_id_of_its_path(org: Organisation) -> None:
    answer = await org.admin.put(f"{org.path}/apps/shop", {"id": "shop", "name": "Shop", "type": "web"})
    assert answer.status_code == 200


@each(DELETES)
async def test_a_delete_says_nothing_unless_it_is_asked_to(route: Route, org: Organisation, platform: Api) -> None:
    answer = await send(platform, route, org)
    assert (answer.status_code, answer.content) == (204, b"")


@each(DELETES)
@pytest.mark.parametrize("prefer", ["return=representation", "respond-async, return=representation; x=1"])
async def test_a_delete_shows_what_is_gone_if_asked_to(
    route: Route, prefer: str, org: Organisation, platform: Api
) -> None:
    before = (await platform.get(path_of(route, org))).json()
    answer = await send(platform, route, org, headers={"Prefer": prefer})
    assert answer.status_code == 200
    moved = ("updated_at", "deleted_at", "revoked_at", "status")
    found = answer.json()
    receipt = found.pop("receipt", None)
    assert found == before | {name: found[name] for name in moved if name in before}
    assert found.get("deleted_at", "") is not None
    assert (receipt is not None) == (route.name in ("delete_user", "revoke_access"))


@each([route for route in DELETES if route.name != "revoke_access"])
async def test_what_is_deleted_is_no_longer_there(route: Route, org: Organisation, platform: Api) -> None:
    await send(platform, route, org)
    path = path_of(route, org)
    there = {each.method for each in GUARDED if each.path == route.path}
    for method in there - {"PUT"}:
        more: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        assert told(await platform(method, path, **more))[0] == 404


TOMBSTONES = [route for route in DELETES if route.name not in ("revoke_access", "delete_key", "end_session")]


@each(TOMBSTONES)
async def test_a_tombstone_takes_no_write_but_comes_back(route: Route, org: Organisation, platform: Api) -> None:
    path = path_of(route, org)
    before = (await platform.get(path)).json()
    await platform.delete(path)
    put = one(route.name.replace("delete", "put"))
    assert told(await send(platform, put, org)) == (409, route.name.replace("delete_", "") + "_taken")
    assert told(await platform.post(f"{path}/purge")) == (409, "purge_too_early")
    restored = await platform.post(f"{path}/restore")
    assert restored.json() == before | {"updated_at": restored.json()["updated_at"]}
    assert told(await platform.post(f"{path}/purge")) == (409, "status_conflict")


@each([route for route in ACTIONS if route.body_optional])
@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_an_action_takes_no_body_or_an_empty_one(
    route: Route, body: bytes, org: Organisation, platform: Api
) -> None:
    answer = await send(platform, route, org, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == route.status
    assert ("ETag" in answer.headers) == has_etag(route)


@each(ACTIONS)
@pytest.mark.usefixtures("unchanged")
async def test_an_action_refuses_a_field_that_it_does_not_know(
    route: Route, target: Organisation, platform: Api
) -> None:
    answer = await send(platform, route, target, json={"force": True})
    assert told(answer) == (400, "invalid_request")
    assert {"", "/force"} & set(places(answer))


STEPS = [
    ("users/ana", "lock suspend unlock", [200, 200, 409]),
    ("users/ana", "suspend lock activate", [200, 409, 200]),
    ("users/ana", "lock lock unlock unlock", [200, 200, 200, 200]),
    ("users/ana", "lock activate", [200, 409]),
    ("apps/shop", "disable disable enable enable", [200, 200, 200, 200]),
    ("apps/shop/branches/mad", "disable disable enable enable", [200, 200, 200, 200]),
    ("apps/identity", "disable enable", [409, 200]),
]


@pytest.mark.parametrize(("path", "actions", "statuses"), STEPS)
async def test_a_status_moves_as_promised(path: str, actions: str, statuses: list[int], org: Organisation) -> None:
    answers = [await org.admin.post(f"{org.path}/{path}/{action}") for action in actions.split()]
    assert [answer.status_code for answer in answers] == statuses
    conflict = "protected" if path == "apps/identity" else "status_conflict"
    assert {told(answer)[1] for answer in answers if answer.status_code == 409} <= {conflict}


@pytest.mark.parametrize("method", ["DELETE", "suspend"])
async def test_nobody_deletes_or_suspends_the_platform(method: str, platform: Api) -> None:
    path = "/v1/tenants/platform"
    answer = await (platform.delete(path) if method == "DELETE" else platform.post(f"{path}/{method}"))
    assert told(answer) == (409, "protected")


@pytest.mark.parametrize("number", [1e300, -1e300, 1e19, 1.5, 2**63 - 1, -(2**63), 1e-300])
async def test_a_number_that_is_answered_may_be_sent_back(number: float, org: Organisation) -> None:
    answer = await org.admin.patch(f"{org.path}/users/ana", {"metadata": {"n": number}})
    assert answer.json()["metadata"] == {"n": number}
    body = {"username": "ana", "metadata": (await org.admin.get(f"{org.path}/users/ana")).json()["metadata"]}
    assert (await org.admin.put(f"{org.path}/users/ana", body)).json()["metadata"] == {"n": number}
