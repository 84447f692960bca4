"""Of many who do one thing at once, as many succeed as may, and none is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

import pytest

from identity.app_keys import AppKeyFilter
from identity.errors import IdentityError
from identity.stores import Stores, open_stores
from identity.tenants import TenantChanges
from tests import server
from tests.conftest import Organisation, settings_for
from tests.stores.places import APPS, USERS, WITH_CHANGES, WITH_TOMBSTONES, Noun, Place

CONNECTIONS = 8
both_counted = pytest.mark.parametrize("noun", [USERS, APPS], ids=["users", "apps"])


@pytest.fixture(scope="module")
async def patient(database: server.Database) -> AsyncIterator[Stores]:
    """Stores that wait for one another, however slow the machine."""
    settings = settings_for(
        database, pool_max=CONNECTIONS, checkout_timeout_s=30, statement_timeout_s=30, lock_timeout_s=30
    )
    async with open_stores(settings) as found:
        yield found


async def outcomes(calls: Iterable[Awaitable[Any]]) -> Counter[str]:
    """How many succeeded, and with which code the others failed."""
    found: Counter[str] = Counter()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, IdentityError):
            raise outcome
        found[outcome.code if isinstance(outcome, IdentityError) else "done"] += 1
    return found


async def all_wait(database: server.Database) -> None:
    """Until every connection but the one that holds the row waits for it."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(500):
        if server.execute(database.admin_url, waiting) == [(CONNECTIONS - 1,)]:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


@both_counted
async def test_fifty_at_once_fill_a_quota_of_ten_exactly(patient: Stores, org: Organisation, noun: Noun) -> None:
    here = Place(noun, patient, org.id)
    await patient.tenants.update(org.id, TenantChanges(settings={f"max_{noun.store}": 10}))
    found = await outcomes(here.create(here.new(f"n{n}")) for n in range(50))
    assert found == {"done": 9, f"{noun.store}_max_reached": 41}
    assert len((await here.list(limit=100)).items) == (11 if noun is APPS else 10)


@both_counted
async def test_restoring_at_once_fills_a_quota_exactly(patient: Stores, org: Organisation, noun: Noun) -> None:
    here = Place(noun, patient, org.id)
    made = await here.create_many([here.new(f"n{n}") for n in range(20)])
    for row in made:
        await here.delete(row.id)
    await patient.tenants.update(org.id, TenantChanges(settings={f"max_{noun.store}": 4}))
    assert await outcomes(here.restore(row.id) for row in made) == {"done": 3, f"{noun.store}_max_reached": 17}


@pytest.mark.parametrize(("grace_s", "code"), [(0, "key_not_live"), (3600, "already_rotated")])
async def test_twenty_rotations_at_once_leave_one_successor(
    patient: Stores, database: server.Database, org: Organisation, grace_s: int, code: str
) -> None:
    keys = patient.app_keys
    async with patient.transaction() as tx:
        await tx.app_keys.hold(org.id, "shop", org.key.id)
        rotations = [patient.key_rotations.rotate(org.id, "shop", org.key.id, grace_s=grace_s) for _ in range(20)]
        found = asyncio.ensure_future(outcomes(rotations))
        await all_wait(database)
    assert await found == {"done": 1, code: 19}
    listed = (await keys.list(org.id, AppKeyFilter(app_id="shop"))).items
    assert sorted(key.rotated_from or "" for key in listed) == ["", org.key.id]


@pytest.mark.parametrize("noun", WITH_CHANGES, ids=[noun.store for noun in WITH_CHANGES])
async def test_of_two_changes_to_one_version_one_wins(patient: Stores, org: Organisation, noun: Noun) -> None:
    here = Place(noun, patient, org.id)
    for n in range(10):
        read = await here.make(f"n{n}")
        changes = [here.changes(metadata={"by": who}) for who in range(4)]
        found = await outcomes(here.update(read.id, change, if_match=[read.updated_at]) for change in changes)
        assert found == {"done": 1, "precondition_failed": 3}


@pytest.mark.parametrize("noun", WITH_CHANGES, ids=[noun.store for noun in WITH_CHANGES])
async def test_changes_to_different_members_are_all_kept(patient: Stores, org: Organisation, noun: Noun) -> None:
    here = Place(noun, patient, org.id)
    made = await here.make("a")
    await asyncio.gather(*(here.update(made.id, here.changes(metadata={f"n{n}": n})) for n in range(20)))
    assert (await here.get(made.id)).metadata == {f"n{n}": n for n in range(20)}


@pytest.mark.parametrize("noun", WITH_TOMBSTONES, ids=[noun.store for noun in WITH_TOMBSTONES])
async def test_of_many_who_take_one_name_one_has_it(patient: Stores, org: Organisation, noun: Noun) -> None:
    here = Place(noun, patient, org.id)
    found = await outcomes(here.create(here.new(f"n{n}", **here.wrong("a"))) for n in range(20))
    assert found == {"done": 1, noun.wrong_code: 19}


@pytest.mark.parametrize("noun", WITH_TOMBSTONES, ids=[noun.store for noun in WITH_TOMBSTONES])
async def test_putting_one_id_at_once_creates_it_once_and_refuses_nobody(
    patient: Stores, org: Organisation, noun: Noun
) -> None:
    here = Place(noun, patient, org.id)
    put = await asyncio.gather(*(here.replace(here.new("a")) for _ in range(20)))
    assert Counter(created for _, created in put) == {True: 1, False: 19}
