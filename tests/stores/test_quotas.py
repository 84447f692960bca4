"""A tenant has no more living users and apps than it may have, whichever way they come in."""

from __future__ import annotations

from typing import Any

import pytest

from identity.apps import AppFilter, NewApp
from identity.errors import Conflict
from identity.stores import Stores
from identity.tenants import TenantChanges
from identity.users import NewUser, UserFilter
from tests.conftest import Organisation
from tests.stores.places import APPS, USERS, Noun, Place, refused, undone

counted = pytest.mark.parametrize("noun", [USERS, APPS], ids=["users", "apps"])


@counted
@pytest.mark.parametrize("verb", ["create", "create_many", "replace", "upsert"])
async def test_no_way_in_passes_the_quota(anywhere: Stores, org: Organisation, noun: Noun, verb: str) -> None:
    here = await limited(noun, anywhere, org, 2)
    await here.make("a")
    many = verb in ("create_many", "upsert")
    new: Any = here.new("b")
    async with refused(anywhere, Conflict, f"{noun.store}_max_reached", 0):
        await getattr(here, verb)([new] if many else new)
    assert len((await here.list()).items) == count(noun, 2)


@counted
@pytest.mark.parametrize("verb", ["create_many", "upsert"])
async def test_of_many_the_first_beyond_the_quota_is_named_and_none_is_made(
    anywhere: Stores, org: Organisation, noun: Noun, verb: str
) -> None:
    here = await limited(noun, anywhere, org, 3)
    async with refused(anywhere, Conflict, f"{noun.store}_max_reached", 2):
        await getattr(here, verb)([here.new(name) for name in "dbac"])
    assert len((await here.list()).items) == count(noun, 1)


@counted
async def test_a_tombstone_counts_not_and_its_place_may_be_taken(
    anywhere: Stores, org: Organisation, noun: Noun
) -> None:
    here = await limited(noun, anywhere, org, 2)
    gone = await here.make("a")
    await here.delete(gone.id)
    await here.make("b")
    async with refused(anywhere, Conflict, f"{noun.store}_max_reached"):
        await here.restore(gone.id)
    await here.purge(gone.id, after_s=0)
    async with refused(anywhere, Conflict, f"{noun.store}_max_reached"):
        await here.make("c")
    await here.delete(here.name("b"))
    await here.make("c")
    await here.delete(here.name("c"))
    await here.restore(here.name("b"))


@counted
async def test_a_quota_below_what_is_there_stops_growth_alone(anywhere: Stores, org: Organisation, noun: Noun) -> None:
    here = await limited(noun, anywhere, org, 9)
    await here.create_many([here.new(name) for name in "abc"])
    await limited(noun, anywhere, org, 2)
    await here.update(here.name("a"), here.changes(**noun.change))
    await here.upsert([here.new(name, **noun.change) for name in "abc"])
    await here.delete(here.name("a"))
    async with refused(anywhere, Conflict, f"{noun.store}_max_reached"):
        await here.make("d")
    await limited(noun, anywhere, org, None)
    await here.make("d")


async def test_none_may_come_where_none_is_allowed(anywhere: Stores, org: Organisation) -> None:
    await limited(USERS, anywhere, org, 0)
    async with refused(anywhere, Conflict, "users_max_reached"):
        await anywhere.users.create(org.id, NewUser(username="bo"))


async def test_the_app_that_is_this_service_counts_not(anywhere: Stores, org: Organisation) -> None:
    await limited(APPS, anywhere, org, 2)
    await anywhere.apps.create(org.id, NewApp(id="desk", name="Desk", type="web"))
    assert len((await anywhere.apps.list(org.id, AppFilter())).items) == 3


async def test_what_was_rolled_back_takes_no_place(stores: Stores, org: Organisation) -> None:
    here = await limited(USERS, stores, org, 2)
    for _ in range(3):
        async with undone(stores) as tx:
            await Place(USERS, tx, org.id).make("a")
    await here.make("a")
    assert len((await stores.users.list(org.id, UserFilter())).items) == 2


async def limited(noun: Noun, stores: Stores, org: Organisation, to: int | None) -> Place:
    await stores.tenants.update(org.id, TenantChanges(settings={f"max_{noun.store}": to}))
    return Place(noun, stores, org.id)


def count(noun: Noun, living: int) -> int:
    """How long the list is: that of apps shows the app `identity`, which does not count."""
    return living + (noun is APPS)
