"""Which fault is told of several, in this order: credential, tenant, scope, path, If-Match, body, effect."""

from __future__ import annotations

from typing import Any

import pytest

from identity.api.routes import Route
from tests.api.problems import told
from tests.api.samples import GUARDED, OF_A_TENANT, SCOPED, each, path_of, send
from tests.conftest import Api, Organisation

pytestmark = pytest.mark.usefixtures("unchanged")

WRONG: dict[str, Any] = {"params": {"nonsense": "1"}, "content": b"{", "headers": {"Content-Type": "text/plain"}}
STALE = {"If-Match": '"1"', "Content-Type": "application/json"}
MISSING = {"app_id": "none", "branch_id": "none", "user_id": "none", "key_id": "0" * 22, "session_id": "none"}

MAKES_WHAT_IT_NAMES = ("put_app", "put_branch", "put_user")
NAMES = [
    route
    for route in OF_A_TENANT
    if route.leaf in MISSING and route.name not in MAKES_WHAT_IT_NAMES and not route.reaches_tombstones
]
CONDITIONAL = [route for route in GUARDED if route.method in ("PUT", "PATCH", "DELETE")]


@each(GUARDED)
async def test_first_the_credential(route: Route, target: Organisation) -> None:
    assert told(await send(Api(target.client, None), route, target, **WRONG))[0] == 401


@each(OF_A_TENANT)
async def test_then_the_tenant(route: Route, target: Organisation, stranger: Organisation) -> None:
    less = Api(target.client, stranger.key.key)
    for caller in (stranger.admin, less):
        assert told(await send(caller, route, target, **WRONG)) == (404, "tenant_not_found")


@each(SCOPED)
async def test_then_the_scope(route: Route, target: Organisation, holders: dict[tuple[str, str], Api]) -> None:
    scope = "audit:read" if route.scope != "audit:read" else "users:read"
    path = path_of(route, target, **MISSING)
    assert told(await send(holders[target.id, scope], route, target, path, **WRONG)) == (403, "insufficient_scope")


@each([route for route in OF_A_TENANT if route.parents])
async def test_then_what_the_path_goes_through(route: Route, target: Organisation) -> None:
    parent = route.parents[0]
    path = path_of(route, target, **{parent: MISSING[parent]})
    assert told(await send(target.admin, route, target, path, **WRONG)) == (404, parent.replace("_id", "_not_found"))


@each(NAMES)
async def test_then_what_the_path_names(route: Route, target: Organisation) -> None:
    assert route.leaf is not None
    path = path_of(route, target, **{route.leaf: MISSING[route.leaf]})
    status, code = told(await send(target.admin, route, target, path, **WRONG))
    assert (status, code.endswith("_not_found")) == (404, True)


@each(CONDITIONAL)
async def test_then_the_condition(route: Route, target: Organisation, platform: Api) -> None:
    for content in (b"{", b'{"nonsense": 1}', b"[]"):
        answer = await send(platform, route, target, content=content, headers=STALE)
        assert told(answer) == (412, "precondition_failed")


@each(CONDITIONAL)
async def test_a_condition_comes_after_the_scope(
    route: Route, target: Organisation, holders: dict[tuple[str, str], Api]
) -> None:
    answer = await send(holders[target.id, "audit:read"], route, target, content=b"{}", headers=STALE)
    assert told(answer) == (403, "insufficient_scope")


async def test_then_the_body_and_last_its_effect(target: Organisation) -> None:
    taken = {"id": "shop", "name": "Shop", "type": "web"}
    wrong = await target.admin.post(f"{target.path}/apps", {**taken, "color": "red"})
    assert told(wrong) == (400, "invalid_request")
    assert told(await target.admin.post(f"{target.path}/apps", taken)) == (409, "app_taken")
