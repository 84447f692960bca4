"""What was deleted is a tombstone: unseen, its name free, its id held, until it is restored or purged."""

from __future__ import annotations

from typing import Any

import pytest

from identity.app_keys import NewAppKey
from identity.apps import AppFilter, NewApp
from identity.branches import BranchFilter, NewBranch
from identity.errors import Conflict, NotFound
from identity.filters import Filter
from identity.stores import Stores
from identity.tenants import TenantFilter
from identity.users import NewUser, UserFilter
from tests.conftest import Organisation
from tests.stores.places import WITH_TOMBSTONES, Place, places, refused

FILTERS: dict[str, type[Filter]] = {
    "tenants": TenantFilter,
    "apps": AppFilter,
    "branches": BranchFilter,
    "users": UserFilter,
}
MONTH_S = 30 * 86400


async def listed(here: Place, id: str, *, deleted: bool) -> bool:
    """Whether the list that begins just before it begins with it."""
    page = await here.list(FILTERS[here.noun.store](deleted=deleted), after=id[:-1], limit=1)
    return [row.id for row in page.items] == [id]


async def tombstone(here: Place, short: str) -> Any:
    made = await here.make(short, metadata={"kept": True})
    return await here.delete(made.id)


@places(*WITH_TOMBSTONES)
async def test_a_tombstone_is_seen_only_by_who_asks_for_tombstones(here: Place) -> None:
    made = await here.make("a")
    assert await listed(here, made.id, deleted=False)
    gone = await here.delete(made.id)
    assert gone.deleted_at is not None
    assert not await here.exists(made.id)
    assert await here.get_many([made.id]) == []
    assert not await listed(here, made.id, deleted=False)
    assert await listed(here, made.id, deleted=True)


@places(*WITH_TOMBSTONES)
async def test_a_tombstone_is_not_found(here: Place) -> None:
    gone = await tombstone(here, "a")
    for write in (here.get(gone.id), here.update(gone.id, here.changes(**here.noun.change)), here.delete(gone.id)):
        async with refused(here.stores, NotFound, f"{here.noun.error}_not_found"):
            await write


@places(*WITH_TOMBSTONES)
async def test_its_id_is_taken_to_create_replace_and_upsert(here: Place) -> None:
    await tombstone(here, "a")
    fresh = here.new("a", **here.wrong("b"))
    for write in (here.create(fresh), here.replace(fresh), here.upsert([here.new("c"), fresh])):
        async with refused(here.stores, Conflict, f"{here.noun.error}_taken"):
            await write
    async with refused(here.stores, Conflict, f"{here.noun.error}_taken", 1):
        await here.create_many([here.new("c"), fresh])
    async with refused(here.stores, NotFound, f"{here.noun.error}_not_found", 0):
        await here.update_many({here.name("a"): here.changes(**here.noun.change)})


@places(*WITH_TOMBSTONES)
async def test_its_name_is_free_and_it_cannot_come_back_while_that_is_taken(here: Place) -> None:
    gone = await tombstone(here, "a")
    heir = await here.make("b", **here.wrong("a"))
    async with refused(here.stores, Conflict, here.noun.wrong_code):
        await here.restore(gone.id)
    await here.delete(heir.id)
    assert (await here.restore(gone.id)).deleted_at is None


@places(*WITH_TOMBSTONES)
async def test_restoring_brings_it_back_as_it_was(here: Place) -> None:
    made = await here.make("a", metadata={"kept": True})
    await here.delete(made.id)
    back = await here.restore(made.id)
    assert back == made.model_copy(update={"updated_at": back.updated_at})
    assert await here.get(made.id) == back
    assert await here.restore(made.id) == back


@places(*WITH_TOMBSTONES)
async def test_purging_frees_the_id_and_comes_neither_too_early_nor_to_the_living(here: Place) -> None:
    made = await here.make("a")
    async with refused(here.stores, Conflict, "status_conflict"):
        await here.purge(made.id, after_s=0)
    await here.delete(made.id)
    async with refused(here.stores, Conflict, "purge_too_early"):
        await here.purge(made.id, after_s=MONTH_S)
    await here.purge(made.id, after_s=0)
    assert not await listed(here, made.id, deleted=True)
    assert (await here.make("a")).created_at > made.created_at


@places(*WITH_TOMBSTONES)
async def test_what_there_never_was_is_neither_restored_nor_purged(here: Place) -> None:
    async with refused(here.stores, NotFound, f"{here.noun.error}_not_found"):
        await here.restore(here.name("never"))
    async with refused(here.stores, NotFound, f"{here.noun.error}_not_found"):
        await here.purge(here.name("never"), after_s=0)


async def test_nothing_new_comes_under_a_deleted_tenant(stores: Stores, org: Organisation) -> None:
    await stores.tenants.delete(org.id)
    async with refused(stores, NotFound, "tenant_not_found"):
        await stores.users.create(org.id, NewUser(username="bo"))
    async with refused(stores, NotFound, "tenant_not_found"):
        await stores.apps.upsert(org.id, [NewApp(id="desk", name="Desk", type="web")])


async def test_nothing_new_comes_under_a_deleted_app(stores: Stores, org: Organisation) -> None:
    await stores.apps.delete(org.id, "shop")
    await stores.users.create(org.id, NewUser(id="bo", username="bo"))
    async with refused(stores, NotFound, "app_not_found"):
        await stores.branches.create(org.id, "shop", NewBranch(code="JFK", name="JFK", type="other"))
    async with refused(stores, NotFound, "app_not_found"):
        await stores.app_keys.issue(org.id, "shop", NewAppKey(name="late"))
    async with refused(stores, NotFound, "app_not_found"):
        await stores.user_apps.grant(org.id, "shop", "bo")


async def test_no_key_or_access_is_given_to_a_deleted_user_or_branch(stores: Stores, org: Organisation) -> None:
    await stores.user_apps.revoke(org.id, "shop", "ana")
    await stores.users.delete(org.id, "ana")
    await stores.branches.delete(org.id, "shop", "mad")
    async with refused(stores, NotFound, "user_not_found"):
        await stores.app_keys.issue(org.id, "shop", NewAppKey(name="late", user_id="ana"))
    async with refused(stores, NotFound, "branch_not_found"):
        await stores.app_keys.issue(org.id, "shop", NewAppKey(name="late", branch_id="mad"))
    async with refused(stores, NotFound, "user_not_found"):
        await stores.user_apps.grant(org.id, "shop", "ana")


async def test_nobody_deleted_has_access(stores: Stores, org: Organisation) -> None:
    assert await stores.user_apps.has_access(org.id, "shop", "ana")
    await stores.users.delete(org.id, "ana")
    assert not await stores.user_apps.has_access(org.id, "shop", "ana")
    assert (await stores.user_apps.list_of_app(org.id, "shop")).items == []
    for act in (stores.user_apps.get, stores.user_apps.revoke):
        with pytest.raises(NotFound):
            await act(org.id, "shop", "ana")
    await stores.users.restore(org.id, "ana")
    assert await stores.user_apps.has_access(org.id, "shop", "ana")


async def test_a_user_of_a_deleted_app_is_shown_none(stores: Stores, org: Organisation) -> None:
    await stores.apps.delete(org.id, "shop")
    assert (await stores.user_apps.list_of_user(org.id, "ana")).items == []
