"""Access is granted or revoked, as often as asked, and says since when."""

from __future__ import annotations

import pytest

from identity.errors import Conflict, NotFound
from identity.leaving import Receipt
from identity.stores import Stores
from identity.users import NewUser
from tests.conftest import Organisation
from tests.stores.places import refused


async def test_granting_once_more_changes_nothing_but_updated_at(anywhere: Stores, org: Organisation) -> None:
    first = await anywhere.user_apps.get(org.id, "shop", "ana")
    again, created = await anywhere.user_apps.grant(org.id, "shop", "ana")
    assert created is False
    assert again == first.model_copy(update={"updated_at": again.updated_at})


async def test_revoking_keeps_the_row_and_the_first_moment(anywhere: Stores, org: Organisation) -> None:
    revoked = await anywhere.user_apps.revoke(org.id, "shop", "ana")
    assert revoked.status == "revoked"
    assert revoked.revoked_at is not None
    assert revoked.revoked_at > revoked.granted_at
    again = await anywhere.user_apps.revoke(org.id, "shop", "ana")
    assert again == revoked.model_copy(update={"receipt": Receipt()}), "and nothing stops twice"
    assert not await anywhere.user_apps.has_access(org.id, "shop", "ana")


async def test_granting_after_a_revocation_counts_anew(anywhere: Stores, org: Organisation) -> None:
    revoked = await anywhere.user_apps.revoke(org.id, "shop", "ana")
    again, created = await anywhere.user_apps.grant(org.id, "shop", "ana")
    assert (created, again.status, again.revoked_at) == (False, "active", None)
    assert again.granted_at > revoked.granted_at
    assert again.created_at == revoked.created_at
    assert await anywhere.user_apps.has_access(org.id, "shop", "ana")


async def test_what_was_never_granted_is_not_revoked(anywhere: Stores, org: Organisation) -> None:
    await anywhere.users.create(org.id, NewUser(id="bo", username="bo"))
    async with refused(anywhere, NotFound, "access_not_found"):
        await anywhere.user_apps.revoke(org.id, "shop", "bo")
    assert not await anywhere.user_apps.has_access(org.id, "shop", "bo")


@pytest.mark.parametrize("wrong", [0, 2, 4], ids=["first", "middle", "last"])
async def test_of_many_to_grant_the_missing_user_is_named(anywhere: Stores, org: Organisation, wrong: int) -> None:
    names = ["d", "b", "e", "a", "c"]
    await anywhere.users.create_many(org.id, [NewUser(id=name, username=name) for name in names])
    names[wrong] = "nobody"
    async with refused(anywhere, NotFound, "user_not_found", wrong):
        await anywhere.user_apps.grant_many(org.id, "shop", names)
    assert [row.user_id for row in (await anywhere.user_apps.list_of_app(org.id, "shop")).items] == ["ana"]


async def test_many_are_granted_in_the_order_given(anywhere: Stores, org: Organisation) -> None:
    names = ["d", "b", "ana"]
    await anywhere.users.create_many(org.id, [NewUser(id=name, username=name) for name in names[:2]])
    assert [row.user_id for row in await anywhere.user_apps.grant_many(org.id, "shop", names)] == names
    assert await anywhere.user_apps.grant_many(org.id, "shop", []) == []


async def test_one_user_named_twice_is_refused(anywhere: Stores, org: Organisation) -> None:
    async with refused(anywhere, Conflict, "already_granted", 1):
        await anywhere.user_apps.grant_many(org.id, "shop", ["ana", "ana"])


async def test_no_app_no_access(anywhere: Stores, org: Organisation) -> None:
    async with refused(anywhere, NotFound, "app_not_found"):
        await anywhere.user_apps.grant(org.id, "nothing", "ana")
