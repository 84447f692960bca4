"""Query parameters that no list knows, or knows otherwise: a typo must not list everything."""

from __future__ import annotations

import pytest

from identity.api.routes import Route
from tests.api.problems import places, problem, told
from tests.api.samples import GUARDED, QUERIED, each, path_of, send
from tests.conftest import Api, Organisation

pytestmark = pytest.mark.usefixtures("unchanged")

QUERIES = {
    "nonsense=1": "nonsense",
    "limit=0": "limit",
    "limit=501": "limit",
    "limit=-1": "limit",
    "limit=x": "limit",
    "limit=": "limit",
    "limit=5.0": "limit",
    "limit=%D9%A5": "limit",
    "limit=99999999999999999999": "limit",
    "cursor=": "cursor",
    "cursor=x": "cursor",
    "cursor=%F0%9F%94%91": "cursor",
    "cursor=AAAAAAAAAAAAAAAAAAAAAHNob3A": "cursor",
    "cursor=_____________________w": "cursor",
}


@pytest.mark.parametrize("query", QUERIES)
async def test_a_list_refuses_what_it_does_not_know(query: str, target: Organisation, platform: Api) -> None:
    for route in QUERIED:
        answer = await send(platform, route, target, f"{path_of(route, target)}?{query}")
        assert (answer.status_code, places(answer)) == (400, [QUERIES[query]]), route.name
        assert problem(answer)["code"] in ("invalid_request", "invalid_cursor")


@each(QUERIED)
async def test_a_list_refuses_a_parameter_given_twice(route: Route, target: Organisation, platform: Api) -> None:
    for query in ("limit=1&limit=2", "limit=1&cursor=&limit=1", "limit=1&limit=1"):
        answer = await send(platform, route, target, f"{path_of(route, target)}?{query}")
        assert (told(answer), places(answer)) == ((400, "invalid_request"), ["limit"])


@each(QUERIED)
async def test_a_filter_refuses_what_its_field_can_never_be(route: Route, target: Organisation, platform: Api) -> None:
    assert route.where is not None
    closed = {"status", "type", "environment", "deleted"} & route.where.model_fields.keys()
    for query in (f"{name}=nonsense" for name in closed):
        answer = await send(platform, route, target, f"{path_of(route, target)}?{query}")
        assert (told(answer), places(answer)) == ((400, "invalid_request"), [query.partition("=")[0]])


@each(QUERIED)
async def test_a_filter_refuses_a_nul(route: Route, target: Organisation, platform: Api) -> None:
    assert route.where is not None
    for name in (*route.where.model_fields, "cursor", "limit"):
        answer = await send(platform, route, target, f"{path_of(route, target)}?{name}=%00")
        assert (told(answer), places(answer)) == ((400, "invalid_request"), [name])


@each([route for route in GUARDED if route.where is None])
async def test_what_is_no_list_takes_no_query(route: Route, target: Organisation, platform: Api) -> None:
    for query in ("dry_run=true", "limit=1"):
        answer = await send(platform, route, target, f"{path_of(route, target)}?{query}")
        assert (told(answer), places(answer)) == ((400, "invalid_request"), [query.partition("=")[0]])
