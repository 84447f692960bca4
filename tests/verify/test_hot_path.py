"""What is answered in front of the router is what the router would have answered, byte for byte, for nobody else."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from identity.api import make_app
from identity.api.hot import HotPath
from identity.app_keys import NewAppKey
from identity.settings import Settings
from identity.verify import Verdict
from tests.conftest import Api, Organisation
from tests.verify.wire import Answer, Headers, send_whole, usual

VERIFY, BATCH = "/v1/keys/verify", "/v1/keys/verify-batch"


@pytest.fixture(scope="module")
async def hot(settings: Settings) -> AsyncIterator[HotPath]:
    app: Any = make_app(settings)
    async with app.app.router.lifespan_context(app.app):
        yield app


async def send(app: Any, path: str, headers: Headers, chunks: Sequence[bytes], **more: Any) -> Answer:
    left, told = list(chunks), list[Any]()

    async def receive() -> Any:
        return (
            {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
            if left
            else {"type": "http.disconnect"}
        )

    async def sending(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "server": ("identity.example.com", 80),
        "scheme": "http",
        "root_path": "",
    } | more
    await app(scope, receive, sending)
    body = json.loads(b"".join(each.get("body", b"") for each in told[1:]))
    body.pop("instance", None)
    kept = sorted(
        (name, value) for name, value in told[0]["headers"] if name not in (b"x-request-id", b"content-length")
    )
    return Answer(told[0]["status"], tuple(kept), body)


async def both(hot: HotPath, path: str, headers: Headers, chunks: Sequence[bytes], **more: Any) -> Answer:
    """By way of the hot path, from ASGI's messages and from a request that comes whole, with a head that was not seen
    before and with one that was; and past it."""
    first, second = (
        await send(hot, path, headers, chunks, **more),
        await send(hot.envelope, path, headers, chunks, **more),
    )
    assert first == second
    if not more and len(chunks) == 1 and dict(headers).keys().isdisjoint((b"content-length", b"transfer-encoding")):
        for _ in ("parsed", "known"):
            assert await send_whole(hot, path, headers, chunks[0]) == first
    return first


BODIES: dict[str, Any] = {
    "nothing else": {},
    "scopes": {"scopes": ["orders:read"]},
    "a scope it lacks": {"scopes": ["orders:read", "users:write"]},
    "no scopes": {"scopes": []},
    "its app": {"app_id": "shop"},
    "another app": {"app_id": "till"},
    "its branch": {"branch_id": "mad"},
    "another branch": {"branch_id": "bcn"},
    "its environment": {"environment": "live"},
    "another environment": {"environment": "test"},
    "null": {"app_id": None},
    "a scope that is none": {"scopes": ["or ders"]},
    "too many scopes": {"scopes": ["a"] * 101},
    "a long scope": {"scopes": ["a" * 129]},
    "a scope that is no text": {"scopes": [1]},
    "a scope that is a list": {"scopes": [["orders:read"]]},
    "a scope that is an object": {"scopes": [{"orders": "read"}]},
    "a use": {"ip": "192.0.2.7", "method": "GET", "path": "/orders/7", "cost": 0},
    "its tenant": {"tenant_id": "elsewhere"},
    "costs": {"costs": {"burst": 2}},
    "a cost below nothing": {"cost": -1},
    "a cost that is true": {"cost": True},
    "scopes that are no list": {"scopes": "orders:read"},
    "an app that is no text": {"app_id": 7},
    "an unknown member": {"colour": "red"},
    "a surrogate": {"app_id": "\ud800"},
    "a NUL": {"app_id": "\0"},
    "letters of elsewhere": {"app_id": "ñandú"},
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_verification_is_answered_alike(hot: HotPath, org: Organisation, platform_key: str, name: str) -> None:
    body = {"key": org.key.key} | BODIES[name]
    for caller in (org.admin_key.key, platform_key, org.key.key):
        for ascii in (True, False):
            try:
                raw = json.dumps(body, ensure_ascii=ascii).encode()
            except UnicodeEncodeError:
                continue
            await both(hot, VERIFY, usual(caller), [raw])
            await both(hot, BATCH, usual(caller), [b'{"keys": [{"key": "none"}, %b]}' % raw])


RAW = {
    "no body": b"",
    "no object": b"[]",
    "a text": b'"x"',
    "no key": b"{}",
    "a key that is no text": b'{"key": 7}',
    "twice": b'{"key": "a", "key": "b"}',
    "no end": b'{"key": "a"',
    "more after it": b'{"key": "a"} {}',
    "spaces around it": b' {"key": "a"}\n',
    "an escape": b'{"key": "\\u0061"}',
    "no UTF-8": b'{"key": "\xff"}',
    "a mark before it": b'\xef\xbb\xbf{"key": "a"}',
    "deep": b'{"key": ' + b"[" * 4000 + b"]" * 4000 + b"}",
    "NaN": b'{"key": NaN}',
    "a vast number": b'{"key": ' + b"9" * 5000 + b"}",
    "a tab": b'{"key": "a\tb"}',
    "just the bound": b'{"key": "a"}'.ljust(8 * 1024),
    "a long key": b'{"key": "%b"}' % (b"a" * 8 * 1024),
    "beyond the bound": b'{"key": "a"}'.ljust(8 * 1024 + 1),
}


@pytest.mark.parametrize("name", RAW)
async def test_any_bytes_are_answered_alike(hot: HotPath, org: Organisation, name: str) -> None:
    raw = RAW[name]
    halves = [raw[: len(raw) // 2], raw[len(raw) // 2 :]]
    for path in (VERIFY, BATCH):
        assert await both(hot, path, usual(org.admin_key.key), [raw]) == await both(
            hot, path, usual(org.admin_key.key), halves
        )


HEADERS = {
    "no credential": lambda head: [each for each in head if each[0] != b"authorization"],
    "no host": lambda head: [each for each in head if each[0] != b"host"],
    "a strange host": lambda head: [(b"host", b"a,b"), *head[1:]],
    "two hosts": lambda head: [*head, head[0]],
    "two credentials": lambda head: [*head, head[1]],
    "two types": lambda head: [*head, head[2]],
    "two lengths": lambda head: [*head, (b"content-length", b"3"), (b"content-length", b"3")],
    "a length and chunks": lambda head: [*head, (b"content-length", b"3"), (b"transfer-encoding", b"chunked")],
    "another type": lambda head: [*head[:2], (b"content-type", b"text/plain")],
    "a type with a charset": lambda head: [*head[:2], (b"content-type", b"application/json; charset=utf-8")],
    "an encoding": lambda head: [*head, (b"content-encoding", b"gzip")],
    "small letters": lambda head: [head[0], (b"authorization", head[1][1].replace(b"Bearer", b"bearer")), head[2]],
    "spaces": lambda head: [head[0], (b"authorization", head[1][1].replace(b" ", b"   ")), head[2]],
    "a space after it": lambda head: [head[0], (b"authorization", head[1][1] + b" x"), head[2]],
    "basic": lambda head: [head[0], (b"authorization", b"Basic YTpi"), head[2]],
    "bytes": lambda head: [head[0], (b"authorization", b"Bearer \xff\xfe"), head[2]],
    "a wrong key": lambda head: [head[0], (b"authorization", head[1][1][:-1] + b"0"), head[2]],
    "forwarded": lambda head: [*head, (b"x-forwarded-for", b"10.0.0.1"), (b"x-forwarded-for", b"10.0.0.2")],
}


@pytest.mark.parametrize("name", HEADERS)
async def test_any_head_is_answered_alike(hot: HotPath, org: Organisation, name: str) -> None:
    headers = HEADERS[name](usual(org.admin_key.key))
    await both(hot, VERIFY, headers, [json.dumps({"key": org.key.key}).encode()])


async def test_a_query_or_another_method_is_answered_alike(hot: HotPath, org: Organisation) -> None:
    raw = json.dumps({"key": org.key.key}).encode()
    await both(hot, VERIFY, usual(org.admin_key.key), [raw], query_string=b"a=1")
    for method in ("GET", "PUT", "DELETE"):
        await both(hot, VERIFY, usual(org.admin_key.key), [raw], method=method)


members = st.dictionaries(
    st.sampled_from(["key", "scopes", "app_id", "branch_id", "environment", "ip", "other"]),
    st.one_of(
        st.text(max_size=8),
        st.integers(),
        st.none(),
        st.booleans(),
        st.lists(st.text("ab:*. ", max_size=4), max_size=3),
    ),
)


@given(body=members, keys=st.lists(members, max_size=3))
@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_asked_is_answered_alike(
    hot: HotPath, platform_key: str, body: dict[str, Any], keys: list[dict[str, Any]]
) -> None:
    await both(hot, VERIFY, usual(platform_key), [json.dumps(body, ensure_ascii=False).encode(errors="replace")])
    await both(hot, BATCH, usual(platform_key), [json.dumps({"keys": keys}).encode()])


@pytest.mark.parametrize("path", [VERIFY, BATCH])
async def test_an_ordinary_verification_does_not_reach_the_router(
    hot: HotPath, org: Organisation, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("the router was asked")

    monkeypatch.setattr(hot.envelope, "around", never)
    one = {"key": org.key.key, "scopes": ["orders:read"], "app_id": "shop"}
    raw = json.dumps(one if path == VERIFY else {"keys": [one, {"key": "none"}]}).encode()
    answer = await send(hot, path, usual(org.admin_key.key), [raw])
    first = answer.body if path == VERIFY else answer.body["items"][0]
    assert (answer.status, Verdict.model_validate(first).code) == (200, "valid")


async def test_who_may_verify_one_app_alone_is_told_of_no_other(
    hot: HotPath, org: Organisation, other_org: Organisation
) -> None:
    new = NewAppKey(name="of the shop", type="service", scopes=("keys:verify/shop",))
    caller = await org.stores.app_keys.issue(org.id, "identity", new)
    keys = [org.key.key, org.admin_key.key, other_org.key.key]
    raw = json.dumps({"keys": [{"key": each} for each in keys]}).encode()
    answer = await both(hot, BATCH, usual(caller.key), [raw])
    assert [each["code"] for each in answer.body["items"]] == ["valid", "not_found", "not_found"]
    for key, code in zip(keys, ["valid", "not_found", "not_found"], strict=True):
        answer = await both(hot, VERIFY, usual(caller.key), [json.dumps({"key": key}).encode()])
        assert answer.body["code"] == code


async def test_a_thousand_and_no_more_in_the_order_in_which_they_were_asked(hot: HotPath, org: Organisation) -> None:
    texts = [f"none {n}" for n in range(1000)]
    texts[17], texts[900] = org.key.key, org.admin_key.key
    raw = json.dumps({"keys": [{"key": each} for each in texts]}).encode()
    answer = await both(hot, BATCH, usual(org.admin_key.key), [raw])
    assert {n: each["key_id"] for n, each in enumerate(answer.body["items"]) if each["valid"]} == {
        17: org.key.id,
        900: org.admin_key.id,
    }
    for count in (0, 1001):
        raw = json.dumps({"keys": [{"key": "none"}] * count}).encode()
        assert (await both(hot, BATCH, usual(org.admin_key.key), [raw])).status == 400


async def test_of_a_hundred_thousand_answers_none_is_swapped(hot: HotPath, org: Organisation, platform: Api) -> None:
    news = [NewAppKey(name=f"n{n}", metadata={"n": n}) for n in range(1000)]
    keys = await org.stores.app_keys.issue_many(org.id, "shop", news)
    drawn, wrong = random.Random(100_000), 0
    for round in range(100):
        asked = [drawn.randrange(1000) for _ in range(1000)]
        raw = json.dumps({"keys": [{"key": keys[n].key} for n in asked]}).encode()
        answer = await send(hot, BATCH, usual(org.admin_key.key), [raw])
        wrong += sum(each["metadata"] != {"n": n} for n, each in zip(asked, answer.body["items"], strict=True))
        if round % 10 == 0:
            hot.app.state.service.verifier.memory.forget_all()
    assert wrong == 0
