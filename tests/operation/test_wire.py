"""What a client may send before it is a request, by a real server on a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn

from identity.api import make_app
from identity.api.whole import WholeProtocol
from identity.settings import Settings
from tests.operation.apps import WITHIN_S, within
from tests.operation.wire import Client, request

MIB = 1024 * 1024
POST = "POST /v1/keys/verify HTTP/1.1"


class ImpatientProtocol(WholeProtocol):
    """As the service speaks it, with less patience than its ten seconds."""

    receive_timeout_s = 0.5


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(make_app(settings), http=ImpatientProtocol, ws="none", lifespan="on", log_config=None)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture
async def client(address: tuple[str, int]) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*address)
    yield Client(reader, writer)
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        request(*(f"X-{n}: {'x' * 1000}" for n in range(17))),
        request(f"X: {'x' * 17_000}"),
        request(line=f"GET /{'x' * 17_000} HTTP/1.1"),
        request(*(f"X-{n}: x" for n in range(64))),
        f"GET /healthz HTTP/1.1\r\nX: {'x' * MIB}",
    ],
    ids=["headers", "one header", "path", "65 headers", "a header without end"],
)
async def test_more_than_a_head_may_hold_is_431(client: Client, sent: str) -> None:
    await client.send(sent)
    assert await client.refused() == (431, "headers_too_large")
    assert await client.is_closed()


@pytest.mark.parametrize(
    "sent",
    [request(*(f"X-{n}: {'x' * 1000}" for n in range(15))), request(*(f"X-{n}: x" for n in range(63)))],
    ids=["15 kB", "64 headers"],
)
async def test_a_head_within_the_bounds_is_served(client: Client, sent: str) -> None:
    for _ in range(2):
        await client.send(sent)
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "GET /hea",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n",
        request("Transfer-Encoding: chunked", line=POST) + "5\r\n{",
    ],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
async def test_a_request_that_does_not_arrive_is_408(client: Client, sent: str) -> None:
    with within(0.5 + WITHIN_S):
        await client.send(sent)
        assert await client.refused() == (408, "request_timeout")
        assert await client.is_closed()


async def test_a_request_that_trickles_in_wins_no_time(client: Client) -> None:
    async def trickle() -> None:
        for each in request("X: y" * 100):
            await client.send(each)
            await asyncio.sleep(0.05)

    trickling = asyncio.ensure_future(trickle())
    with within(0.5 + WITHIN_S):
        assert await client.refused() == (408, "request_timeout")
    trickling.cancel()


async def test_a_half_sent_request_behind_a_whole_one_is_408_too(client: Client) -> None:
    await client.send(request() + "GET /hea")
    assert (await client.answer())[0] == 200
    assert await client.refused() == (408, "request_timeout")


async def test_a_connection_may_rest_between_requests(client: Client) -> None:
    for _ in range(2):
        await client.send(request())
        assert (await client.answer())[0] == 200
        await asyncio.sleep(0.7)


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 2"),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: 2", "Content-Length: 2"),
        ("Content-Length: -1",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
    ],
)
async def test_a_body_with_two_ends_is_refused_and_nothing_after_it_served(
    client: Client, headers: tuple[str, ...]
) -> None:
    await client.send(request(*headers, line=POST) + "0\r\n\r\n" + request())
    status, _ = await client.answer()
    assert status == 400
    assert await client.is_closed()


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        (None, ()),
        ("Host: x", ("Host: y",)),
        ("Host: x", ("host: x",)),
        ("Host: x", ("Authorization: Bearer a", "Authorization: Bearer b")),
    ],
)
async def test_a_head_that_can_be_read_in_two_ways_is_400(
    client: Client, host: str | None, headers: tuple[str, ...]
) -> None:
    await client.send(request(*headers, line="GET /v1/keys/whoami HTTP/1.1", host=host))
    assert await client.refused() == (400, "invalid_request")


@pytest.mark.parametrize(
    "sent", ["hello\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02", request("a b")]
)
async def test_what_is_no_http_is_400(client: Client, sent: str) -> None:
    await client.send(sent)
    assert await client.refused() == (400, "invalid_http")
    assert await client.is_closed()


@pytest.mark.parametrize("framing", ["Content-Length: {length}", "Transfer-Encoding: chunked"])
async def test_a_body_over_the_limit_is_413_and_can_be_read(client: Client, framing: str) -> None:
    chunk, times = b"x" * MIB, 4
    await client.send(request(framing.format(length=MIB * times), line=POST))
    for _ in range(times):
        await client.send(b"%x\r\n%s\r\n" % (MIB, chunk) if "chunked" in framing else chunk)
    if "chunked" in framing:
        await client.send(b"0\r\n\r\n")
    assert await client.refused() == (413, "body_too_large")
    await client.send(request())
    assert (await client.answer())[0] == 200


async def test_a_body_over_the_limit_can_be_answered_to_who_asks_to_close(client: Client) -> None:
    await client.send(request(f"Content-Length: {4 * MIB}", "Connection: close", line=POST))
    for _ in range(4):
        await client.send(b"x" * MIB)
    assert await client.refused() == (413, "body_too_large")


async def test_requests_in_one_go_are_answered_in_their_order(client: Client) -> None:
    paths = ["/healthz", "/nowhere", "/readyz", "/v1/keys/whoami"] * 5
    await client.send("".join(request(line=f"GET {path} HTTP/1.1") for path in paths))
    assert [(await client.answer())[0] for _ in paths] == [200, 404, 200, 401] * 5


CHUNKED = request("Transfer-Encoding: chunked", line="GET /v1/keys/whoami HTTP/1.1")


async def test_a_trailer_is_no_header(client: Client) -> None:
    await client.send(f"{CHUNKED}0\r\nAuthorization: Bearer isk_live_nobody\r\n\r\n")
    status, content = await client.answer()
    assert (status, content["detail"][:10]) == (401, "Send a key")


async def test_an_endless_trailer_ends_the_connection(client: Client) -> None:
    await client.send(f"{CHUNKED}0\r\nX: {'x' * MIB}")
    assert await client.refused() == (431, "headers_too_large")
