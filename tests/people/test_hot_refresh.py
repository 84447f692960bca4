"""A refresh in front of the router is what the router would have made of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity.api import make_app
from identity.api.hot import HotPath
from identity.api.oauth import TOKEN
from identity.settings import Settings
from identity.token_text import hash_token
from tests.conftest import Organisation
from tests.people.conftest import People
from tests.people.test_refresh import LATER
from tests.server import Database, execute
from tests.verify.wire import Answer, on_the_wire, opened

HEAD = [(b"host", b"identity.example.com"), (b"content-type", b"application/x-www-form-urlencoded")]


@pytest.fixture
async def hot(settings: Settings) -> AsyncIterator[HotPath]:
    app: Any = make_app(settings.model_copy(update={"refreshes_per_session": 6}))
    async with app.app.router.lifespan_context(app.app):
        yield app


async def asked(hot: HotPath, body: str, *more: tuple[bytes, bytes], past: bool = False) -> Answer:
    protocol, wire = opened(hot)
    if past:
        protocol._paths, protocol._heads = {}, {}
    protocol.data_received(on_the_wire(TOKEN, [*HEAD, *more], body.encode()))
    answer = await wire.answer()
    protocol.connection_lost(None)
    return answer


def form(org: Organisation, token: str, app_id: str = "shop") -> str:
    return f"grant_type=refresh_token&refresh_token={token}&client_id={org.id}%2F{app_id}"


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """But for what differs from request to request."""
    lines = [json.loads(record.message) for record in caplog.records if record.name == "identity.requests"]
    return [{name: line[name] for name in line.keys() - {"time", "request_id", "duration_ms"}} for line in lines]


@pytest.fixture
def never(hot: HotPath, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("the router was asked")

    monkeypatch.setattr(hot.envelope.app.router, "app", never)
    monkeypatch.setattr(type(hot.envelope), "__call__", never)


@pytest.mark.usefixtures("never")
async def test_it_does_not_reach_the_router_and_is_logged(
    hot: HotPath, org: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "identity.requests")
    answer = await asked(hot, form(org, org.signed_in.refresh_token), (b"x-request-id", b"mine"))
    assert answer.status == 200
    [line] = logged(caplog)
    assert (line["route"], line["status"], line["method"]) == (TOKEN, 200, "POST")
    assert json.loads(caplog.records[0].message)["request_id"] == "mine"
    again = await asked(hot, form(org, org.signed_in.refresh_token))
    assert again.body["refresh_token"] == answer.body["refresh_token"], "who lost the answer gets it again"


async def test_both_ways_answer_and_log_alike(
    hot: HotPath, people: People, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A chain of refreshes, a loss, another's, one too many, and a theft."""
    caplog.set_level("INFO", "identity.requests")
    org, told = people.org, []
    for past in (False, True):
        began = await people.signed_in()
        caplog.clear()
        token, found = began["refresh_token"], []
        for _ in range(5):
            used, token = token, (answer := await asked(hot, form(org, token), past=past)).body["refresh_token"]
            found.append((answer.status, answer.headers, list(answer.body), answer.body["scope"]))
        for text, app_id in ((token, "identity"), (used, "shop"), (token, "shop"), (None, "shop"), ("x", "shop")):
            answer = await asked(hot, form(org, text or answer.body["refresh_token"], app_id), past=past)
            found.append((answer.status, answer.headers, list(answer.body), answer.body.get("error")))
        execute(database.admin_url, LATER, org.id, hash_token(used))
        answer = await asked(hot, form(org, used), past=past)
        found.append((answer.status, answer.headers, list(answer.body.values()), None))
        told.append((found, logged(caplog)))
    assert told[0] == told[1]
    assert [each[0] for each in told[0][0]] == [200] * 5 + [400, 200, 200, 429, 400, 400]


@pytest.mark.parametrize(
    "more",
    ["&scope=", "&scope=orders:read", "&colour=red", "&client_id=a", "&", "+", "%00", "&client_secret=x", "\n"],
)
async def test_another_form_is_the_routers(hot: HotPath, org: Organisation, more: str) -> None:
    texts = form(org, org.signed_in.refresh_token + "x") + more, more + form(org, "none")
    for text in texts:
        first, second = await asked(hot, text), await asked(hot, text, past=True)
        assert first == second


async def test_a_page_that_may_not_read_it_is_told_so(hot: HotPath, org: Organisation) -> None:
    text = form(org, "none")
    for header in ((b"origin", b"https://example.com"), (b"authorization", b"Basic eA=="), (b"content-encoding", b"x")):
        assert await asked(hot, text, header) == await asked(hot, text, header, past=True)
