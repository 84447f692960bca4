"""Every caller on every route: who is refused, how, and that nothing came of it."""

from __future__ import annotations

from typing import Any

import pytest

from identity.api import ROUTES
from identity.api.routes import PUBLIC, Route
from identity.auth import SCOPES
from identity.tenants import PLATFORM
from tests.api.samples import (
    FORMS,
    GUARDED,
    OF_A_TENANT,
    SCOPED,
    WITH_BODY,
    bodies,
    each,
    forms,
    path_of,
    send,
    status_of,
)
from tests.conftest import Api, Organisation, unique

pytestmark = pytest.mark.usefixtures("unchanged")

SINGLE_SCOPES = [*SCOPES, "keys:verify/shop"]
MALFORMED = ["x", "isk_live_", "Bearer", "eyJhbGciOiJub25lIn0.e30."]


def sufficient(route: Route) -> set[str]:
    """Said here once more, by hand, so that the rule in the code has something to be held against."""
    if route.scope == "keys:verify":
        return {"*", "keys:verify", "keys:verify/shop"}
    if route.name == "export_user":  # users:read and keys:read
        return {"*"}
    return {"*", route.scope, route.scope.replace(":read", ":write")}


def test_every_route_has_its_sample(target: Organisation) -> None:
    assert bodies(target).keys() == {route.name for route in WITH_BODY}
    assert forms(target).keys() == {route.name for route in FORMS}
    assert all("{" not in path_of(route, target) for route in ROUTES)


def test_names_of_routes_are_unique() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES) == len({(route.method, route.path) for route in ROUTES})


def test_just_these_routes_are_public() -> None:
    public = {route.path for route in ROUTES if route.scope == PUBLIC and not route.path.startswith("/.well-known/")}
    documents = {"/healthz", "/readyz", "/openapi.json", "/docs"}
    people = {f"/v1/tenants/{{tenant_id}}/{each}" for each in ("sessions", "password-reset", "mfa", "mfa/enrol")}
    people |= {"/v1/tenants/{tenant_id}/invitations/accept"}
    assert public == documents | people | {"/v1/keys/report-leak", "/oauth/token", "/oauth/revoke"}


@pytest.mark.parametrize("scope", ["", "apps", "apps:delete", "PUBLIC", None])
def test_a_route_without_a_scope_cannot_be_made(scope: str) -> None:
    with pytest.raises(ValueError, match="needs a scope"):
        Route("secrets", "GET", "/v1/secrets", scope, handler=send, takes=None, answers=None)


@each(GUARDED)
async def test_nobody_is_asked_for_a_key(route: Route, target: Organisation) -> None:
    for caller in (Api(target.client, None), *(Api(target.client, key) for key in MALFORMED)):
        answer = await send(caller, route, target)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@each(OF_A_TENANT)
async def test_anothers_tenant_is_no_tenant(route: Route, target: Organisation, stranger: Organisation) -> None:
    """Byte for byte, headers too; and no less when the body, the condition or the query is wrong as well."""
    id, nowhere = {"X-Request-Id": "same"}, path_of(route, target, tenant_id=unique("nowhere"))
    missing = await send(stranger.admin, route, target, nowhere, headers=id)
    assert (missing.status_code, missing.json()["code"]) == (404, "tenant_not_found")
    same: list[dict[str, Any]] = [
        {},
        {"headers": {"If-Match": '"1"'}},
        {"params": {"nonsense": "1"}},
        {"content": b"{"},
    ]
    for more in same:
        answer = await send(stranger.admin, route, target, **{**more, "headers": {**more.get("headers", {}), **id}})
        assert (answer.content, answer.headers) == (missing.content, missing.headers)


@each([route for route in OF_A_TENANT if route.name != "put_tenant"])
async def test_the_platform_hears_the_same_of_no_tenant(
    route: Route, target: Organisation, stranger: Organisation, platform: Api
) -> None:
    id, nowhere = {"X-Request-Id": "same"}, path_of(route, target, tenant_id=unique("nowhere"))
    asked, told = [await send(caller, route, target, nowhere, headers=id) for caller in (platform, stranger.admin)]
    assert (asked.content, asked.headers) == (told.content, told.headers)


@each(SCOPED)
async def test_no_other_scope_will_do(route: Route, target: Organisation, holders: dict[tuple[str, str], Api]) -> None:
    for (tenant_id, scope), holder in holders.items():
        if scope not in sufficient(route):
            answer = await send(holder, route, target)
            told = (answer.status_code, answer.json()["code"])
            assert told == (403, "insufficient_scope"), (tenant_id, scope)


@each([route for route in SCOPED if route.platform_only])
async def test_what_is_the_platforms_no_tenant_may(
    route: Route, target: Organisation, holders: dict[tuple[str, str], Api]
) -> None:
    for scope in sufficient(route):
        answer = await send(holders[target.id, scope], route, target)
        assert (answer.status_code, answer.json()["code"]) == (403, "platform_only")


@each(SCOPED)
async def test_the_key_of_an_ordinary_app_manages_nothing(route: Route, target: Organisation, ordinary: Api) -> None:
    answer = await send(ordinary, route, target)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


@pytest.fixture(scope="module", params=["*", "every word"])
async def ordinary(request: pytest.FixtureRequest, target: Organisation, platform: Api) -> Api:
    """Of app shop of the target, with the scopes that would do everything if the app were `identity`."""
    scopes = ["*"] if request.param == "*" else SINGLE_SCOPES
    issued = await platform.post(f"{target.path}/apps/shop/keys", {"name": "cuckoo", "scopes": scopes})
    return Api(target.client, issued.json()["key"])


RIGHT = [(route, scope) for route in SCOPED for scope in sorted(sufficient(route))]


@pytest.mark.parametrize(("route", "scope"), RIGHT, ids=lambda each: each if isinstance(each, str) else each.name)
async def test_the_right_scope_will_do(
    route: Route, scope: str, org: Organisation, holders: dict[tuple[str, str], Api]
) -> None:
    holder = holders[PLATFORM, scope] if route.platform_only else await org.holding(scope)
    answer = await send(holder, route, org)
    assert answer.status_code == status_of(route), answer.text


async def test_a_list_of_tenants_shows_each_tenant_only_itself(target: Organisation) -> None:
    for query in ("", "?deleted=false", f"?name=Organisation {target.id}"):
        answer = await target.admin.get(f"/v1/tenants{query}")
        assert [tenant["id"] for tenant in answer.json()["items"]] == [target.id]


async def test_any_live_key_may_ask_who_it_is(
    target: Organisation, platform: Api, ordinary: Api, holders: dict[tuple[str, str], Api]
) -> None:
    for caller in (platform, target.admin, ordinary, Api(target.client, target.key.key), *holders.values()):
        answer = await caller.get("/v1/keys/whoami")
        assert (answer.status_code, answer.json()["code"]) == (200, "valid")
