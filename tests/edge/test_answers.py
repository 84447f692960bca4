"""What every answer carries, whoever gives it; and whose address counts."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Message

from identity.api import ROUTES
from identity.api.envelope import Envelope
from identity.api.routes import PUBLIC, Route
from identity.cli.listening import HTTP, allow_many_connections
from tests.api.samples import each, path_of, send
from tests.conftest import Api, Organisation
from tests.edge.process import Service, serving
from tests.edge.wire import Answer, Client, connected, get, judged, request
from tests.server import Database


def as_answer(answer: httpx2.Response) -> Answer:
    return Answer(
        answer.status_code, [(name.lower(), value) for name, value in answer.headers.multi_items()], answer.content
    )


@each(ROUTES)
async def test_every_route_answers_so(route: Route, org: Organisation, platform: Api) -> None:
    """Well, without a credential, of another tenant, to HEAD, to another method, and to a broken body."""
    nobody = Api(org.client, None)
    judged(as_answer(await send(platform, route, org)))
    for caller in (nobody, org.admin, platform):
        judged(as_answer(await caller("HEAD", path_of(route, org))), head=True)
        judged(as_answer(await caller("REPORT", path_of(route, org))))
        judged(as_answer(await caller(route.method, path_of(route, org), content=b"{")))
        judged(as_answer(await caller(route.method, path_of(route, org, tenant_id="other"))))
    if route.scope != PUBLIC:
        assert (await send(nobody, route, org)).status_code == 401


async def test_not_modified_carries_it_too(org: Organisation) -> None:
    etag = (await org.admin.get(org.path)).headers["ETag"]
    answer = await org.admin.get(org.path, headers={"If-None-Match": etag})
    assert judged(as_answer(answer)).status == 304


async def test_head_is_answered_without_content_on_the_wire(wire: Client) -> None:
    for path, status in (("/healthz", 200), ("/nowhere", 404), ("/v1/keys/whoami", 401), ("/openapi.json", 200)):
        await wire.send(request(line=f"HEAD {path} HTTP/1.1"))
        assert (await wire.answer(head=True)).status == status


async def test_a_service_that_stops_says_so() -> None:
    started = asyncio.Event()
    sent: list[Any] = []

    async def endless(request: Request) -> Response:
        started.set()
        await asyncio.sleep(60)
        return Response()

    async def keep(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "headers": [(b"host", b"x")]}
    envelope = Envelope(Starlette(routes=[StarletteRoute("/", endless)]))
    serving = asyncio.ensure_future(envelope(scope, _nothing, keep))
    await started.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    assert judged(Answer(sent[0]["status"], headers, sent[1]["body"])).told == (503, "unavailable")


async def _nothing() -> Message:
    return {"type": "http.request"}


def test_a_connection_is_kept_for_75_s_and_no_header_names_the_server() -> None:
    assert HTTP["timeout_keep_alive"] == 75
    assert (HTTP["server_header"], HTTP["proxy_headers"], HTTP["access_log"]) == (False, False, False)


async def test_a_connection_may_rest_longer_than_a_request_may_take(wire: Client) -> None:
    await wire.send(get("/healthz"))
    assert (await wire.answer()).header("Server") is None
    assert await wire.stays_open(6)
    await wire.send(get("/healthz"))
    assert (await wire.answer()).status == 200


def test_as_many_connections_as_the_machine_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def behind_a_proxy(database: Database) -> Iterator[Service]:
    with serving(database, trusted_proxies='["127.0.0.0/8"]') as found:
        yield found


async def logged(service: Service, *headers: str) -> str:
    """The address that the log tells of such a request."""
    id = os.urandom(8).hex()
    async with connected(service.port) as client:
        await client.send(get("/nowhere", f"X-Request-Id: {id}", *headers))
        await client.answer()
    for _ in range(50):
        if found := [json.loads(line) for line in service.output.splitlines() if id in line]:
            return str(found[0]["address"])
        await asyncio.sleep(0.02)
    raise AssertionError("no line")


FORGED = [
    "X-Forwarded-For: 203.0.113.7",
    "Forwarded: for=203.0.113.7;host=evil.example;proto=https",
    "X-Real-IP: 203.0.113.7",
    "X-Client-IP: 203.0.113.7",
    "CF-Connecting-IP: 203.0.113.7",
    "True-Client-IP: 203.0.113.7",
]


async def test_forged_addresses_do_not_count(service: Service, behind_a_proxy: Service) -> None:
    assert await logged(service, *FORGED) == "127.0.0.1"
    assert await logged(behind_a_proxy, *FORGED[1:]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (["X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
        (["X-Forwarded-For: 1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        (["X-Forwarded-For: 1.1.1.1, 203.0.113.7, 127.0.0.2"], "203.0.113.7"),
        (["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
        (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        (["X-Forwarded-For: ::ffff:203.0.113.7"], "203.0.113.7"),
        (["X-Forwarded-For: 1.1.1.1, unknown"], ""),
        (['X-Forwarded-For: "}'], ""),
        (["X-Forwarded-For: ,"], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
async def test_of_a_trusted_proxy_the_last_address_counts(
    headers: list[str], address: str, behind_a_proxy: Service
) -> None:
    assert await logged(behind_a_proxy, *headers) == address


def test_an_ipv4_proxy_is_trusted_on_a_socket_of_both_families() -> None:
    headers = Headers({"X-Forwarded-For": "203.0.113.7"})
    envelope = Envelope(Starlette(), ["127.0.0.0/8"])
    assert envelope.address({"client": ("::ffff:127.0.0.1", 1)}, headers) == "203.0.113.7"
    assert envelope.address({"client": ("::ffff:10.0.0.1", 1)}, headers) == "10.0.0.1"


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "Host"])
async def test_no_header_says_where_we_are(header: str, behind_a_proxy: Service, platform_key: str) -> None:
    """Not even a trusted proxy's: that is IDENTITY_BASE_URL's."""
    value = "host=evil.example;proto=https" if header == "Forwarded" else "evil.example"
    host = f"Host: {value}" if header == "Host" else "Host: x"
    key = f"Authorization: Bearer {platform_key}"
    id = f"there-{header.lower()}"
    body = json.dumps({"name": "There"})
    async with connected(behind_a_proxy.port) as client:
        more = [] if header == "Host" else [f"{header}: {value}"]
        await client.send(request(*more, host=host, line="GET /openapi.json HTTP/1.1"))
        answer = await client.answer()
        assert answer.content["servers"] == [{"url": behind_a_proxy.url}]
        framing = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        await client.send(request(key, *more, *framing, host=host, line=f"PUT /v1/tenants/{id} HTTP/1.1", body=body))
        answer = await client.answer()
        assert answer.status in (200, 201)
        assert answer.header("Location") in (None, f"/v1/tenants/{id}")
        assert "evil" not in str(answer.headers)
