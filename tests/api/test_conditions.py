"""ETags: a write that names the version it has seen meets that version or nothing; a read need not come twice."""

from __future__ import annotations

import pytest

from identity.api.routes import Route
from tests.api.problems import told
from tests.api.samples import GUARDED, bodies, each, one, path_of, send, status_of
from tests.conftest import Api, Organisation

RECORDS = [route for route in GUARDED if route.method == "GET" and route.leaf and route.path.endswith("}")]
WRITES = [route for route in GUARDED if route.method in ("PUT", "PATCH", "DELETE")]
PUTS = [route for route in WRITES if route.method == "PUT"]


PATHS_OF_RECORDS = {"put_password": "/users/ana"}
"""Of what is no record itself: what its conditions are about."""


def record_of(route: Route, org: Organisation) -> str:
    return org.path + PATHS_OF_RECORDS[route.name] if route.name in PATHS_OF_RECORDS else path_of(route, org)


async def etag_of(caller: Api, path: str) -> str:
    return (await caller.get(path)).headers["ETag"]


@each(RECORDS)
async def test_a_record_that_is_known_is_not_sent_again(route: Route, target: Organisation, platform: Api) -> None:
    path = path_of(route, target)
    etag = await etag_of(platform, path)
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = await platform.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    for other in ('"x"', "x", '""', etag.strip('"')):
        assert (await platform.get(path, headers={"If-None-Match": other})).status_code == 200


@each(WRITES)
async def test_a_write_that_names_the_version_it_saw_is_done(route: Route, org: Organisation, platform: Api) -> None:
    etag = await etag_of(platform, record_of(route, org))
    condition = {"If-Match": f'"x", {etag}'}
    assert (await send(platform, route, org, headers=condition)).status_code == status_of(route)


@each(WRITES)
async def test_any_version_will_do_for_a_star(route: Route, org: Organisation, platform: Api) -> None:
    assert (await send(platform, route, org, headers={"If-Match": "*"})).status_code == status_of(route)


@each(WRITES)
@pytest.mark.usefixtures("unchanged")
async def test_a_write_that_saw_another_version_is_not_done(route: Route, target: Organisation, platform: Api) -> None:
    etag = await etag_of(platform, record_of(route, target))
    for other in ('"1"', '"x"', '"1", "2"', f"W/{etag}", etag.strip('"'), "", '"fffffffffffffff"'):
        answer = await send(platform, route, target, headers={"If-Match": other})
        assert told(answer) == (412, "precondition_failed"), other


async def test_of_two_that_saw_the_same_version_one_writes(org: Organisation) -> None:
    path = f"{org.path}/apps/shop"
    condition = {"If-Match": await etag_of(org.admin, path)}
    first, second = [await org.admin.patch(path, {"name": name}, headers=condition) for name in ("First", "Second")]
    assert (first.status_code, second.status_code) == (200, 412)
    assert (await org.admin.get(path)).json() == first.json()
    assert first.headers["ETag"] == await etag_of(org.admin, path) != condition["If-Match"]


@each(PUTS)
@pytest.mark.usefixtures("unchanged")
async def test_a_put_that_is_to_create_replaces_nothing(route: Route, target: Organisation, platform: Api) -> None:
    answer = await send(platform, route, target, headers={"If-None-Match": "*"})
    assert told(answer) == (412, "precondition_failed")


@each([route for route in PUTS if route.makes_leaf])
async def test_a_put_that_is_to_create_creates(route: Route, org: Organisation, platform: Api) -> None:
    path = path_of(route, org, **{route.params[-1]: f"{org.id}-new"})
    new = {"name": "New", "code": "NEW", "username": "new", "email": None}
    body = {**bodies(org)[route.name]}
    body |= {name: new[name] for name in new.keys() & body.keys()}
    for headers, status in (({"If-Match": '"1"'}, 412), ({"If-Match": "*"}, 412), ({"If-None-Match": "*"}, 201)):
        assert (await send(platform, route, org, path, json=body, headers=headers)).status_code == status
    assert (await platform.get(path)).status_code == 200


async def test_access_that_is_to_be_new_is_granted(org: Organisation) -> None:
    await org.admin.post(f"{org.path}/users", {"id": "bob", "username": "bob"})
    path = path_of(one("grant_access"), org, user_id="bob")
    assert (await org.admin.put(path, headers={"If-Match": "*"})).status_code == 412
    assert (await org.admin.put(path, headers={"If-None-Match": "*"})).status_code == 201
