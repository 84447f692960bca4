"""A key's introspection in front of the router is what the router would have answered, byte for byte."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from identity.api import make_app
from identity.api.hot import HotPath
from identity.api.introspection import PATH
from identity.app_keys import NewAppKey
from identity.key_text import compose, new_secret
from identity.settings import Settings
from identity.token_text import new_token
from tests.conftest import Api, Organisation
from tests.verify.wire import Headers, Wire, on_the_wire, opened, usual

FORM = (b"content-type", b"application/x-www-form-urlencoded")


@pytest.fixture
async def hot(settings: Settings) -> AsyncIterator[HotPath]:
    app: Any = make_app(settings)
    async with app.app.router.lifespan_context(app.app):
        yield app


def by_key(key: str) -> list[tuple[bytes, bytes]]:
    return [*usual(key)[:2], FORM]


def by_client(client_id: str, key: str) -> list[tuple[bytes, bytes]]:
    return [usual(key)[0], (b"authorization", b"Basic " + b64encode(f"{client_id}:{key}".encode())), FORM]


async def answered(hot: HotPath, head: Headers, body: bytes, *, past: bool = False) -> bytes:
    """All that is written, but for what differs from request to request."""
    protocol, wire = opened(hot)
    if past:
        protocol._paths, protocol._heads = {}, {}
    protocol.data_received(on_the_wire(PATH, head, body))
    found = await whole(wire)
    protocol.connection_lost(None)
    first, *lines = found.partition(b"\r\n\r\n")[0].split(b"\r\n")
    kept = sorted(re.sub(rb"(?i)^(x-request-id): .*", rb"\1", line).lower() for line in lines)
    told = re.sub(rb'("instance": )"[^"]*"', rb"\1null", found.partition(b"\r\n\r\n")[2])
    return b"\r\n".join([first, *kept, b"", told])


async def whole(wire: Wire) -> bytes:
    while True:
        head, end, body = bytes(wire.written).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and length is not None and len(body) == int(length[1]):
            return bytes(wire.written)
        wire.news.clear()
        await wire.news.wait()


async def all_ways(hot: HotPath, head: Headers, body: bytes) -> Any:
    """Past the hot path; by it, with a head that was not seen before, and with one that was."""
    first = await answered(hot, head, body, past=True)
    for way in ("parsed", "known"):
        assert await answered(hot, head, body) == first, (way, body)
    return json.loads(first.partition(b"\r\n\r\n")[2] or b"null")


def about(text: str) -> bytes:
    return b"token=%b" % text.encode()


async def issued(org: Organisation, app_id: str = "shop", **more: Any) -> str:
    return (await org.stores.app_keys.issue(org.id, app_id, NewAppKey.model_validate({"name": "k"} | more))).key


@pytest.fixture
async def texts(org: Organisation, other_org: Organisation) -> dict[str, str]:
    revoked = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="revoked"))
    await org.stores.app_keys.revoke(org.id, "shop", revoked.id)
    return {
        "a key": org.key.key,
        "one of a branch": await issued(org, branch_id="mad", environment="test", scopes=["a:*", "b"]),
        "one that expires": await issued(org, expires_at=datetime.now(UTC) + timedelta(hours=1)),
        "one of identity": org.admin_key.key,
        "one of another tenant": other_org.key.key,
        "one with credits": await issued(org, credits={"remaining": 1000}),
        "one of some addresses": await issued(org, allowed_ips=["192.0.2.0/24"]),
        "one of some routes": await issued(org, allowed_routes=[{"path": "/orders/**"}]),
        "a revoked one": revoked.key,
        "a wrong secret": compose("isk", "live", org.key.id, new_secret()),
        "a typo": org.key.key[:-1] + ("0" if org.key.key[-1] != "0" else "1"),
        "a refresh token": new_token("irt", org.key.id[:6]),
        "an access token": "a.b.c",
    }


async def test_whoever_asks_about_whatever_is_answered_alike(
    hot: HotPath, org: Organisation, platform_key: str, texts: dict[str, str]
) -> None:
    of_shop = await issued(org, "identity", scopes=["keys:verify/shop"])
    callers = {
        "an admin": by_key(org.admin_key.key),
        "the platform": by_key(platform_key),
        "who may see the shop's": by_key(of_shop),
        "who may not": by_key(org.key.key),
        "nobody": by_key("none"),
        "a client": by_client(f"{org.id}/identity", org.admin_key.key),
        "a client by another's key": by_client(f"{org.id}/shop", org.admin_key.key),
        "a client that may not": by_client(f"{org.id}/shop", org.key.key),
        "a client without a secret": by_client(f"{org.id}/identity", ""),
    }
    active = {
        who: {what for what, text in texts.items() if (await all_ways(hot, head, about(text))).get("active")}
        for who, head in callers.items()
    }
    of_ours = {"a key", "one of a branch", "one that expires", "one with credits"}
    assert active["the platform"] == of_ours | {"one of identity", "one of another tenant"}
    assert active["an admin"] == active["a client"] == of_ours | {"one of identity"}
    assert active["who may see the shop's"] == of_ours
    assert not set().union(*[active[who] for who in list(callers)[3:] if who != "a client"])


FORMS = {
    "a hint": b"%b&token_type_hint=access_token",
    "an empty hint": b"%b&token_type_hint=",
    "a hint before it": b"token_type_hint=a&%b",
    "a hint in another charset": b"%b&token_type_hint=%%ff",
    "two hints": b"%b&token_type_hint=a&token_type_hint=b",
    "something else": b"%b&colour=red",
    "it twice": b"%b&%b",
    "an end": b"%b&",
    "a line end": b"%b\n",
    "a plus": b"%b+",
    "a NUL": b"%b%%00",
    "no value": b"token=",
    "nothing": b"",
    "JSON": b'{"token": "x"}',
    "many fields": b"%b" + b"&a" * 60,
}


@pytest.mark.parametrize("name", FORMS)
async def test_any_form_is_answered_alike(hot: HotPath, org: Organisation, name: str) -> None:
    form = FORMS[name]
    body = form % ((about(org.key.key),) * form.replace(b"%%", b"").count(b"%b"))
    for head in (by_key(org.admin_key.key), by_client(f"{org.id}/identity", org.admin_key.key)):
        await all_ways(hot, head, body)


async def test_any_head_is_answered_alike(hot: HotPath, org: Organisation) -> None:
    head, client = by_key(org.admin_key.key), by_client(f"{org.id}/identity", org.admin_key.key)
    credential = head[1]
    for each in (
        head[1:],
        [head[0], head[2]],
        [*head, credential],
        [*client, credential],
        [*head[:2], (b"content-type", b"application/json")],
        [*head[:2], (b"content-type", FORM[1] + b"; charset=utf-8")],
        [*head, (b"content-encoding", b"gzip")],
        [head[0], (b"authorization", credential[1].replace(b"Bearer", b"bearer")), FORM],
        [head[0], (b"authorization", client[1][1].replace(b"Basic ", b"basic  ")), FORM],
        [head[0], (b"authorization", b"Basic !"), FORM],
        [*head, (b"origin", b"https://example.com")],
        [*head, (b"x-request-id", b"mine")],
    ):
        await all_ways(hot, each, about(org.key.key))


async def test_an_ordinary_introspection_does_not_reach_the_router(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("the router was asked")

    monkeypatch.setattr(hot.envelope, "around", never)
    for head in (by_key(org.admin_key.key), by_client(f"{org.id}/identity", org.admin_key.key)):
        for _ in ("parsed", "known"):
            for more in (b"", b"&token_type_hint=access_token"):
                assert b'"active":true' in await answered(hot, head, about(org.key.key) + more)
    assert len(hot.heads) == 4
    assert org.admin_key.key not in repr(hot.heads)


async def test_it_counts_as_the_router_would(
    hot: HotPath, org: Organisation, texts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, counted = hot.app.state.service, list[tuple[Any, ...]]()
    monkeypatch.setattr(service.usage, "count", lambda *each: counted.append(each))
    for text in texts.values():
        counts = []
        for past in (True, False):
            counted.clear()
            service.seen.verifications.clear()
            await answered(hot, by_key(org.admin_key.key), about(text), past=past)
            counts.append((sorted(counted), dict(service.seen.verifications)))
        assert counts[0] == counts[1]
        assert counts[0][0]


async def test_a_known_caller_that_is_revoked_is_refused(hot: HotPath, org: Organisation, platform: Api) -> None:
    new = NewAppKey(name="c", scopes=("keys:verify",))
    caller = await org.stores.app_keys.issue(org.id, "identity", new)
    heads = by_key(caller.key), by_client(f"{org.id}/identity", caller.key)
    for head in heads:
        assert (await all_ways(hot, head, about(org.key.key)))["active"]
    await org.stores.app_keys.revoke(org.id, "identity", caller.id)
    for head in heads:
        assert (await all_ways(hot, head, about(org.key.key)))["code"] == "revoked"


async def test_what_takes_takes_as_the_router_does(hot: HotPath, org: Organisation) -> None:
    text = await issued(org, credits={"remaining": 2})
    told = [await answered(hot, by_key(org.admin_key.key), about(text)) for _ in range(3)]
    assert [b'"active":true' in each for each in told] == [True, True, False]
