"""Several requests on one connection: answered in their order, and none made of another's body."""

from __future__ import annotations

import asyncio

import pytest

from identity.api.protocol import MAX_PIPELINED
from tests.edge.process import Service
from tests.edge.wire import VERIFY, Client, connected, get, request, verify

MIB = 2**20
LATER = "the_answer_comes_later"


async def test_requests_in_one_go_are_answered_in_their_order(wire: Client) -> None:
    paths = ["/healthz", "/nowhere", "/readyz", "/v1/keys/whoami"] * 5
    await wire.send("".join(get(path) for path in paths))
    assert [(await wire.answer()).status for _ in paths] == [200, 404, 200, 401] * 5


@pytest.mark.parametrize(
    "garbage",
    ["hello\r\n\r\n", "\0", request("X : y"), request("Content-Length: 1", "Transfer-Encoding: chunked", line=VERIFY)],
)
async def test_garbage_behind_requests_does_not_take_their_answers(garbage: str, wire: Client) -> None:
    await wire.send(get("/readyz") + get("/v1/keys/whoami") + garbage + get("/healthz"))
    assert [(await wire.answer()).status for _ in "123"] == [200, 401, 400]
    assert await wire.is_closed()


async def test_a_broken_body_behind_requests_does_not_take_their_answers(wire: Client) -> None:
    broken = request("Transfer-Encoding: chunked", line=VERIFY, body="zz\r\n")
    await wire.send(get("/readyz") + get("/v1/keys/whoami") + broken + get("/healthz"))
    assert [(await wire.answer()).status for _ in "123"] == [200, 401, 400]
    assert await wire.is_closed()


async def test_a_half_sent_request_behind_a_whole_one_is_408_in_its_turn(wire: Client) -> None:
    await wire.send(get("/readyz") + "GET /hea")
    assert [(await wire.answer()).status for _ in "12"] == [200, 408]
    assert await wire.is_closed()


async def test_too_many_waiting_requests_end_the_connection_after_their_answers(wire: Client) -> None:
    await wire.send("".join(get("/v1/keys/whoami") for _ in range(MAX_PIPELINED + 100)))
    statuses = [(await wire.answer()).status for _ in range(MAX_PIPELINED + 2)]
    assert statuses == [401] * (MAX_PIPELINED + 1) + [429]
    assert await wire.is_closed()


async def test_after_close_nothing_is_served(wire: Client) -> None:
    await wire.send(request("Connection: close") + get("/nowhere"))
    assert (await wire.answer()).header("Connection") == "close"
    assert await wire.is_closed()


async def test_http_1_0_is_served_once(wire: Client) -> None:
    await wire.send(request("Connection: keep-alive", line="GET /healthz HTTP/1.0") + get("/nowhere"))
    assert (await wire.answer()).status == 200
    assert await wire.is_closed()


async def test_line_ends_before_a_request_are_passed_over(wire: Client) -> None:
    for _ in range(2):
        await wire.send("\r\n\r\n" + get("/healthz"))
        assert (await wire.answer()).status == 200


UPGRADES = {
    "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
    "websocket": ("Connection: keep-alive, upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
    "nonsense": ("upgrade: x", "connection: UPGRADE"),
}


@pytest.mark.parametrize("what", UPGRADES)
async def test_an_offer_to_speak_something_else_is_not_taken(what: str, wire: Client) -> None:
    await wire.send(request(*UPGRADES[what]) + get("/nowhere"))
    assert [(await wire.answer()).status for _ in "12"] == [200, 404]


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
@pytest.mark.parametrize("framing", ["Content-Length: {}", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("what", UPGRADES)
async def test_a_body_with_such_an_offer_is_read_and_is_no_request(
    what: str, framing: str, pause_s: float, wire: Client, platform_key: str
) -> None:
    body = '{"key": "x"}' + " " * 10 + "\r\n" * 5
    framed = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n" if "chunked" in framing else body
    await wire.send(verify(platform_key, "", framing.format(len(body)), *UPGRADES[what]))
    await asyncio.sleep(pause_s)
    await wire.send(framed + get("/nowhere"))
    assert (await wire.answer()).told == (200, "malformed")
    assert (await wire.answer()).told == (404, "route_not_found")


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
async def test_a_request_in_the_body_of_an_upgrade_is_not_served(
    pause_s: float, wire: Client, service: Service
) -> None:
    smuggled = get("/v1/keys/whoami", "X-Request-Id: smuggled")
    await wire.send(request(f"Content-Length: {len(smuggled)}", *UPGRADES["h2c"], line=VERIFY))
    await asyncio.sleep(pause_s)
    await wire.send(smuggled)
    assert (await wire.answer()).status == 401
    await wire.send(get("/nowhere"))
    assert (await wire.answer()).status == 404
    assert "smuggled" not in service.output


async def test_who_asks_whether_to_send_a_body_is_told_to(wire: Client, platform_key: str) -> None:
    await wire.send(verify(platform_key, "", "Expect: 100-continue", "Content-Length: 11"))
    assert (await wire.answer()).status == 100
    await wire.send('{"key":"x"}')
    answer = await wire.answer()
    assert answer.told == (200, "malformed")
    assert answer.header("Connection") == "close"


@pytest.mark.parametrize(
    ("line", "status"), [("POST /nowhere HTTP/1.1", 404), (VERIFY, 413), ("PUT /v1 HTTP/1.1", 404)]
)
async def test_who_is_refused_at_once_need_not_send_it_and_its_next_request_is_no_body(
    line: str, status: int, wire: Client
) -> None:
    await wire.send(request("Expect: 100-continue", f"Content-Length: {20 * MIB}", line=line))
    answer = await wire.answer()
    assert (answer.status, answer.header("Connection")) == (status, "close")
    assert await wire.is_closed()


@pytest.mark.parametrize("framing", ["Content-Length: {}", "Transfer-Encoding: chunked"])
async def test_a_body_over_the_limit_is_413_and_can_be_read(framing: str, wire: Client) -> None:
    chunked = "chunked" in framing
    await wire.send(request(framing.format(4 * MIB), line=VERIFY))
    for _ in range(4):
        await wire.send(b"%x\r\n%s\r\n" % (MIB, b"x" * MIB) if chunked else b"x" * MIB)
    await wire.send("0\r\n\r\n" if chunked else "")
    assert (await wire.answer()).told == (413, "body_too_large")
    await wire.send(get("/healthz"))
    assert (await wire.answer()).status == 200


async def test_a_body_without_end_is_413_and_ends_the_connection(wire: Client) -> None:
    async def send() -> None:
        while True:
            await wire.send(b"10000\r\n%s\r\n" % (b"x" * 2**16))
            await asyncio.sleep(0.001)

    await wire.send(request("Transfer-Encoding: chunked", line=VERIFY))
    sending = asyncio.ensure_future(send())
    assert (await wire.answer()).told in ((413, "body_too_large"), (408, "request_timeout"))
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(sending, 10)


async def test_a_client_that_leaves_in_the_middle_is_logged_once_and_does_no_harm(
    wire: Client, service: Service
) -> None:
    await wire.send(request("Transfer-Encoding: chunked", f"X-Request-Id: {LATER}", line=VERIFY, body="5\r\n{"))
    await asyncio.sleep(0.1)
    wire.writer.transport.abort()
    for _ in range(50):
        await asyncio.sleep(0.05)
        if found := [line for line in service.output.splitlines() if LATER in line]:
            break
    assert len(found) == 1
    assert '"status": 499' in found[0]


async def test_a_request_that_breaks_off_has_one_line_and_the_id_of_its_answer(wire: Client, service: Service) -> None:
    await wire.send(request("Transfer-Encoding: chunked", "X-Request-Id: broken-off", line=VERIFY, body="zz\r\n"))
    answer = await wire.answer()
    assert (answer.status, answer.header("X-Request-Id")) == (400, "broken-off")
    await asyncio.sleep(0.2)
    (line,) = [line for line in service.output.splitlines() if "broken-off" in line]
    assert '"status": 400' in line


async def test_who_waits_to_be_asked_for_a_broken_body_is_no_bug_of_ours(wire: Client, service: Service) -> None:
    for n in range(5):
        async with connected(service.port) as client:
            headers = ("Expect: 100-continue", "Transfer-Encoding: chunked", f"X-Request-Id: broken-{n}")
            await client.send(request(*headers, line=VERIFY, body="zz\r\n"))
            await client.is_closed(5)
    await asyncio.sleep(0.2)
    assert "RuntimeError" not in service.output


async def test_who_leaves_with_requests_unanswered_is_no_bug_of_ours(service: Service) -> None:
    for _ in range(20):
        async with connected(service.port) as client:
            await client.send(get("/readyz") * 3)
            client.writer.transport.abort()
    await asyncio.sleep(0.5)
    assert "RuntimeError" not in service.output


async def test_who_is_not_let_in_is_told_before_the_body_comes(wire: Client) -> None:
    await wire.send(request(f"Content-Length: {MIB}", line="POST /v1/tenants HTTP/1.1"))
    assert (await wire.answer(within_s=1)).told == (401, "invalid_token")
