"""Clients that take their time: they lose their connection, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import uvicorn

from identity.api import make_app
from identity.api.whole import WholeProtocol
from identity.cli.listening import HTTP
from identity.settings import Settings
from tests.conftest import Organisation
from tests.edge.conftest import RECEIVE_S
from tests.edge.process import Service, serving
from tests.edge.wire import VERIFY, Client, connected, get, request, verify
from tests.server import Database

MANY = 500
VERIFICATIONS_A_SECOND = 100
PROMISED_S = 10.0

HALVES = {
    "nothing": "",
    "half a line": "GET /hea",
    "half a head": "GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "half a chunk": request("Transfer-Encoding: chunked", line=VERIFY, body="5\r\n{"),
    "half a size": request("Transfer-Encoding: chunked", line=VERIFY, body="5"),
    "half a trailer": request("Transfer-Encoding: chunked", line=VERIFY, body="0\r\nX: "),
}


@pytest.mark.parametrize("what", HALVES)
async def test_what_does_not_arrive_is_408(what: str, wire: Client) -> None:
    started_s = time.monotonic()
    await wire.send(HALVES[what])
    assert (await wire.answer()).told == (408, "request_timeout")
    assert await wire.is_closed()
    assert RECEIVE_S * 0.9 < time.monotonic() - started_s < RECEIVE_S + 1


async def test_nor_does_what_begins_on_a_connection_that_has_rested_for_longer(wire: Client) -> None:
    await wire.send(get("/healthz"))
    assert (await wire.answer()).status == 200
    assert await wire.stays_open(RECEIVE_S + 0.2)
    started_s = time.monotonic()
    await wire.send(HALVES["half a head"])
    assert (await wire.answer()).told == (408, "request_timeout")
    assert RECEIVE_S * 0.9 < time.monotonic() - started_s < RECEIVE_S + 1


async def test_half_a_body_of_somebody_who_is_let_in_is_408(wire: Client, org: Organisation) -> None:
    await wire.send(verify(org.admin_key.key, "{", "Content-Length: 10"))
    assert (await wire.answer()).told == (408, "request_timeout")
    assert await wire.is_closed()


async def test_what_was_answered_before_it_arrived_is_not_answered_twice(wire: Client) -> None:
    await wire.send(request("Content-Length: 10", line="POST /nowhere HTTP/1.1", body="{"))
    assert (await wire.answer()).status == 404
    assert await wire.is_closed(RECEIVE_S + 1)


async def test_what_comes_after_a_refusal_is_not_served(wire: Client, service: Service) -> None:
    await wire.send(request("Transfer-Encoding: chunked", line=VERIFY, body="5\r\n{"))
    assert (await wire.answer()).status == 408
    await wire.send("x" * 4 + "\r\n0\r\n\r\n" + get("/nowhere", "X-Request-Id: too-late"))
    assert await wire.is_closed()
    await asyncio.sleep(0.2)
    assert "too-late" not in service.output


@pytest.mark.parametrize("drop", ["\r\n", "\n"])
async def test_line_ends_keep_no_connection_open(drop: str, wire: Client) -> None:
    """They precede a request, and end the rest between two."""
    await wire.send(get("/healthz"))
    assert (await wire.answer()).status == 200

    async def trickle() -> None:
        while True:
            await wire.send(drop)
            await asyncio.sleep(0.1)

    trickling = asyncio.ensure_future(trickle())
    assert (await wire.answer(within_s=RECEIVE_S + 1)).told == (408, "request_timeout")
    trickling.cancel()


class Impatient(WholeProtocol):
    """As the service speaks it, and tired of waiting sooner."""

    receive_timeout_s = 1.0
    send_timeout_s = 1.0


@pytest.fixture(scope="module")
def impatient(settings: Settings) -> Iterator[tuple[int, uvicorn.Server]]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(settings), http=Impatient, **HTTP | {"timeout_keep_alive": 1}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1], server
    server.should_exit = True
    thread.join(10)
    listening.close()


async def none_left(server: uvicorn.Server, within_s: float) -> bool:
    until_s = time.monotonic() + within_s
    while server.server_state.connections:
        if time.monotonic() > until_s:
            return False
        await asyncio.sleep(0.05)
    return True


async def test_who_does_not_read_its_answers_loses_its_connection(impatient: tuple[int, uvicorn.Server]) -> None:
    port, server = impatient
    async with connected(port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(60):
            client.writer.write(get("/openapi.json").encode() * 50)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert server.server_state.connections
        assert await none_left(server, 4)


async def test_who_reads_late_keeps_its_connection(impatient: tuple[int, uvicorn.Server]) -> None:
    async with connected(impatient[0]) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(get("/openapi.json") * 60)
        await asyncio.sleep(0.5)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(59):
            assert (await client.answer()).status == 200
        await asyncio.sleep(0.8)
        assert (await client.answer()).status == 200
        await client.send(get("/healthz"))
        assert (await client.answer()).status == 200


async def test_who_asks_to_close_and_does_not_read_loses_it_too(impatient: tuple[int, uvicorn.Server]) -> None:
    port, server = impatient
    unread = socket.socket()
    unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    unread.connect(("127.0.0.1", port))
    unread.sendall((get("/openapi.json") * 60 + get("/openapi.json", "Connection: close")).encode())
    await asyncio.sleep(0.3)
    assert server.server_state.connections
    assert await none_left(server, 4)
    unread.close()


async def test_a_connection_that_rests_too_long_is_closed(impatient: tuple[int, uvicorn.Server]) -> None:
    port, server = impatient
    async with connected(port) as client:
        await client.send(get("/healthz"))
        assert (await client.answer()).status == 200
        assert await client.is_closed(3)
    assert await none_left(server, 4)


async def half_sent(client: Client) -> None:
    await client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n")


async def a_byte_a_second(client: Client) -> None:
    await client.send(request("Transfer-Encoding: chunked", line=VERIFY, body="3e8\r\n"))
    while True:
        await client.send("{")
        await asyncio.sleep(1)


async def lifetime_s(port: int, behave: Callable[[Client], Awaitable[None]]) -> tuple[int, float]:
    """How such a client's connection ended, and after how long."""
    async with connected(port) as client:
        started_s = time.monotonic()
        behaving = asyncio.ensure_future(behave(client))
        status = (await client.answer(within_s=2 * PROMISED_S)).status
        assert await client.is_closed()
        behaving.cancel()
        return status, time.monotonic() - started_s


async def verifications(port: int, body: str, key: str, seconds: float) -> list[int]:
    """At an even pace, whatever the answers take, over some kept connections."""
    text = verify(key, body, f"Content-Length: {len(body)}")
    statuses: list[int] = []
    lanes = 10

    async def lane(number: int) -> None:
        async with connected(port) as client:
            for n in range(int(seconds * VERIFICATIONS_A_SECOND / lanes)):
                due_s = started_s + (n * lanes + number) / VERIFICATIONS_A_SECOND
                await asyncio.sleep(max(0, due_s - time.monotonic()))
                await client.send(text)
                statuses.append((await client.answer()).status)

    started_s = time.monotonic()
    await asyncio.gather(*(lane(number) for number in range(lanes)))
    return statuses


@pytest.fixture
async def patient(database: Database) -> AsyncIterator[int]:
    """The service with its own patience."""
    with serving(database) as service:
        yield service.port


async def test_a_thousand_slow_clients_are_gone_after_ten_seconds_and_no_verification_fails(
    patient: int, org: Organisation
) -> None:
    body = f'{{"key": "{org.key.key}"}}'
    slow = [lifetime_s(patient, behave) for behave in (half_sent, a_byte_a_second) for _ in range(MANY)]
    ended, statuses = await asyncio.gather(
        asyncio.gather(*slow), verifications(patient, body, org.admin_key.key, PROMISED_S + 2)
    )
    assert len(ended) == 2 * MANY
    assert {status for status, _ in ended} == {408}
    assert max(seconds for _, seconds in ended) < PROMISED_S + 2
    assert min(seconds for _, seconds in ended) > PROMISED_S - 1
    assert statuses == [200] * len(statuses)
    assert len(statuses) > VERIFICATIONS_A_SECOND * PROMISED_S
