"""Reports of leaked keys: whoever shows the whole text ends the key, and learns nothing from it."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import key_text
from identity.api.rate_limit import RateLimit, TooManyRequests
from identity.app_keys import IssuedKey, NewAppKey
from identity.apps import AppChanges
from tests.api.conftest import Rows
from tests.api.problems import places, told
from tests.conftest import Api, Organisation

SOURCE = {"source": "code search", "url": "https://code.example.com/till.py#L7"}
_addresses = count(1)


@pytest.fixture
def anybody(client: httpx2.AsyncClient) -> Api:
    """Without a credential, from an address of their own."""
    transport: Any = client._transport
    number = next(_addresses)
    address = f"192.0.2.{number}"
    return Api(
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=transport.app, client=(address, 1)), base_url=client.base_url
        ),
        None,
    )


async def reported(anybody: Api, key: str, **more: Any) -> httpx2.Response:
    answer = await anybody.post("/v1/keys/report-leak", {"key": key, **SOURCE, **more})
    assert (answer.status_code, answer.json()) == (202, {"status": "received"})
    return answer


async def record_of(org: Organisation, key: IssuedKey) -> dict[str, Any]:
    found: dict[str, Any] = (await org.admin.get(f"{org.path}/apps/{key.app_id}/keys/{key.id}")).json()
    return found


async def code_of(org: Organisation, key: IssuedKey) -> str:
    return str((await org.admin.post("/v1/keys/verify", {"key": key.key})).json()["code"])


def with_secret(key: IssuedKey, secret: str) -> str:
    return key_text.compose(key.prefix, key.environment, key.id, secret)


async def test_a_leaked_key_is_revoked_and_its_admins_see_where_it_was(anybody: Api, org: Organisation) -> None:
    await reported(anybody, org.key.key)
    found = await record_of(org, org.key)
    assert found["revoke_reason"] == "leaked"
    assert [(leak["source"], leak["url"]) for leak in found["leaks"]] == [(SOURCE["source"], SOURCE["url"])]
    assert await code_of(org, org.key) == "revoked"


async def test_it_is_dead_with_the_answer_though_it_was_remembered(anybody: Api, org: Organisation) -> None:
    assert await code_of(org, org.key) == "valid"
    await reported(anybody, org.key.key)
    assert await code_of(org, org.key) == "revoked"


async def test_whichever_key_it_is_the_answer_is_the_same(anybody: Api, org: Organisation) -> None:
    """Byte for byte: living, dead, with another secret, of no such id, of no such tenant."""
    dead = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="dead"))
    await org.stores.app_keys.revoke(org.id, "shop", dead.id)
    secret = key_text.new_secret()
    texts = [
        *(org.key.key, org.key.key, dead.key, with_secret(org.admin_key, secret)),
        key_text.compose("isk", "live", org.key.id[:6] + "0" * 16, secret),
        key_text.compose("isk", "live", "0" * 22, secret),
    ]
    answers = [await anybody.post("/v1/keys/report-leak", {"key": text, **SOURCE}) for text in texts]
    told = {(each.status_code, each.content, each.headers["content-type"]) for each in answers}
    assert told == {(202, b'{"status":"received"}', "application/json")}


@pytest.mark.parametrize("wrong", ["secret", "prefix", "environment"])
async def test_who_has_not_the_whole_text_does_nothing(wrong: str, anybody: Api, org: Organisation, rows: Rows) -> None:
    secret = org.key.key.split("_")[3][: key_text.SECRET_CHARS]
    texts = {
        "secret": with_secret(org.key, key_text.new_secret()),
        "prefix": key_text.compose("ipk", "live", org.key.id, secret),
        "environment": key_text.compose("isk", "test", org.key.id, secret),
    }
    before = rows(org.id)
    await reported(anybody, texts[wrong])
    assert rows(org.id) == before
    assert await code_of(org, org.key) == "valid"


NO_KEYS = [
    *("", "x", "isk_live_", "Bearer x", "a" * 64),
    key_text.compose("isk", "live", "0" * 22, "0" * 43)[:-1] + "_",
    key_text.compose("isk", "live", "0" * 22, "0" * 43)[:-6] + "000000",
    key_text.compose("isk", "live", "0" * 22, "0" * 43) + "\n",
]


@pytest.mark.parametrize("text", NO_KEYS)
async def test_what_is_no_key_of_ours_is_refused_without_being_quoted(text: str, anybody: Api) -> None:
    answer = await anybody.post("/v1/keys/report-leak", {"key": text, **SOURCE})
    assert told(answer) == (400, "invalid_request")
    assert places(answer) == ["/key"]
    assert len(text) < 5 or text not in answer.text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "https://", "http://a b", "x" * 2001, 7])
async def test_a_place_must_be_a_web_address(url: Any, anybody: Api, target: Organisation) -> None:
    body = {"key": target.key.key, "source": "x", "url": url}
    assert places(await anybody.post("/v1/keys/report-leak", body)) == ["/url"]


async def test_the_text_is_not_kept_though_the_place_quotes_it(anybody: Api, org: Organisation, rows: Rows) -> None:
    key = org.key.key
    await reported(anybody, key, source=f"grep {key}", url=f"https://code.example.com/?q={key}&p=1")
    [leak] = (await record_of(org, org.key))["leaks"]
    assert (leak["source"], leak["url"]) == (f"grep {org.key.id}", f"https://code.example.com/?q={org.key.id}&p=1")
    assert key.split("_")[3] not in str(rows(org.id))


async def test_nor_is_that_of_any_other_key(anybody: Api, org: Organisation, rows: Rows) -> None:
    other = org.admin_key
    await reported(anybody, org.key.key, source=f"{other.key} KEY_{other.key}x", url=f"https://example.com/{other.key}")
    [leak] = (await record_of(org, org.key))["leaks"]
    assert (leak["source"], leak["url"]) == (f"{other.id} KEY_{other.id}x", f"https://example.com/{other.id}")
    assert other.key.split("_")[3] not in str(rows(org.id))


async def test_a_public_key_is_noted_and_lives(anybody: Api, org: Organisation) -> None:
    public = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="page", type="public"))
    await reported(anybody, public.key)
    found = await record_of(org, public)
    assert (len(found["leaks"]), found["revoked_at"], found["disabled_at"]) == (1, None, None)
    assert await code_of(org, public) == "valid"


async def on_leak_disable(org: Organisation, app_id: str) -> None:
    await org.stores.apps.update(org.id, app_id, AppChanges.model_validate({"settings": {"on_leak": "disable"}}))


async def test_an_app_may_want_its_leaked_keys_disabled(anybody: Api, org: Organisation) -> None:
    await on_leak_disable(org, "shop")
    await reported(anybody, org.key.key)
    found = await record_of(org, org.key)
    assert (found["revoked_at"], found["revoke_reason"]) == (None, None)
    assert await code_of(org, org.key) == "disabled"
    await org.admin.post(f"{org.path}/apps/shop/keys/{org.key.id}/enable")
    await reported(anybody, org.key.key, source="once more")
    assert await code_of(org, org.key) == "disabled"
    assert len((await record_of(org, org.key))["leaks"]) == 2


async def test_of_a_key_that_was_disabled_before_the_instant_stays(anybody: Api, org: Organisation) -> None:
    await on_leak_disable(org, "shop")
    before = await org.stores.app_keys.disable(org.id, "shop", org.key.id)
    await reported(anybody, org.key.key)
    after = await org.stores.app_keys.get(org.id, "shop", org.key.id)
    assert (after.disabled_at, after.updated_at) == (before.disabled_at, before.updated_at)


async def test_a_management_key_is_revoked_whatever_its_app_wants(anybody: Api, org: Organisation) -> None:
    await on_leak_disable(org, "identity")
    await reported(anybody, org.admin_key.key)
    found = await org.stores.app_keys.get(org.id, "identity", org.admin_key.id)
    assert (found.revoke_reason, found.disabled_at) == ("leaked", None)
    assert told(await org.admin.get(org.path)) == (401, "revoked")


async def test_what_is_dead_keeps_its_first_reason_and_the_report(anybody: Api, org: Organisation) -> None:
    revoked = await org.stores.app_keys.revoke(org.id, "shop", org.key.id, reason="left the company")
    await reported(anybody, org.key.key)
    found = await org.stores.app_keys.get(org.id, "shop", org.key.id)
    assert (found.revoked_at, found.revoke_reason, len(found.leaks)) == (revoked.revoked_at, "left the company", 1)


@pytest.mark.parametrize("dead", ["expired", "app", "tenant", "suspended"])
async def test_a_key_that_only_sleeps_is_revoked_too(dead: str, anybody: Api, org: Organisation) -> None:
    """What killed it may be taken back."""
    if dead == "app":
        await org.stores.apps.delete(org.id, "shop")
    elif dead == "tenant":
        await org.stores.tenants.delete(org.id)
    elif dead == "suspended":
        await org.stores.tenants.suspend(org.id)
    else:
        await org.admin.patch(f"{org.path}/apps/shop/keys/{org.key.id}", {"expires_at": "2001-01-01T00:00:00Z"})
    await reported(anybody, org.key.key)
    found = await org.stores.app_keys.find(org.id, org.key.id)
    assert found is not None
    assert found.revoke_reason == "leaked"


async def test_the_same_report_is_kept_once_and_ten_in_all(anybody: Api, org: Organisation) -> None:
    for n in (1, 1, *range(1, 15)):
        await reported(anybody, org.key.key, source=f"search {n}", url=None)
    leaks = (await record_of(org, org.key))["leaks"]
    assert [leak["source"] for leak in leaks] == [f"search {n}" for n in range(1, 11)]


async def test_many_report_at_once_and_none_is_refused(anybody: Api, org: Organisation) -> None:
    await asyncio.gather(*(reported(anybody, org.key.key, source=f"search {n}") for n in range(20)))
    found = await record_of(org, org.key)
    assert found["revoke_reason"] == "leaked"
    assert 1 <= len(found["leaks"]) <= 10


async def test_another_tenant_sees_nothing_of_it(anybody: Api, org: Organisation, other_org: Organisation) -> None:
    await reported(anybody, org.key.key)
    for path in ("keys", f"apps/shop/keys/{other_org.key.id}"):
        assert "code.example.com" not in (await other_org.admin.get(f"{other_org.path}/{path}")).text
    assert await code_of(other_org, other_org.key) == "valid"


async def test_the_rotation_of_a_leaked_key_lives_on(anybody: Api, org: Organisation) -> None:
    new = await org.stores.key_rotations.rotate(org.id, "shop", org.key.id, grace_s=3600)
    await reported(anybody, org.key.key)
    assert (await code_of(org, org.key), await code_of(org, new)) == ("revoked", "valid")


async def test_one_address_is_held_and_others_are_not(
    anybody: Api, client: httpx2.AsyncClient, org: Organisation
) -> None:
    text = with_secret(org.key, key_text.new_secret())
    for _ in range(60):
        await reported(anybody, text)
    began_s = time.monotonic()
    answers: list[httpx2.Response] = []
    while len(answers) < 10:
        answers.append(await anybody.post("/v1/keys/report-leak", {"key": org.key.key, **SOURCE}))
    if time.monotonic() - began_s < 0.5:
        assert told(answers[-1]) == (429, "too_many_requests")
        assert answers[-1].headers["Retry-After"] == "1"
        assert sum(each.status_code == 202 for each in answers) <= 1 + 60
    assert (await Api(client, None).post("/v1/keys/report-leak", {"key": text, **SOURCE})).status_code == 202


# The limit itself


def taken(limit: RateLimit, address: str, now_s: float) -> float:
    """How long to wait; 0: it was let through."""
    try:
        limit.take(address, now_s)
    except TooManyRequests as refused:
        return refused.wait_s
    return 0


def test_so_many_at_once_and_then_one_each_second() -> None:
    limit = RateLimit(at_once=3, every_s=1, remembered=9)
    assert [taken(limit, "a", 10.0) for _ in range(5)] == [0, 0, 0, 1, 1]
    assert [taken(limit, "a", 10.75), taken(limit, "a", 11.0), taken(limit, "a", 11.0)] == [0.25, 0, 1]
    assert [taken(limit, "a", 100.0) for _ in range(4)] == [0, 0, 0, 1]


def test_one_customer_of_ipv6_is_one_address() -> None:
    limit = RateLimit(at_once=1, every_s=1, remembered=9)
    asked = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "10.0.0.1", "10.0.0.2", "", ""]
    assert [taken(limit, address, 0.0) for address in asked] == [0, 1, 0, 0, 0, 0, 1]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 5)), max_size=60))
def test_it_never_lets_more_through_and_never_grows(asked: list[tuple[str, float]]) -> None:
    limit, now_s, passed = RateLimit(at_once=2, every_s=1, remembered=5), 0.0, dict[str, list[float]]()
    for who, pause_s in asked:
        now_s += pause_s
        if not taken(limit, who, now_s):
            passed.setdefault(who, []).append(now_s)
    for times in passed.values():
        for first, at_s in enumerate(times):
            assert len(times[first:]) <= 2 + (times[-1] - at_s) + 1e-6
    small = RateLimit(at_once=1, every_s=1, remembered=3)
    for n in range(100):
        taken(small, str(n), 0.0)
    assert len(small._paid_until_s) == 3
