"""What is around every answer: request ids, problems of the router, limits on bodies, and a bug that shows nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from identity.api import ROUTES
from identity.api.envelope import Envelope
from identity.api.routes import MIB, Route
from tests.api.problems import MEMBERS, problem, told
from tests.api.samples import GUARDED, WITH_BODY, each, one, path_of, send
from tests.conftest import Api, Organisation

JSON = {"Content-Type": "application/json"}
PATHS = {
    route.path: {
        method
        for other in ROUTES
        if other.path == route.path
        for method in (other.method, *(["OPTIONS"] if other.tells_oauth else []))
    }
    for route in ROUTES
}
VERBS = {"/import": "/{key_id}", "/accept": "/{invitation_id}"}
"""Where an id may stand too, which they then are to other methods."""


@pytest.mark.parametrize("id", ["7", "a-b_c.D", "x" * 128])
async def test_a_request_keeps_its_id(id: str, client: httpx2.AsyncClient) -> None:
    for path in ("/healthz", "/nowhere", "/v1/keys/whoami"):
        assert (await client.get(path, headers={"X-Request-Id": id})).headers.get_list("X-Request-Id") == [id]


@pytest.mark.parametrize("id", ["", "a b", "x" * 129, "a\tb", '"}', "a/b"])
async def test_an_id_that_does_not_belong_in_a_log_is_replaced(id: str, client: httpx2.AsyncClient) -> None:
    ids = [(await client.get("/healthz", headers={"X-Request-Id": id})).headers["X-Request-Id"] for _ in "12"]
    assert id not in ids
    assert len({*ids}) == 2
    assert all(each.isalnum() and len(each) == 32 for each in ids)


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/tenants/", "/v1/nonsense", "/V1/tenants", "/v1/tenants/a/apps/b/c/d"]
)
async def test_what_is_no_route_is_a_problem(path: str, client: httpx2.AsyncClient, platform: Api) -> None:
    for caller in (Api(client, None), platform):
        answer = await caller.get(path)
        assert told(answer) == (404, "route_not_found")
        assert path not in problem(answer)["detail"] or path == "/"


@pytest.mark.parametrize("path", PATHS)
async def test_another_method_is_told_which_there_are(path: str, target: Organisation, platform: Api) -> None:
    route = next(route for route in ROUTES if route.path == path)
    by_id = next((PATHS[path.removesuffix(end) + id] for end, id in VERBS.items() if path.endswith(end)), set())
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"} - PATHS[path] - by_id:
        answer = await platform(method, path_of(route, target))
        assert told(answer) == (405, "method_not_allowed")
        allowed = set(answer.headers["Allow"].replace(" ", "").split(","))
        assert allowed - {"HEAD"} == PATHS[path]
        assert ("HEAD" in allowed) == ("GET" in allowed)


@each([route for route in GUARDED if route.method == "GET" and route.name != "metrics"])  # it counts being asked
async def test_head_is_get_without_its_content(route: Route, target: Organisation, platform: Api) -> None:
    shown = await send(platform, route, target)
    answer = await platform("HEAD", path_of(route, target))
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
        assert answer.headers.get(name) == shown.headers.get(name)


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """Sent without a Content-Length."""
    for _ in range(0, size, 4096):
        yield b" " * 4096


@each(WITH_BODY)
async def test_a_body_that_is_too_large_is_refused_to_anybody(
    route: Route, target: Organisation, platform: Api
) -> None:
    for caller in (platform, Api(target.client, None)):
        for content in (b" " * (route.max_body + 1), in_pieces(route.max_body + 1)):
            assert told(await send(caller, route, target, content=content, headers=JSON)) == (413, "body_too_large")


async def test_bodies_have_the_bounds_that_were_promised() -> None:
    bounds = {route.name: route.max_body for route in WITH_BODY}
    assert bounds.pop("verify_key") == 8 * 1024
    assert bounds.pop("verify_keys") == 256 * 1024
    for name in ("report_leak", "sign_in", "put_password", "change_password", "redeem_reset", "accept_invitation"):
        assert bounds.pop(name) == 8 * 1024
    for name in ("answer_challenge", "enrol_at_sign_in", "confirm_factor", "remove_factor", "accept_as_user"):
        assert bounds.pop(name) == 8 * 1024
    assert set(bounds.values()) == {MIB}


async def test_a_body_of_just_the_bound_is_read(target: Organisation, platform: Api) -> None:
    route = one("verify_key")
    answer = await send(platform, route, target, content=b'{"key": "x"}'.ljust(route.max_body), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (200, "malformed")


HEADERS = {
    "two hosts": [("Host", "a.example.com"), ("Host", "b.example.com")],
    "two lengths": [("Content-Length", "2"), ("Content-Length", "3")],
    "a length and chunks": [("Content-Length", "2"), ("Transfer-Encoding", "chunked")],
    "two credentials": [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
}


@pytest.mark.parametrize("what", HEADERS)
async def test_of_two_that_must_be_one_neither_is_believed(what: str, client: httpx2.AsyncClient) -> None:
    answer = await client.request("GET", "/v1/keys/whoami", headers=HEADERS[what])
    assert told(answer) == (400, "invalid_request")


async def test_no_answer_is_kept_by_a_cache(target: Organisation, platform: Api) -> None:
    for route in (one("get_key"), one("list_keys_of_app"), one("verify_key"), one("whoami")):
        assert (await send(platform, route, target)).headers["Cache-Control"] == "no-store"


async def test_a_bug_of_ours_is_told_to_the_log_and_not_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(request: Request) -> Response:
        raise RuntimeError("password=hunter2")

    app = Envelope(Starlette(routes=[StarletteRoute("/bug", endpoint)]))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
        with caplog.at_level(logging.INFO, "identity"):
            answer = await client.get("/bug", headers={"X-Request-Id": "seven"})
    assert (answer.status_code, answer.json().keys(), answer.json()["code"]) == (500, MEMBERS, "internal_error")
    told_to_log = [json.loads(record.getMessage()) for record in caplog.records if record.name.startswith("identity")]
    assert told_to_log[0]["error"] == "RuntimeError"
    assert {line["request_id"] for line in told_to_log} == {"seven"}
    assert "hunter2" not in answer.text + caplog.text
