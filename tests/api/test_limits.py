"""Limits of a key over HTTP: given, changed, topped up, and what verifications take of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from identity.api import make_app
from identity.app_keys import IssuedKey, NewAppKey
from identity.settings import Settings
from tests.api.problems import told
from tests.conftest import Api, Organisation

BURST = {"name": "burst", "limit": 10, "window_s": 60}
ORDERS = {"methods": ["GET"], "path": "/orders/*"}


async def issued(org: Organisation, **limits: Any) -> IssuedKey:
    return await org.stores.app_keys.issue(org.id, "shop", NewAppKey.model_validate({"name": "limited"} | limits))


async def verify(caller: Api, key: IssuedKey, **asked: Any) -> dict[str, Any]:
    answer = await caller.post("/v1/keys/verify", {"key": key.key, **asked})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def one(org: Organisation, key: IssuedKey) -> str:
    return f"{org.path}/apps/shop/keys/{key.id}"


async def test_a_verification_takes_one_of_all_and_tells_what_is_left(org: Organisation) -> None:
    key = await issued(org, credits={"remaining": 5}, rate_limits=[BURST])
    found = await verify(org.admin, key)
    assert (found["valid"], found["code"], found["credits"]) == (True, "valid", 4)
    [burst] = found["rate_limits"]
    assert burst | {"reset_s": 0} == {"name": "burst", "limit": 10, "remaining": 9, "reset_s": 0}
    assert 60 < burst["reset_s"] <= 63
    assert (await org.admin.get(one(org, key))).json()["credits"]["remaining"] == 4


@pytest.mark.parametrize(
    ("asked", "code", "credits", "remaining"),
    [
        ({"cost": 0}, "valid", 5, 10),
        ({"cost": 5}, "valid", 0, 5),
        ({"cost": 5.0}, "valid", 0, 5),
        ({"cost": 6}, "credits_exhausted", 5, 10),
        ({"cost": 11}, "rate_limited", 5, 10),
        ({"costs": {"burst": 10}}, "valid", 4, 0),
        ({"costs": {"burst": 11, "other": 1}}, "rate_limited", 5, 10),
        ({"cost": 0, "costs": {"burst": 3}}, "valid", 5, 7),
    ],
)
async def test_it_takes_what_it_is_said_to_cost(
    org: Organisation, asked: dict[str, Any], code: str, credits: int, remaining: int
) -> None:
    key = await issued(org, credits={"remaining": 5}, rate_limits=[BURST])
    found = await verify(org.admin, key, **asked)
    assert (found["code"], found["valid"], found["credits"]) == (code, code == "valid", credits)
    assert found["rate_limits"][0]["remaining"] == remaining


@pytest.mark.parametrize(
    "asked",
    [
        {"cost": -1},
        {"cost": 1.5},
        {"cost": "1"},
        {"cost": True},
        {"cost": None},
        {"cost": 2**31},
        {"costs": {"A": 1}},
        {"costs": {"a": -1}},
        {"costs": []},
        {"costs": {str(n): 1 for n in range(21)}},
        {"path": 1},
        {"method": []},
    ],
)
async def test_what_is_no_cost_is_refused_and_nothing_taken(org: Organisation, asked: dict[str, Any]) -> None:
    key = await issued(org, credits={"remaining": 5})
    answer = await org.admin.post("/v1/keys/verify", {"key": key.key, **asked})
    assert told(answer) == (400, "invalid_request")
    assert (await verify(org.admin, key, cost=0))["credits"] == 5


async def test_what_is_refused_before_takes_nothing(org: Organisation) -> None:
    key = await issued(org, credits={"remaining": 5}, allowed_ips=["192.0.2.0/24"], allowed_routes=[ORDERS])
    good = {"ip": "::ffff:192.0.2.9", "method": "GET", "path": "/orders/7"}
    for asked, code in (
        ({"app_id": "x"}, "wrong_app"),
        ({}, "ip_not_allowed"),
        (good | {"ip": "192.0.3.1"}, "ip_not_allowed"),
        ({"ip": "192.0.2.9"}, "route_not_allowed"),
        (good | {"path": "/orders/../orders/7"}, "route_not_allowed"),
        (good | {"scopes": ["x"]}, "insufficient_scope"),
    ):
        found = await verify(org.admin, key, **asked)
        assert (found["code"], found["credits"], found["rate_limits"]) == (code, None, None)
    found = await verify(org.admin, key, **good)
    assert (found["code"], found["credits"], found["rate_limits"]) == ("valid", 4, [])


async def test_a_rule_that_is_changed_holds_for_the_next_verification(org: Organisation) -> None:
    key = await issued(org)
    assert (await verify(org.admin, key))["valid"]
    for changes, code, credits in (
        ({"allowed_ips": ["192.0.2.1"]}, "ip_not_allowed", None),
        ({"allowed_ips": [], "allowed_routes": [ORDERS]}, "route_not_allowed", None),
        ({"allowed_routes": [], "credits": {"remaining": 0}}, "credits_exhausted", 0),
        ({"credits": {"remaining": 2}}, "valid", 1),
        ({"rate_limits": [BURST | {"limit": 1}]}, "valid", 0),
        ({"credits": None}, "rate_limited", None),
        ({"rate_limits": []}, "valid", None),
    ):
        answer = await org.admin.patch(one(org, key), changes)
        assert answer.status_code == 200, answer.text
        found = await verify(org.admin, key)
        assert (found["code"], found["credits"]) == (code, credits)


@asynccontextmanager
async def caller_of(settings: Settings, org: Organisation) -> AsyncIterator[Api]:
    """A worker of its own."""
    envelope: Any = make_app(settings)
    async with envelope.app.router.lifespan_context(envelope.app):
        transport = httpx2.ASGITransport(app=envelope)
        async with httpx2.AsyncClient(transport=transport, base_url="http://identity.example.com") as client:
            yield Api(client, org.admin_key.key)


async def test_of_400_at_once_on_two_workers_exactly_100_pass(org: Organisation, settings: Settings) -> None:
    key = await issued(org, credits={"remaining": 100})
    patient = settings.model_copy(update={"verify_timeout_s": 10})
    async with caller_of(patient, org) as one, caller_of(patient, org) as other:
        found = await asyncio.gather(*(verify(caller, key) for _ in range(200) for caller in (one, other)))
    assert Counter(each["code"] for each in found) == {"valid": 100, "credits_exhausted": 300}
    assert sorted(each["credits"] for each in found if each["valid"]) == list(range(100))


async def test_a_batch_takes_for_each_of_its_keys(org: Organisation) -> None:
    limited, free = await issued(org, credits={"remaining": 3}), await issued(org)
    asked = [{"key": key} for key in (limited.key, free.key, "no key", *[limited.key] * 4)]
    answer = await org.admin.post("/v1/keys/verify-batch", {"keys": asked})
    assert [(each["code"], each["credits"]) for each in answer.json()["items"]] == [
        *(("valid", 2), ("valid", None), ("malformed", None), ("valid", 1), ("valid", 0)),
        *[("credits_exhausted", 0)] * 2,
    ]


async def test_whoami_looks_and_takes_nothing(org: Organisation) -> None:
    key = await issued(org, credits={"remaining": 3}, rate_limits=[BURST], allowed_ips=["192.0.2.1"])
    for _ in range(2):
        found = (await Api(org.client, key.key).get("/v1/keys/whoami")).json()
        assert (found["code"], found["credits"], found["rate_limits"][0]["remaining"]) == ("valid", 3, 10)


async def test_who_may_not_see_a_key_takes_nothing_of_it(org: Organisation, other_org: Organisation) -> None:
    key = await issued(org, credits={"remaining": 3})
    assert (await verify(other_org.admin, key))["code"] == "not_found"
    assert (await verify(await org.holding("keys:verify/identity"), key))["code"] == "not_found"
    assert (await org.admin.get(one(org, key))).json()["credits"]["remaining"] == 3


async def test_credits_are_topped_up(org: Organisation) -> None:
    key = await issued(org, credits={"remaining": 1})
    before = await org.admin.get(one(org, key))
    for given, after in (({"add": 4}, 5), ({"set": 2}, 2)):
        answer = await org.admin.post(f"{one(org, key)}/credits", given)
        assert (answer.status_code, answer.json()["credits"]["remaining"]) == (200, after)
        assert answer.headers["ETag"] == before.headers["ETag"]
    assert (await verify(org.admin, key))["credits"] == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"add": 1, "set": 1},
        {"add": 0},
        {"add": -1},
        {"set": -1},
        {"set": 10**15 + 1},
        {"add": "1"},
        {"add": None},
        {"add": 1, "set": None, "more": 1},
        {"add": 1.5},
        {"set": True},
    ],
)
async def test_a_top_up_is_exactly_one_of_the_two(org: Organisation, given: dict[str, Any]) -> None:
    key = await issued(org, credits={"remaining": 1})
    assert told(await org.admin.post(f"{one(org, key)}/credits", given)) == (400, "invalid_request")
    assert (await org.admin.get(one(org, key))).json()["credits"]["remaining"] == 1


async def test_a_management_key_has_no_credits_and_rank_is_judged_first(org: Organisation) -> None:
    path = f"{org.path}/apps/identity/keys/{org.admin_key.id}/credits"
    assert told(await org.admin.post(path, {"add": 1})) == (409, "no_credits")
    assert told(await (await org.holding("keys:write")).post(path, {"add": 1})) == (403, "insufficient_rank")
    answer = await org.admin.post(f"{org.path}/apps/identity/keys", {"name": "k", "credits": {"remaining": 1}})
    assert told(answer) == (400, "management_key_limited")


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ({"credits": {"left": 1}}, "/credits/left"),
        ({"credits": {"remaining": -1}}, "/credits/remaining"),
        ({"rate_limits": [BURST, BURST]}, "/rate_limits"),
        ({"rate_limits": [BURST | {"per": 1}]}, "/rate_limits/0/per"),
        ({"allowed_ips": ["10.0.0.1/8"]}, "/allowed_ips/0"),
        ({"allowed_routes": [{"path": "/a/../b"}]}, "/allowed_routes/0/path"),
        ({"allowed_routes": [ORDERS | {"verb": "GET"}]}, "/allowed_routes/0/verb"),
    ],
)
async def test_a_wrong_limit_is_pointed_at(org: Organisation, limits: dict[str, Any], pointer: str) -> None:
    for answer in (
        await org.admin.post(f"{org.path}/apps/shop/keys", {"name": "k"} | limits),
        await org.admin.patch(one(org, org.key), limits),
    ):
        assert told(answer) == (400, "invalid_request")
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
