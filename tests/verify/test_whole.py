"""What comes whole is answered without becoming a request of ASGI's, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from identity.api import make_app
from identity.api.hot import HotPath
from identity.api.keys import VERIFY, VERIFY_BATCH
from identity.app_keys import NewAppKey
from identity.key_limits import Credits
from identity.settings import Settings
from identity.verify.lanes import Lanes
from identity.verify.memory import Memory
from tests.conftest import Organisation
from tests.verify.wire import on_the_wire, opened, send_whole, usual


@pytest.fixture
async def hot(settings: Settings) -> AsyncIterator[HotPath]:
    app: Any = make_app(settings)
    async with app.app.router.lifespan_context(app.app):
        yield app


def asking(key: str) -> bytes:
    return json.dumps({"key": key}).encode()


@pytest.mark.parametrize("path", [VERIFY, VERIFY_BATCH])
async def test_neither_looked_up_nor_remembered_does_it_become_one(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("it became a request of ASGI's")

    monkeypatch.setattr(RequestResponseCycle, "run_asgi", never)
    body = asking(org.key.key) if path == VERIFY else b'{"keys": [%b]}' % asking(org.key.key)
    for _ in ("looked up", "remembered"):
        answer = await send_whole(hot, path, usual(org.admin_key.key), body)
        assert b'"code":"valid"' in json.dumps(answer.body, separators=(",", ":")).encode()


async def test_what_is_remembered_and_does_not_stand_is_judged_anew(hot: HotPath, org: Organisation) -> None:
    codes = []
    for act in (None, org.stores.app_keys.disable, org.stores.app_keys.enable):
        if act is not None:
            await act(org.id, "shop", org.key.id)
        for _ in range(2):
            answer = await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
            codes.append(answer.body["code"])
    assert codes == ["valid", "valid", "disabled", "disabled", "valid", "valid"]


async def test_a_caller_that_is_revoked_meanwhile_is_not_answered(hot: HotPath, org: Organisation) -> None:
    caller = await org.stores.app_keys.issue(org.id, "identity", NewAppKey(name="c", scopes=("keys:verify",)))
    head = usual(caller.key)
    assert (await send_whole(hot, VERIFY, head, asking(org.key.key))).status == 200
    await org.stores.app_keys.revoke(org.id, "identity", caller.id)
    assert (await send_whole(hot, VERIFY, head, asking(org.key.key))).body["code"] == "revoked"


async def test_what_takes_takes_each_time(hot: HotPath, org: Organisation) -> None:
    new = NewAppKey(name="three", credits=Credits(remaining=3))
    key = (await org.stores.app_keys.issue(org.id, "shop", new)).key
    answers = [await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(key)) for _ in range(5)]
    assert [each.body["code"] for each in answers] == ["valid"] * 3 + ["credits_exhausted"] * 2


async def test_another_method_is_not_allowed(hot: HotPath, org: Organisation) -> None:
    answer = await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key), method="PUT")
    assert answer.status == 405


async def test_those_that_come_in_one_read_are_answered_in_turn(hot: HotPath, org: Organisation) -> None:
    keys = [org.key.key, "none", org.admin_key.key] * 5
    protocol, wire = opened(hot)
    protocol.data_received(b"".join(on_the_wire(VERIFY, usual(org.admin_key.key), asking(key)) for key in keys))
    ids = [(await wire.answer()).body["key_id"] for _ in keys]
    assert ids == [org.key.id, None, org.admin_key.id] * 5
    protocol.connection_lost(None)


async def test_whoever_asks_piece_by_piece_has_the_same_answer(hot: HotPath, org: Organisation) -> None:
    whole = await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
    raw = on_the_wire(VERIFY, usual(org.admin_key.key), asking(org.key.key))
    for at in (1, raw.index(b"\r\n\r\n") + 4, len(raw) - 1):
        protocol, wire = opened(hot)
        protocol.data_received(raw[:at])
        await asyncio.sleep(0)
        protocol.data_received(raw[at:])
        assert await wire.answer() == whole
        protocol.connection_lost(None)


async def test_whoever_leaves_before_the_proof_is_written_nothing(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = on_the_wire(VERIFY, usual(org.admin_key.key), asking(org.key.key))
    await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
    for stands in (True, False):
        if not stands:
            monkeypatch.setattr(Memory, "stands", lambda *_: False)
        protocol, wire = opened(hot)
        protocol.data_received(raw)
        protocol.connection_lost(None)
        await hot.app.state.service.verifier.probe()
        await asyncio.sleep(0.01)
        assert not wire.written
        assert not protocol.tasks


async def test_whoever_does_not_read_is_answered_when_it_does(hot: HotPath, org: Organisation) -> None:
    """Answers would else heap up for as long as it asks."""
    await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
    protocol, wire = opened(hot)
    protocol.pause_writing()
    for _ in range(10):
        protocol.data_received(on_the_wire(VERIFY, usual(org.admin_key.key), asking(org.key.key)))
    await hot.app.state.service.verifier.probe()
    await asyncio.sleep(0.05)
    assert not wire.written
    protocol.resume_writing()
    assert [(await wire.answer()).body["code"] for _ in range(10)] == ["valid"] * 10
    protocol.connection_lost(None)


async def test_without_a_proof_it_is_told_to_come_again(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
    monkeypatch.setattr(Lanes, "_kick", lambda lanes: [batch.fail() for batch in [*lanes._open]])
    answer = await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
    assert (answer.status, answer.body["code"]) == (503, "unavailable")


async def test_what_is_refused_before_takes_nothing(hot: HotPath, org: Organisation) -> None:
    new = NewAppKey(name="one", credits=Credits(remaining=1))
    key = (await org.stores.app_keys.issue(org.id, "shop", new)).key
    lacking = json.dumps({"key": key, "scopes": ["orders:write"]}).encode()
    answers = [await send_whole(hot, VERIFY, usual(org.admin_key.key), body) for body in (lacking, asking(key))]
    assert [(each.body["code"], each.body["credits"]) for each in answers] == [
        ("insufficient_scope", None),
        ("valid", 0),
    ]


async def test_where_nobody_knows_whether_it_took_it_is_told_to_come_again(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = NewAppKey(name="three", credits=Credits(remaining=3))
    key = (await org.stores.app_keys.issue(org.id, "shop", new)).key
    lanes = hot.app.state.service.verifier.limits._lanes
    monkeypatch.setattr(lanes, "_kick", lambda: [batch.fail() for batch in [*lanes._open]])
    answer = await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(key))
    assert (answer.status, answer.body["code"]) == (503, "unavailable")


async def test_a_bug_in_one_answer_is_its_own_500_and_nobody_elses(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
    count = hot.app.state.service.usage.count
    calls = iter(range(100))

    def counting(*name: str) -> None:
        if next(calls) == 0:
            raise RuntimeError("a bug")
        count(*name)

    monkeypatch.setattr(hot.app.state.service.usage, "count", counting)
    both = [send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key)) for _ in range(2)]
    assert sorted([each.status for each in await asyncio.gather(*both)]) == [200, 500]


async def test_when_the_service_ends_the_answer_says_that_the_connection_does(hot: HotPath, org: Organisation) -> None:
    await send_whole(hot, VERIFY, usual(org.admin_key.key), asking(org.key.key))
    protocol, wire = opened(hot)
    protocol.data_received(on_the_wire(VERIFY, usual(org.admin_key.key), asking(org.key.key)))
    protocol.shutdown()
    answer = await wire.answer()
    assert (b"connection", b"close") in answer.headers
    assert wire.is_closed
