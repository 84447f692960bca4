"""Ids that can be none, in the path and in the body."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.api.problems import places, told
from tests.api.samples import GUARDED, bodies, one, path_of, send
from tests.conftest import Api, Organisation

pytestmark = pytest.mark.usefixtures("unchanged")

NO_IDS = {
    "a NUL": "%00",
    "a NUL within": "sh%00op",
    "a per cent sign": "50%25",
    "a per cent sign for SQL": "%25s",
    "a quote": quote("'; SELECT pg_sleep(5); --"),
    "a backslash": "%5C",
    "a space": "sh%20op",
    "a line feed": "shop%0A",
    "dots": "%2E%2E",
    "a dash first": "-shop",
    "300 characters": "a" * 300,
    "letters of elsewhere": quote("señal"),
    "full width letters": quote("\uff53hop"),
    "an emoji": quote("🔑"),
    "no UTF-8": "%FF%FE",
    "a surrogate": "%ED%A0%80",
}
NO_SLUGS = ["Shop", "shop.mad", "shop_mad"]
MISPLACED = [(route, name) for route in GUARDED for name in route.params]
BY_SLUG = ["put_tenant", "put_app", "put_branch"]


@pytest.mark.parametrize("what", NO_IDS)
async def test_what_can_be_no_id_names_nothing(what: str, target: Organisation, platform: Api) -> None:
    for route, name in MISPLACED:
        answer = await send(platform, route, target, path_of(route, target, **{name: NO_IDS[what]}))
        assert told(answer)[0] in (400, 404), (route.name, name)


@pytest.mark.parametrize("id", NO_SLUGS)
@pytest.mark.parametrize("name", BY_SLUG)
async def test_a_put_makes_nothing_whose_id_is_wrong(name: str, id: str, target: Organisation, platform: Api) -> None:
    route = one(name)
    answer = await send(platform, route, target, path_of(route, target, **{route.params[-1]: id}))
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/id"])


@pytest.mark.parametrize("id", [*NO_SLUGS, "sh\tp", "50%", "", "a" * 64, "ñ", "shop\n"])
@pytest.mark.parametrize("name", ["create_a_tenant", "create_app", "create_branch"])
async def test_a_post_makes_nothing_whose_id_is_wrong(name: str, id: str, target: Organisation, platform: Api) -> None:
    answer = await send(platform, one(name), target, json={**bodies(target)[name], "id": id})
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/id"])


@pytest.mark.parametrize("id", [".ana", "ana maria", "a" * 129, "ñ", "", "50%", "ana\n"])
async def test_a_users_id_may_not_be_just_anything(id: str, target: Organisation) -> None:
    answer = await target.admin.post(f"{target.path}/users", {"id": id, "username": "new"})
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/id"])


@pytest.mark.parametrize("name", [*BY_SLUG, "put_user"])
async def test_a_body_may_not_name_another_than_its_path(name: str, target: Organisation, platform: Api) -> None:
    for other in ("other", None, 7):
        answer = await send(platform, one(name), target, json={**bodies(target)[name], "id": other})
        assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/id"])
