"""An answer that goes out in one write is on the wire what the others are."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.conftest import Organisation
from tests.edge.process import Service
from tests.edge.wire import VERIFY, Answer, Client, connected, request, verify


def asking(org: Organisation, key: str | None = None, *headers: str, line: str = VERIFY, escaped: bool = False) -> str:
    """A whole verification; with an escape in it the router answers."""
    body = json.dumps({"key": key or org.key.key})
    body = body.replace("i", "\\u0069", 1) if escaped else body
    return verify(org.admin_key.key, body, f"Content-Length: {len(body)}", *headers).replace(VERIFY, line)


def form(answer: Answer) -> object:
    varying = ("x-request-id", "date")
    return answer.status, sorted(each for each in answer.headers if each[0] not in varying), answer.body


async def test_it_has_the_headers_that_others_have(org: Organisation, wire: Client) -> None:
    answers = []
    for escaped in (False, True):
        await wire.send(asking(org, None, "X-Request-Id: mine", escaped=escaped))
        answers.append(await wire.answer())
    assert form(answers[0]) == form(answers[1])
    assert [each.header("X-Request-Id") for each in answers] == ["mine", "mine"]
    assert all(each.header("Date") for each in answers)
    assert answers[0].content["code"] == "valid"


async def test_those_that_come_together_are_answered_in_turn(org: Organisation, wire: Client) -> None:
    keys = [org.key.key, "none", org.admin_key.key, "none", org.key.key] * 5
    await wire.send("".join(asking(org, key, escaped=n % 3 == 0) for n, key in enumerate(keys)))
    codes = [(await wire.answer()).content["key_id"] for _ in keys]
    assert codes == [{org.key.key: org.key.id, org.admin_key.key: org.admin_key.id}.get(key) for key in keys]


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (VERIFY, "Connection: close"),
        (VERIFY.replace("1.1", "1.0"), "X: y"),
        (VERIFY.replace("1.1", "1.0"), "Connection: keep-alive"),
    ],
)
async def test_whoever_wants_the_connection_closed_has_it_closed(
    org: Organisation, wire: Client, line: str, header: str
) -> None:
    await wire.send(asking(org, None, header, line=line))
    answer = await wire.answer()
    assert (answer.content["code"], answer.header("Connection")) == ("valid", "close")
    assert await wire.is_closed()


async def test_whoever_leaves_before_the_answer_takes_nobody_along(service: Service, org: Organisation) -> None:
    async with connected(service.port) as stays:
        for _ in range(20):
            async with connected(service.port) as leaves:
                await leaves.send(asking(org) * 10)
        await stays.send(asking(org))
        assert (await stays.answer()).content["code"] == "valid"


async def test_whoever_does_not_read_is_waited_for_and_then_answered_in_turn(
    service: Service, org: Organisation
) -> None:
    """The answers do not fit into what the connection holds."""
    body = json.dumps({"keys": [{"key": org.key.key}] * 1000})
    batch = request(
        f"Authorization: Bearer {org.admin_key.key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        line="POST /v1/keys/verify-batch HTTP/1.1",
        body=body,
    )
    async with connected(service.port) as wire:
        wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sending = asyncio.create_task(wire.send((batch + asking(org)) * 16))
        await asyncio.sleep(0.5)
        for _ in range(16):
            assert len((await wire.answer()).content["items"]) == 1000
            assert (await wire.answer()).content["code"] == "valid"
        await sending
