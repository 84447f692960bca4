"""A key is disabled and enabled, rotated, revoked for good, and deleted without a trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from identity.app_keys import AppKeyChanges, AppKeyFilter, IssuedKey, NewAppKey
from identity.errors import Conflict, NotFound
from identity.stores import Stores
from tests.conftest import Organisation
from tests.stores.places import refused

PERSISTENT = {"app_id", "branch_id", "user_id", "prefix", "type", "environment", "name", "scopes", "metadata"}


async def rotated(stores: Stores, org: Organisation, grace_s: int) -> IssuedKey:
    return await stores.key_rotations.rotate(org.id, "shop", org.key.id, grace_s=grace_s)


async def test_disabling_and_enabling_move_once(anywhere: Stores, org: Organisation) -> None:
    keys = anywhere.app_keys
    before = await keys.get(org.id, "shop", org.key.id)
    assert await keys.enable(org.id, "shop", org.key.id) == before
    disabled = await keys.disable(org.id, "shop", org.key.id)
    assert disabled.disabled_at is not None
    assert await keys.disable(org.id, "shop", org.key.id) == disabled
    enabled = await keys.enable(org.id, "shop", org.key.id)
    assert enabled == before.model_copy(update={"updated_at": enabled.updated_at})


async def test_revoking_is_for_good_and_the_first_reason_stays(anywhere: Stores, org: Organisation) -> None:
    revoked = await anywhere.app_keys.revoke(org.id, "shop", org.key.id, reason="leaked")
    assert revoked.revoked_at is not None
    assert revoked.revoke_reason == "leaked"
    assert await anywhere.app_keys.revoke(org.id, "shop", org.key.id, reason="tidying up") == revoked
    for verb in (anywhere.app_keys.enable, anywhere.app_keys.disable):
        async with refused(anywhere, Conflict, "status_conflict"):
            await verb(org.id, "shop", org.key.id)


async def test_a_deleted_key_leaves_no_trace(anywhere: Stores, org: Organisation) -> None:
    await anywhere.app_keys.delete(org.id, "shop", org.key.id)
    assert await anywhere.app_keys.find(org.id, org.key.id) is None
    assert (await anywhere.app_keys.list(org.id, AppKeyFilter(app_id="shop"))).items == []


@pytest.mark.parametrize("verb", ["get", "disable", "enable", "revoke", "delete", "hold"])
async def test_a_key_is_nothing_in_another_app(anywhere: Stores, org: Organisation, verb: str) -> None:
    async with refused(anywhere, NotFound, "key_not_found"):
        await getattr(anywhere.app_keys, verb)(org.id, "shop", org.admin_key.id)
    async with refused(anywhere, NotFound, "key_not_found"):
        await anywhere.key_rotations.rotate(org.id, "shop", org.admin_key.id)
    assert await anywhere.app_keys.find(org.id, org.admin_key.id) is not None


async def test_of_many_to_change_one_of_another_app_is_named(anywhere: Stores, org: Organisation) -> None:
    ids = [org.key.id, org.admin_key.id]
    async with refused(anywhere, NotFound, "key_not_found", 1):
        await anywhere.app_keys.update_many(org.id, "shop", {id: AppKeyChanges(name="changed") for id in ids})


@pytest.mark.parametrize("grace_s", [0, 3600])
async def test_the_successor_has_all_that_the_old_key_had(anywhere: Stores, org: Organisation, grace_s: int) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    changes = AppKeyChanges(metadata={"till": 7}, expires_at=until)
    old = await anywhere.app_keys.update(org.id, "shop", org.key.id, changes)
    new = await rotated(anywhere, org, grace_s)
    assert new.model_dump(include=PERSISTENT) == old.model_dump(include=PERSISTENT)
    assert (new.rotated_from, new.expires_at, new.revoked_at) == (old.id, until, None)
    assert new.id != old.id
    assert new.id[:6] == old.id[:6]
    assert new.key.split("_")[3] != org.key.key.split("_")[3]


async def test_without_a_grace_the_old_key_is_revoked_at_once(anywhere: Stores, org: Organisation) -> None:
    await rotated(anywhere, org, 0)
    old = await anywhere.app_keys.get(org.id, "shop", org.key.id)
    assert old.revoked_at is not None
    assert (old.revoke_reason, old.expires_at) == ("rotated", None)


@pytest.mark.parametrize(("given_s", "lives_s"), [(None, 3600), (7200, 3600), (60, 60)])
async def test_in_its_grace_the_old_key_lives_on_but_never_longer_than_before(
    anywhere: Stores, org: Organisation, given_s: int | None, lives_s: int
) -> None:
    now = datetime.now(UTC)
    until = now + timedelta(seconds=given_s) if given_s else None
    await anywhere.app_keys.update(org.id, "shop", org.key.id, AppKeyChanges(expires_at=until))
    new = await rotated(anywhere, org, 3600)
    old = await anywhere.app_keys.get(org.id, "shop", org.key.id)
    assert (old.revoked_at, new.expires_at) == (None, until)
    assert old.expires_at is not None
    assert timedelta(0) <= old.expires_at - now - timedelta(seconds=lives_s) < timedelta(seconds=30)


async def kill(stores: Stores, org: Organisation, how: str) -> None:
    past = AppKeyChanges(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    keys: dict[str, Any] = {"disabled": stores.app_keys.disable, "revoked": stores.app_keys.revoke}
    if how == "expired":
        await stores.app_keys.update(org.id, "shop", org.key.id, past)
    else:
        await keys[how](org.id, "shop", org.key.id)


@pytest.mark.parametrize("how", ["disabled", "revoked", "expired"])
@pytest.mark.parametrize("grace_s", [0, 3600])
async def test_only_a_live_key_rotates(anywhere: Stores, org: Organisation, how: str, grace_s: int) -> None:
    await kill(anywhere, org, how)
    before = await anywhere.app_keys.get(org.id, "shop", org.key.id)
    async with refused(anywhere, Conflict, "key_not_live"):
        await rotated(anywhere, org, grace_s)
    assert (await anywhere.app_keys.list(org.id, AppKeyFilter(app_id="shop"))).items == [before]


@pytest.mark.parametrize("again_s", [0, 3600])
async def test_in_its_grace_a_key_does_not_rotate_again(anywhere: Stores, org: Organisation, again_s: int) -> None:
    await rotated(anywhere, org, 3600)
    before = await anywhere.app_keys.get(org.id, "shop", org.key.id)
    async with refused(anywhere, Conflict, "already_rotated"):
        await rotated(anywhere, org, again_s)
    assert await anywhere.app_keys.get(org.id, "shop", org.key.id) == before


async def test_revoking_the_successor_undoes_a_rotation_and_leaves_a_way_on(
    anywhere: Stores, org: Organisation
) -> None:
    mistaken = await rotated(anywhere, org, 3600)
    await anywhere.app_keys.revoke(org.id, "shop", mistaken.id)
    again = await rotated(anywhere, org, 3600)
    assert again.rotated_from == mistaken.rotated_from == org.key.id


async def test_both_records_show_the_other(anywhere: Stores, org: Organisation) -> None:
    keys = anywhere.app_keys
    new = await rotated(anywhere, org, 0)
    newer = await anywhere.key_rotations.rotate(org.id, "shop", new.id)
    chain = [await keys.get(org.id, "shop", id) for id in (org.key.id, new.id, newer.id)]
    assert [key.rotated_from for key in chain] == [None, org.key.id, new.id]
    assert [key.rotated_to for key in chain] == [new.id, newer.id, None]


async def test_of_several_successors_the_living_one_is_shown_and_else_the_last(
    anywhere: Stores, org: Organisation
) -> None:
    keys, shown = anywhere.app_keys, []
    for _ in range(3):
        new = await rotated(anywhere, org, 3600)
        shown.append((await keys.get(org.id, "shop", org.key.id)).rotated_to == new.id)
        await keys.revoke(org.id, "shop", new.id)
        shown.append((await keys.get(org.id, "shop", org.key.id)).rotated_to == new.id)
    assert all(shown)
    await keys.delete(org.id, "shop", new.id)
    assert (await keys.get(org.id, "shop", org.key.id)).rotated_to not in (new.id, None)


async def test_another_tenant_s_key_is_no_successor(
    anywhere: Stores, org: Organisation, other_org: Organisation
) -> None:
    new = await rotated(anywhere, org, 3600)
    found = await anywhere.app_keys.get(other_org.id, "shop", other_org.key.id)
    assert (found.rotated_to, new.rotated_to) == (None, None)


async def test_a_rotation_that_was_undone_leaves_its_grace_behind(anywhere: Stores, org: Organisation) -> None:
    keys, until = anywhere.app_keys, datetime.now(UTC) + timedelta(days=9)
    await keys.update(org.id, "shop", org.key.id, AppKeyChanges(expires_at=until))
    mistaken = await rotated(anywhere, org, 60)
    await keys.revoke(org.id, "shop", mistaken.id)
    undone = await keys.get(org.id, "shop", org.key.id)
    assert undone.expires_at is not None
    assert undone.expires_at < datetime.now(UTC) + timedelta(seconds=61), "revoking lengthens nobody's life"
    again = await rotated(anywhere, org, 3600)
    old = await keys.get(org.id, "shop", org.key.id)
    assert again.expires_at == until
    assert old.expires_at is not None
    assert timedelta(minutes=59) < old.expires_at - datetime.now(UTC) <= timedelta(hours=1)


async def test_a_key_that_ends_by_a_rotation_keeps_the_end_that_it_had(anywhere: Stores, org: Organisation) -> None:
    mistaken = await rotated(anywhere, org, 60)
    undone = await anywhere.app_keys.get(org.id, "shop", org.key.id)
    await anywhere.app_keys.revoke(org.id, "shop", mistaken.id)
    await rotated(anywhere, org, 0)
    assert (await anywhere.app_keys.get(org.id, "shop", org.key.id)).expires_at == undone.expires_at


async def test_a_key_that_never_ended_has_a_successor_that_never_ends_after_a_way_back_too(
    anywhere: Stores, org: Organisation
) -> None:
    for _ in range(3):
        new = await rotated(anywhere, org, 60)
        assert new.expires_at is None
        await anywhere.app_keys.revoke(org.id, "shop", new.id)


@pytest.mark.parametrize("given_s", [None, 7200, -1])
async def test_within_its_grace_the_old_key_s_end_can_be_moved(
    anywhere: Stores, org: Organisation, given_s: int | None
) -> None:
    new = await rotated(anywhere, org, 3600)
    until = None if given_s is None else datetime.now(UTC) + timedelta(seconds=given_s)
    old = await anywhere.app_keys.update(org.id, "shop", org.key.id, AppKeyChanges(expires_at=until))
    assert (old.expires_at, old.revoked_at, old.rotated_to) == (until, None, new.id)
    assert (await anywhere.app_keys.get(org.id, "shop", new.id)).expires_at is None


async def test_a_successor_outlives_its_predecessor_and_rotates_itself(anywhere: Stores, org: Organisation) -> None:
    new = await rotated(anywhere, org, 0)
    await anywhere.app_keys.delete(org.id, "shop", org.key.id)
    newer = await anywhere.key_rotations.rotate(org.id, "shop", new.id)
    assert (newer.rotated_from, (await anywhere.app_keys.get(org.id, "shop", new.id)).rotated_from) == (
        new.id,
        org.key.id,
    )


async def test_a_key_dies_with_the_branch_and_the_user_that_are_purged(anywhere: Stores, org: Organisation) -> None:
    for_user = await anywhere.app_keys.issue(org.id, "shop", NewAppKey(name="ana's", user_id="ana"))
    await anywhere.branches.delete(org.id, "shop", "mad")
    await anywhere.branches.purge(org.id, "shop", "mad", after_s=0)
    assert await anywhere.app_keys.find(org.id, org.key.id) is None
    await anywhere.users.delete(org.id, "ana")
    await anywhere.users.purge(org.id, "ana", after_s=0)
    assert await anywhere.app_keys.find(org.id, for_user.id) is None


@pytest.mark.parametrize("dead", ["owner", "branch"])
async def test_a_key_that_hangs_on_a_tombstone_does_not_rotate(stores: Stores, org: Organisation, dead: str) -> None:
    if dead == "owner":
        await stores.users.delete(org.id, "ana")
    else:
        await stores.branches.delete(org.id, "shop", "mad")
    with pytest.raises(Conflict) as refused:
        await stores.key_rotations.rotate(org.id, "shop", org.key.id)
    assert refused.value.code == "key_not_live"
    assert (await stores.app_keys.get(org.id, "shop", org.key.id)).revoked_at is None
