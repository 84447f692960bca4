"""Limits of a key as they are given, changed, shown, topped up and carried to a successor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from identity.app_keys import AppKeyChanges, IssuedKey, NewAppKey
from identity.apps import IDENTITY
from identity.errors import Conflict, Invalid, NotFound
from identity.key_credits import TopUp
from identity.key_limits import Credits
from identity.stores import Stores
from tests import server
from tests.conftest import Organisation
from tests.stores.places import refused

MINUTE = {"name": "minute", "limit": 60, "window_s": 60}
ROUTE = {"methods": ["GET"], "path": "/orders/**"}
LIMITS: dict[str, Any] = {"rate_limits": [MINUTE], "allowed_ips": ["192.0.2.0/24"], "allowed_routes": [ROUTE]}
REFILL = {"refill_amount": 10, "refill_interval_s": 60}

ROTATED_BEFORE_LIMITS = """
INSERT INTO identity.app_keys (tenant_id, id, app_id, prefix, secret_hash, name, rotated_from)
SELECT tenant_id, %s, app_id, prefix, sha256(secret_hash), name, id FROM identity.app_keys WHERE id = %s
"""


async def issued(stores: Stores, org: Organisation, **limits: Any) -> IssuedKey:
    return await stores.app_keys.issue(org.id, "shop", NewAppKey.model_validate({"name": "limited"} | limits))


async def changed(stores: Stores, org: Organisation, key: IssuedKey, **changes: Any) -> Any:
    return await stores.app_keys.update(org.id, "shop", key.id, AppKeyChanges.model_validate(changes))


def let_pass(database: server.Database, key_id: str, seconds: float) -> None:
    """As if so much time had passed since its credits were refilled."""
    server.execute(
        database.admin_url,
        "UPDATE identity.key_limits SET refilled_at = refilled_at - %s * interval '1 second' WHERE key_id = %s",
        seconds,
        key_id,
    )


async def remaining(stores: Stores, org: Organisation, key: IssuedKey) -> int | None:
    credits = (await stores.app_keys.get(org.id, "shop", key.id)).credits
    return None if credits is None else credits.remaining


async def test_a_key_has_no_limits_unless_they_are_given(anywhere: Stores, org: Organisation) -> None:
    key = await issued(anywhere, org)
    assert (key.credits, key.rate_limits, key.allowed_ips, key.allowed_routes) == (None, (), (), ())


async def test_what_is_given_is_shown_by_every_verb(anywhere: Stores, org: Organisation) -> None:
    key = await issued(anywhere, org, **LIMITS, credits={"remaining": 5} | REFILL)
    row = {name: value for name, value in key.model_dump(mode="json").items() if name != "key"}
    assert row["credits"] == {"remaining": 5} | REFILL
    assert {name: row[name] for name in LIMITS} == LIMITS
    keys, places = anywhere.app_keys, (org.id, "shop", key.id)
    assert (await keys.get(*places)).model_dump(mode="json") == row
    assert next(found for found in (await keys.list(org.id)).items if found.id == key.id).model_dump(mode="json") == row
    for verb in (keys.disable, keys.enable, keys.revoke, keys.delete):
        found = (await verb(*places)).model_dump(mode="json")
        assert {name: found[name] for name in (*LIMITS, "credits")} == {
            name: row[name] for name in (*LIMITS, "credits")
        }


async def test_of_many_each_has_its_own(anywhere: Stores, org: Organisation) -> None:
    given = [NewAppKey(name="k", credits=Credits(remaining=n) if n % 2 else None) for n in range(10)]
    keys = await anywhere.app_keys.issue_many(org.id, "shop", given)
    assert [key.credits and key.credits.remaining for key in keys] == [n if n % 2 else None for n in range(10)]


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ({"remaining": 7}, {"remaining": 7} | REFILL),
        ({"refill_amount": 3}, {"remaining": 5, "refill_amount": 3, "refill_interval_s": 60}),
        ({"refill_amount": None, "refill_interval_s": None}, {"remaining": 5} | dict.fromkeys(REFILL)),
        ({}, {"remaining": 5} | REFILL),
        (None, None),
    ],
)
async def test_credits_are_merged(anywhere: Stores, org: Organisation, patch: Any, after: Any) -> None:
    key = await issued(anywhere, org, credits={"remaining": 5} | REFILL)
    found = await changed(anywhere, org, key, credits=patch)
    assert (found.credits and found.credits.model_dump()) == after
    assert await anywhere.app_keys.get(org.id, "shop", key.id) == found


async def test_a_key_without_credits_gets_some_and_begins_at_none(anywhere: Stores, org: Organisation) -> None:
    key = await issued(anywhere, org)
    assert (await changed(anywhere, org, key, credits={"remaining": 3})).credits.remaining == 3
    await changed(anywhere, org, key, credits=None)
    assert (await changed(anywhere, org, key, credits=REFILL)).credits.remaining == 0


async def test_lists_are_replaced_whole_and_the_rest_stays(anywhere: Stores, org: Organisation) -> None:
    key = await issued(anywhere, org, **LIMITS, credits={"remaining": 5})
    found = await changed(anywhere, org, key, rate_limits=[], allowed_ips=["::1"])
    assert (found.rate_limits, found.allowed_ips, len(found.allowed_routes)) == ((), ("::1",), 1)
    assert found.credits.remaining == 5


@pytest.mark.parametrize("patch", [{"refill_amount": 5}, {"refill_interval_s": 5}])
async def test_half_a_refill_is_refused(anywhere: Stores, org: Organisation, patch: dict[str, int]) -> None:
    async with refused(anywhere, Invalid, "refill_incomplete"):
        await issued(anywhere, org, credits={"remaining": 1} | patch)
    key = await issued(anywhere, org, credits={"remaining": 1})
    async with refused(anywhere, Invalid, "refill_incomplete"):
        await changed(anywhere, org, key, credits=patch)


@pytest.mark.parametrize("limit", [*LIMITS, "credits"])
async def test_a_management_key_has_no_limits(anywhere: Stores, org: Organisation, limit: str) -> None:
    given = {"name": "limited", limit: (LIMITS | {"credits": {"remaining": 1}})[limit]}
    async with refused(anywhere, Invalid, "management_key_limited"):
        await anywhere.app_keys.issue(org.id, IDENTITY, NewAppKey.model_validate(given))


async def test_refills_are_shown_when_they_are_due(
    stores: Stores, org: Organisation, database: server.Database
) -> None:
    key = await issued(stores, org, credits={"remaining": 5} | REFILL)
    let_pass(database, key.id, 59)
    assert await remaining(stores, org, key) == 5
    let_pass(database, key.id, 62)
    assert await remaining(stores, org, key) == 25


async def test_another_refill_counts_from_when_it_was_changed(
    stores: Stores, org: Organisation, database: server.Database
) -> None:
    key = await issued(stores, org, credits={"remaining": 5} | REFILL)
    let_pass(database, key.id, 130)
    found = await changed(stores, org, key, credits={"refill_interval_s": 1})
    assert found.credits.remaining == 25
    assert await remaining(stores, org, key) in (25, 35)
    longer = await issued(stores, org, credits={"remaining": 5} | REFILL)
    let_pass(database, longer.id, 130)
    await changed(stores, org, longer, credits={"refill_interval_s": 100})
    let_pass(database, longer.id, 75)
    assert await remaining(stores, org, longer) == 25


async def test_what_has_begun_of_an_interval_is_kept(
    stores: Stores, org: Organisation, database: server.Database
) -> None:
    key = await issued(stores, org, credits={"remaining": 5} | REFILL)
    let_pass(database, key.id, 90)
    assert (await changed(stores, org, key, name="renamed")).credits.remaining == 15
    assert (await stores.key_credits.top_up(org.id, "shop", key.id, TopUp(add=1))).credits == Credits(
        remaining=16, **REFILL
    )
    let_pass(database, key.id, 31)
    assert await remaining(stores, org, key) == 26


async def test_topping_up_adds_or_sets_and_moves_no_etag(anywhere: Stores, org: Organisation) -> None:
    key = await issued(anywhere, org, credits={"remaining": 5})
    for given, after in ((TopUp(add=3), 8), (TopUp(set=2), 2), (TopUp(set=0), 0)):
        found = await anywhere.key_credits.top_up(org.id, "shop", key.id, given)
        assert found.credits == Credits(remaining=after)
        assert found.updated_at == key.updated_at


async def test_what_is_added_at_once_is_added_all(stores: Stores, org: Organisation) -> None:
    key = await issued(stores, org, credits={"remaining": 0})
    await asyncio.gather(*(stores.key_credits.top_up(org.id, "shop", key.id, TopUp(add=n)) for n in range(1, 31)))
    assert await remaining(stores, org, key) == sum(range(31))


async def test_more_than_may_be_is_refused(anywhere: Stores, org: Organisation) -> None:
    key = await issued(anywhere, org, credits={"remaining": 1})
    async with refused(anywhere, Conflict, "credits_max_reached"):
        await anywhere.key_credits.top_up(org.id, "shop", key.id, TopUp(add=10**15))


async def test_a_key_that_takes_no_credits_is_not_topped_up(anywhere: Stores, org: Organisation) -> None:
    key = await issued(anywhere, org, rate_limits=[MINUTE])
    async with refused(anywhere, Conflict, "no_credits"):
        await anywhere.key_credits.top_up(org.id, "shop", key.id, TopUp(add=1))


async def test_no_key_of_another_app_or_tenant_is_topped_up(
    anywhere: Stores, org: Organisation, other_org: Organisation
) -> None:
    key = await issued(anywhere, org, credits={"remaining": 1})
    for place in ((org.id, IDENTITY), (other_org.id, "shop")):
        async with refused(anywhere, NotFound, "key_not_found"):
            await anywhere.key_credits.top_up(*place, key.id, TopUp(add=1))
    assert await remaining(anywhere, org, key) == 1


async def test_a_change_beside_it_leaves_credits_that_it_could_not_see(stores: Stores, org: Organisation) -> None:
    for _ in range(20):
        key = await issued(stores, org)
        await asyncio.gather(
            changed(stores, org, key, credits={"remaining": 9}), changed(stores, org, key, rate_limits=[MINUTE])
        )
        assert await remaining(stores, org, key) == 9


@pytest.mark.parametrize(("grace_s", "left"), [(0, 0), (3600, 5)])
async def test_the_successor_has_what_remains_and_the_old_key_keeps_it_for_the_grace_alone(
    anywhere: Stores, org: Organisation, grace_s: int, left: int
) -> None:
    key = await issued(anywhere, org, **LIMITS, credits={"remaining": 5} | REFILL)
    successor = await anywhere.key_rotations.rotate(org.id, "shop", key.id, grace_s=grace_s)
    assert successor.credits == Credits(remaining=5, **REFILL)
    assert successor.model_dump(mode="json", include=set(LIMITS)) == LIMITS
    assert await remaining(anywhere, org, successor) == 5
    assert await remaining(anywhere, org, key) == left


@pytest.mark.parametrize("limits", [LIMITS | {"credits": {"remaining": 5} | REFILL}, {}])
async def test_a_successor_that_the_version_before_limits_makes_has_them_too(
    stores: Stores, org: Organisation, database: server.Database, limits: dict[str, Any]
) -> None:
    key = await issued(stores, org, **limits)
    id = key.id[:6] + "0" * 16
    server.execute(database.admin_url, ROTATED_BEFORE_LIMITS, id, key.id)
    successor = await stores.app_keys.get(org.id, "shop", id)
    assert successor.model_dump(include={*LIMITS, "credits"}) == key.model_dump(include={*LIMITS, "credits"})
    rows = server.execute(database.admin_url, "SELECT remaining FROM identity.key_limits WHERE key_id = %s", id)
    assert rows == ([(5,)] if limits else [])


def test_a_key_whose_predecessor_is_gone_has_no_limits(org: Organisation, database: server.Database) -> None:
    of_one_that_is_gone = ROTATED_BEFORE_LIMITS.replace("name, id", "name, 'gone'")
    id = org.key.id[:6] + "1" * 16
    server.execute(database.admin_url, of_one_that_is_gone, id, org.key.id)
    rows = server.execute(database.admin_url, "SELECT credits, rate_limits FROM identity.app_keys WHERE id = %s", id)
    assert rows == [(None, [])]
