"""A head that was answered before is known by its bytes, and says what it said; nothing else is believed of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
from httptools import HttpRequestParser
from hypothesis import HealthCheck
from hypothesis import given as drawn
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from identity.api import make_app
from identity.api.hot import HotPath
from identity.api.keys import VERIFY
from identity.api.whole import MAX_HEADS, Head, KnownRequest, WholeProtocol
from identity.app_keys import NewAppKey
from identity.key_text import compose, new_secret
from identity.settings import Settings
from identity.verify.lanes import Lanes
from tests.conftest import Organisation
from tests.verify.wire import Answer, Headers, Wire, on_the_wire, opened, send_whole, usual


@pytest.fixture
async def hot(settings: Settings) -> AsyncIterator[HotPath]:
    app: Any = make_app(settings)
    async with app.app.router.lifespan_context(app.app):
        yield app


class Unparsed:
    """In place of a parser: what it is fed is an error."""

    def feed_data(self, _: bytes) -> None:
        raise AssertionError("it was parsed")


def asking(key: str) -> bytes:
    return json.dumps({"key": key}).encode()


async def ask(protocol: WholeProtocol, wire: Wire, headers: Headers, key: str) -> Answer:
    protocol.data_received(on_the_wire(VERIFY, headers, asking(key)))
    return await wire.answer()


@pytest.fixture
def head(org: Organisation) -> list[tuple[bytes, bytes]]:
    return usual(org.admin_key.key)


async def test_what_was_answered_once_is_not_parsed_again_on_any_connection(
    hot: HotPath, org: Organisation, head: Headers
) -> None:
    first = await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    protocol.parser = cast("HttpRequestParser", Unparsed())
    for _ in range(3):
        assert await ask(protocol, wire, head, org.key.key) == first
    assert (await ask(protocol, wire, head, org.admin_key.key)).body["key_id"] == org.admin_key.id


async def test_what_is_kept_of_a_head_is_no_secret(hot: HotPath, org: Organisation, head: Headers) -> None:
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    [(digest, known)] = hot.heads.items()
    assert org.admin_key.key.encode() not in digest
    assert org.admin_key.key not in repr(known)


async def test_only_heads_of_those_who_were_answered_are_kept(hot: HotPath, org: Organisation) -> None:
    stranger = compose("isk", "live", org.admin_key.id, new_secret())
    for caller in (stranger, org.key.key, "none"):
        await send_whole(hot, VERIFY, usual(caller), asking(org.key.key))
    assert not hot.heads


async def test_a_head_with_an_id_of_its_own_is_not_kept(hot: HotPath, org: Organisation, head: Headers) -> None:
    protocol, wire = opened(hot)
    for id in (b"first", b"second"):
        protocol.data_received(on_the_wire(VERIFY, [*head, (b"x-request-id", id)], asking(org.key.key)))
        wire.news.clear()
        await wire.news.wait()
        assert b"x-request-id: " + id in wire.written
        await wire.answer()
    assert not hot.heads


async def test_they_are_bounded(hot: HotPath, org: Organisation, head: Headers) -> None:
    hot.heads.update({b"%d" % n: Head(VERIFY, 1, (slice(0, 1), b"")) for n in range(MAX_HEADS)})
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    assert len(hot.heads) == 1


async def test_of_two_that_came_in_one_read_no_head_is_kept(hot: HotPath, org: Organisation, head: Headers) -> None:
    protocol, wire = opened(hot)
    protocol.data_received(on_the_wire(VERIFY, head, asking(org.key.key)) * 2)
    assert [(await wire.answer()).body["code"] for _ in range(2)] == ["valid"] * 2
    assert not hot.heads


async def test_a_known_caller_that_is_revoked_is_refused_as_any_other(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it is refused by is the application, which gets the same scope as of one that was parsed."""
    scopes: list[Any] = []
    run = RequestResponseCycle.run_asgi

    async def running(cycle: RequestResponseCycle, app: Any) -> None:
        scopes.append({name: each for name, each in cycle.scope.items() if name not in ("state", "extensions")})
        await run(cycle, app)

    caller = await org.stores.app_keys.issue(org.id, "identity", NewAppKey(name="c", scopes=("keys:verify",)))
    head = [*usual(caller.key), (b"X-Empty", b""), (b"x-spaced", b" a  b ")]
    assert (await send_whole(hot, VERIFY, head, asking(org.key.key))).status == 200
    await org.stores.app_keys.revoke(org.id, "identity", caller.id)
    monkeypatch.setattr(RequestResponseCycle, "run_asgi", running)
    known = await send_whole(hot, VERIFY, head, asking(org.key.key))
    hot.heads.clear()
    parsed = await send_whole(hot, VERIFY, head, asking(org.key.key))
    assert known == parsed
    assert (known.status, known.body["code"]) == (401, "revoked")
    assert scopes[0] == scopes[1]


async def test_a_body_that_is_not_understood_is_judged_as_any_other(
    hot: HotPath, org: Organisation, head: Headers
) -> None:
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    body = asking(org.key.key).replace(b'"key"', b'"kay"')
    answer = await send_whole(hot, VERIFY, head, body)
    assert (answer.status, answer.body["code"]) == (400, "invalid_request")


async def test_the_next_may_come_before_the_answer(hot: HotPath, org: Organisation, head: Headers) -> None:
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    for key in (org.key.key, "none", org.admin_key.key, org.key.key):
        protocol.data_received(on_the_wire(VERIFY, head, asking(key)))
    assert [(await wire.answer()).body["key_id"] for _ in range(4)] == [
        org.key.id,
        None,
        org.admin_key.id,
        org.key.id,
    ]


async def test_what_takes_takes_once_also_where_the_next_comes_before_its_answer(
    hot: HotPath, org: Organisation, head: Headers
) -> None:
    new = NewAppKey.model_validate({"name": "three", "credits": {"remaining": 3}})
    key = (await org.stores.app_keys.issue(org.id, "shop", new)).key
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    for _ in range(5):
        protocol.data_received(on_the_wire(VERIFY, head, asking(key)))
    assert [(await wire.answer()).body["code"] for _ in range(5)] == ["valid"] * 3 + ["credits_exhausted"] * 2


async def test_who_is_known_may_rest_as_long_as_others(
    hot: HotPath, org: Organisation, head: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time in which a request must come has ended with it."""
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    monkeypatch.setattr(WholeProtocol, "receive_timeout_s", 0.05)
    protocol, wire = opened(hot)
    await ask(protocol, wire, head, org.key.key)
    await asyncio.sleep(0.1)
    assert not wire.written


async def test_after_a_refusal_nothing_is_known(hot: HotPath, org: Organisation, head: Headers) -> None:
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    protocol.data_received(b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n")
    assert (await wire.answer()).status == 400
    protocol.data_received(on_the_wire(VERIFY, head, asking(org.key.key)))
    await asyncio.sleep(0.05)
    assert not wire.written


@pytest.mark.parametrize("is_let_in", [True, False])
async def test_what_looks_like_a_request_and_is_another_ones_body_is_no_request(
    hot: HotPath, org: Organisation, head: Headers, is_let_in: bool
) -> None:
    """Also where the answer came before the body: of who is not let in it is not waited for."""
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    inner = on_the_wire(VERIFY, head, asking(org.key.key))
    outer = on_the_wire(VERIFY, head, inner) if is_let_in else on_the_wire("/v1/tenants", usual("none"), inner)
    protocol.data_received(outer[: -len(inner)])
    first = None if is_let_in else await wire.answer()
    await asyncio.sleep(0.01)
    protocol.data_received(inner)
    assert (first or await wire.answer()).status == (400 if is_let_in else 401)
    await hot.app.state.service.verifier.probe()
    await asyncio.sleep(0.01)
    assert not wire.written


async def test_who_waits_for_its_answer_does_not_rest(
    hot: HotPath, org: Organisation, head: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    monkeypatch.setattr(protocol, "timeout_keep_alive", 0.05)
    await ask(protocol, wire, head, org.key.key)
    monkeypatch.setattr(Lanes, "_kick", lambda _: None)
    protocol.data_received(on_the_wire(VERIFY, head, asking(org.key.key)))
    await asyncio.sleep(0.1)
    assert not wire.is_closed


async def test_what_looks_like_a_request_and_is_another_ones_header_is_no_request(
    hot: HotPath, org: Organisation, head: Headers
) -> None:
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    protocol.data_received(b"POST /v1/tenants HTTP/1.1\r\nx-odd: ")
    protocol.data_received(on_the_wire(VERIFY, head, asking(org.key.key)))
    assert (await wire.answer()).status in (403, 400)
    assert not wire.written


async def test_of_a_head_that_offers_to_speak_otherwise_nothing_is_kept(
    hot: HotPath, org: Organisation, head: Headers
) -> None:
    """What is parsed is another head then; handed on by its bytes it would be another request."""
    offering = [*head, (b"connection", b"Upgrade"), (b"upgrade", b"h2c")]
    for _ in range(2):
        assert (await send_whole(hot, VERIFY, offering, asking(org.key.key))).body["code"] == "valid"
    assert not hot.heads


async def test_who_cannot_be_told_keeps_nobody_waiting(
    hot: HotPath, org: Organisation, head: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with one of those who wait for the same statement."""
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    broken = iter([True])

    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    def answer(request: KnownRequest, *told: bytes) -> None:
        if next(broken, False):
            monkeypatch.setattr(request, "hand_on", fail)
            raise RuntimeError("a bug")
        given(request, *told)

    given = KnownRequest.answer
    monkeypatch.setattr(KnownRequest, "answer", answer)
    lanes = hot.app.state.service.verifier.lanes
    monkeypatch.setattr(lanes, "go", lambda: None)
    (first, silent), (second, wire) = opened(hot), opened(hot)
    for protocol in (first, second):
        protocol.data_received(on_the_wire(VERIFY, head, asking(org.key.key)))
    lanes._kick()
    assert (await wire.answer()).body["code"] == "valid"
    assert not silent.written


async def test_what_cannot_be_taken_is_answered_all_the_same(
    hot: HotPath, org: Organisation, head: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> bool:
        raise RuntimeError("a bug")

    await send_whole(hot, VERIFY, head, asking(org.key.key))
    monkeypatch.setattr(HotPath, "take", fail)
    for known in (True, False):
        if not known:
            hot.heads.clear()
        assert (await send_whole(hot, VERIFY, head, asking(org.key.key))).body["code"] == "valid"


async def test_blank_lines_between_known_requests_do_not_add_up(hot: HotPath, org: Organisation, head: Headers) -> None:
    await send_whole(hot, VERIFY, head, asking(org.key.key))
    protocol, wire = opened(hot)
    for _ in range(3):
        protocol.data_received(b"\r\n" * 3_000)
        assert (await ask(protocol, wire, head, org.key.key)).body["code"] == "valid"


async def test_who_was_answered_before_its_body_came_may_not_rest_for_ever(
    hot: HotPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, wire = opened(hot)
    monkeypatch.setattr(protocol, "timeout_keep_alive", 0.05)
    protocol.data_received(b"POST /nope HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n")
    assert (await wire.answer()).status == 404
    protocol.data_received(b"x")
    await asyncio.sleep(0.1)
    assert wire.is_closed


def cuts(stream: bytes, at: list[int]) -> Iterator[bytes]:
    places = sorted({0, len(stream), *(place % len(stream) for place in at)})
    for start, end in pairwise(places):
        yield stream[start:end]


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@drawn(
    order=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    at=st.lists(st.integers(0, 4000), max_size=6),
    between=st.booleans(),
)
async def test_however_a_stream_is_cut_it_is_answered_alike(
    hot: HotPath, org: Organisation, order: list[int], at: list[int], between: bool
) -> None:
    head, body = usual(org.admin_key.key), asking(org.key.key)
    requests = [
        on_the_wire(VERIFY, head, body),
        on_the_wire(VERIFY, head, asking(org.admin_key.key)),
        b"\r\n" + on_the_wire(VERIFY, head, body) + b"\r\n",
        on_the_wire(VERIFY, [*head, (b"x-request-id", b"mine")], body),
        on_the_wire(VERIFY, usual("none"), body),
        on_the_wire(VERIFY, head, body).replace(b"POST", b"PUT"),
        on_the_wire(VERIFY, [*head, (b"transfer-encoding", b"chunked")], b"")[: -len(b"content-length: 0\r\n\r\n")]
        + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    ]
    await send_whole(hot, VERIFY, head, body)
    answers = []
    for paths in (hot.paths, frozenset[str]()):
        protocol, wire = opened(hot)
        protocol._paths = {path.encode(): path for path in paths}
        protocol._heads = hot.heads if paths else {}
        for piece in cuts(b"".join(requests[n] for n in order), at):
            protocol.data_received(piece)
            if between:
                await asyncio.sleep(0.002)
        answers.append([await wire.answer() for _ in order])
        protocol.connection_lost(None)
    assert answers[0] == answers[1]
