"""Leaving: what somebody holds stops at once and is named in the receipt; they come back to keys and access alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from identity.app_keys import AppKeyChanges, NewAppKey
from identity.apps import IDENTITY, NewApp
from identity.branches import NewBranch
from identity.leaving import Receipt
from identity.sessions import NewSession, Successor
from identity.stores import LIFETIMES, Stores
from identity.user_apps import Grant
from identity.users import NewUser
from tests.conftest import Organisation, password_hash
from tests.people.conftest import People, waits
from tests.server import Database, execute

Verb = Callable[[Stores, str], Awaitable[Any]]
LEAVES: dict[str, tuple[Verb, Verb]] = {
    "suspended": (lambda s, id: s.users.suspend(id, "ana"), lambda s, id: s.users.activate(id, "ana")),
    "deleted": (lambda s, id: s.users.delete(id, "ana"), lambda s, id: s.users.restore(id, "ana")),
    "access revoked": (
        lambda s, id: s.user_apps.revoke(id, "shop", "ana"),
        lambda s, id: s.user_apps.grant(id, "shop", "ana"),
    ),
}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

each_leave = pytest.mark.parametrize("leave", LEAVES)


async def begin(stores: Stores, id: str, app_id: str = "shop", user_id: str = "ana") -> Successor:
    """As if they had given their password: it is not hashed each time."""
    holder = await stores.passwords.find(id, user_id=user_id)
    assert holder is not None
    new = NewSession(user_id, app_id, None, "192.0.2.7", "browser", holder.changed_at)
    began = await stores.sessions.create(id, holder.ref, new, LIFETIMES)
    assert began is not None
    return began


async def issue(org: Organisation, app_id: str = "shop", **more: Any) -> str:
    new = NewAppKey.model_validate({"name": "more", "user_id": "ana", **more})
    return (await org.stores.app_keys.issue(org.id, app_id, new)).id


async def hold_what_is_dead_or_anothers(org: Organisation, database: Database) -> None:
    """Of everything that a receipt may name one that it must not."""
    stores, id = org.stores, org.id
    await stores.users.create(id, NewUser(id="bob", username="bob"))
    await stores.passwords.set(id, "bob", password_hash())
    await stores.branches.create(id, "shop", NewBranch(id="closed", code="C", name="Closed", type="store"))
    await stores.apps.create(id, NewApp(id="off", name="Off", type="web"))
    await stores.user_apps.grant_many(id, "off", ["ana"])
    await stores.user_apps.grant_many(id, "shop", ["ana", "bob"])
    await begin(stores, id, user_id="bob")
    for more in ({"user_id": None}, {"user_id": "bob"}, {"branch_id": "closed"}, {"app_id": "off"}):
        await issue(org, **more)
    disabled, revoked, expired = [await issue(org) for _ in range(3)]
    await stores.app_keys.disable(id, "shop", disabled)
    await stores.app_keys.revoke(id, "shop", revoked)
    await stores.app_keys.update(id, "shop", expired, AppKeyChanges(expires_at=LONG_AGO))
    await stores.branches.disable(id, "shop", "closed")
    await begin(stores, id, "off")
    await stores.apps.disable(id, "off")
    over = "UPDATE identity.sessions SET expires_at = now() - interval '1 s' WHERE tenant_id = %s AND app_id = 'off'"
    execute(database.admin_url, over, id)
    await stores.sessions.refresh(id, "shop", org.signed_in.refresh_token, LIFETIMES)


@each_leave
async def test_the_receipt_names_what_was_good_until_then(org: Organisation, database: Database, leave: str) -> None:
    stores, id = org.stores, org.id
    await hold_what_is_dead_or_anothers(org, database)
    await stores.user_apps.grant(id, IDENTITY, "ana", Grant())
    more = leave != "access revoked"
    of_identity = await issue(org, IDENTITY, scopes=["users:read"])
    sessions = [org.signed_in, await begin(stores, id, IDENTITY), await begin(stores, id)]
    found = (await LEAVES[leave][0](stores, id)).receipt
    assert found == Receipt(
        sessions_ended=tuple(each.session.session_id for each in sessions if more or each.session.app_id == "shop"),
        refresh_tokens_ended=3 if more else 2,
        keys_stopped=tuple(sorted([org.key.id, of_identity])) if more else (org.key.id,),
        access_stopped=("identity", "shop") if more else ("shop",),
    )
    left = [each.app_id for each in (await stores.sessions.list(id, "ana")).items]
    assert left == ([] if more else [IDENTITY])
    assert len((await stores.sessions.list(id, "bob")).items) == 1


async def test_what_was_locked_already_is_not_stopped_again(org: Organisation) -> None:
    await org.stores.users.lock(org.id, "ana")
    left = await org.stores.users.suspend(org.id, "ana")
    assert left.receipt == Receipt(sessions_ended=(org.signed_in.session.session_id,), refresh_tokens_ended=1)
    assert (await org.stores.users.suspend(org.id, "ana")).receipt == Receipt()


WRITES = {
    "suspended": "UPDATE identity.users SET status = 'suspended' WHERE tenant_id = %s",
    "deleted": "UPDATE identity.users SET deleted_at = now() WHERE tenant_id = %s",
    "access revoked": "UPDATE identity.user_apps SET status = 'revoked', revoked_at = now() WHERE tenant_id = %s",
}


@each_leave
async def test_whichever_statement_says_it_ends_the_sessions_of_all(
    org: Organisation, other_org: Organisation, database: Database, leave: str
) -> None:
    await org.stores.users.create(org.id, NewUser(id="bob", username="bob"))
    await org.stores.passwords.set(org.id, "bob", password_hash())
    await org.stores.user_apps.grant(org.id, "shop", "bob")
    await begin(org.stores, org.id, user_id="bob")
    execute(database.admin_url, WRITES[leave], org.id)
    left = "SELECT tenant_id FROM identity.sessions WHERE tenant_id = ANY (%s)"
    assert execute(database.admin_url, left, [org.id, other_org.id]) == [(other_org.id,)]


@each_leave
async def test_a_refresh_under_way_does_not_outlive_the_leaving(org: Organisation, leave: str) -> None:
    stores, id = org.stores, org.id
    leaves, returns = LEAVES[leave]
    async with stores.transaction() as tx:
        successor = await tx.sessions.refresh(id, "shop", org.signed_in.refresh_token, LIFETIMES)
        assert successor is not None
        task = asyncio.ensure_future(leaves(stores, id))
        assert await waits(task), "for the refresh"
    assert (await task).receipt.sessions_ended == (org.signed_in.session.session_id,)
    await returns(stores, id)
    assert await stores.sessions.refresh(id, "shop", successor.refresh_token, LIFETIMES) is None


async def test_a_leaving_under_way_is_waited_for_by_a_refresh(org: Organisation) -> None:
    async with org.stores.transaction() as tx:
        await tx.users.suspend(org.id, "ana")
        late = asyncio.ensure_future(
            org.stores.sessions.refresh(org.id, "shop", org.signed_in.refresh_token, LIFETIMES)
        )
        assert await waits(late)
    assert await late is None


@pytest.mark.parametrize("leave", ["suspended", "deleted"])
async def test_a_reset_made_before_is_good_no_more_nor_one_that_was_under_way(org: Organisation, leave: str) -> None:
    stores, id = org.stores, org.id
    leaves, returns = LEAVES[leave]
    token = (await stores.passwords.make_reset(id, "ana")).token
    await leaves(stores, id)
    await returns(stores, id)
    assert await stores.passwords.redeem(id, "ana", token, password_hash()) is None
    async with stores.transaction() as tx:
        token = (await tx.passwords.make_reset(id, "ana")).token
        task = asyncio.ensure_future(leaves(stores, id))
        assert await waits(task), "for the reset"
    await task
    await returns(stores, id)
    assert await stores.passwords.find_by_reset(id, token) is None


async def test_who_only_loses_an_app_keeps_the_way_to_their_password(people: People) -> None:
    stores, id = people.org.stores, people.org.id
    token = (await stores.passwords.make_reset(id, "ana")).token
    await stores.user_apps.revoke(id, "shop", "ana")
    assert await stores.passwords.find_by_reset(id, token) is not None
