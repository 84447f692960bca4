"""Who is given rank is out of reach of whoever had it before: what they came by meanwhile is good no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.stores import Stores
from identity.user_apps import Grant
from identity.users import NewUser
from tests.api.problems import told
from tests.people.conftest import People, waits
from tests.people.test_passwords import put, redeem, reset
from tests.people.test_second_factor import confirmed, enrol
from tests.server import Database, execute

WAITING = """
SELECT (SELECT count(*) FROM identity.password_resets WHERE tenant_id = given.id),
       (SELECT count(*) FROM identity.sign_in_challenges WHERE tenant_id = given.id),
       (SELECT count(*) FROM identity.factors WHERE tenant_id = given.id AND confirmed_at IS NULL)
  FROM (SELECT %s AS id) AS given
"""
TOO_LOW = (403, "insufficient_rank")


async def grant(stores: Stores, id: str, *scopes: str, app_id: str = IDENTITY, user_id: str = "ana") -> Any:
    return await stores.user_apps.grant(id, app_id, user_id, Grant(scopes=scopes))


async def issue(stores: Stores, id: str, *scopes: str) -> Any:
    return await stores.app_keys.issue(id, IDENTITY, NewAppKey(name="own", user_id="ana", scopes=scopes))


Rise = Callable[[Stores, str], Awaitable[Any]]
RISES: dict[str, Rise] = {
    "the first scope": lambda s, id: grant(s, id, "users:read"),
    "one scope more": lambda s, id: grant(s, id, "apps:write", "users:read"),
}
NO_RISES: dict[str, Rise] = {
    "the same again": lambda s, id: grant(s, id, "apps:write"),
    "what that covers": lambda s, id: grant(s, id, "apps:read"),
    "fewer scopes": lambda s, id: grant(s, id),
    "scopes of another app": lambda s, id: grant(s, id, "orders:read", app_id="shop"),
    "somebody else's": lambda s, id: grant(s, id, "users:read", user_id="bob"),
    "a key of their own, which no password opens": lambda s, id: issue(s, id, "users:read"),
}


@pytest.mark.parametrize("what", [*RISES, *NO_RISES])
async def test_a_rise_ends_what_was_to_be_answered_and_nothing_else_does(
    people: People, database: Database, what: str
) -> None:
    stores, id = people.org.stores, people.org.id
    await stores.users.create(id, NewUser(id="bob", username="bob"))
    if what != "the first scope":
        await grant(stores, id, "apps:write")
    factor = await confirmed(people)
    await enrol(people)
    await people.challenge()
    token = await reset(people)
    await (RISES | NO_RISES)[what](stores, id)
    left = 0 if what in RISES else 1
    assert execute(database.admin_url, WAITING, id) == [(left, left, left)]
    assert factor["id"] in [each.id for each in (await stores.factors.list(id, "ana")).items]
    assert (await redeem(people, token)).status_code == (400 if what in RISES else 204)


async def test_a_reset_under_way_and_a_rise_see_each_other(people: People) -> None:
    stores, id = people.org.stores, people.org.id
    async with stores.transaction() as tx:
        token = (await tx.passwords.make_reset(id, "ana")).token
        task = asyncio.ensure_future(grant(stores, id, "users:read"))
        assert await waits(task), "for the reset"
    await task
    assert await stores.passwords.find_by_reset(id, token) is None


async def test_rank_is_judged_again_by_whoever_had_to_wait_for_a_rise(people: People) -> None:
    """With the password hashed, and the user held."""
    limited, stores, id = await people.org.holding("users:write"), people.org.stores, people.org.id
    async with stores.transaction() as tx:
        await grant(tx, id, "apps:read")
        late = [
            asyncio.ensure_future(limited.post(f"{people.ana}/password-reset")),
            asyncio.ensure_future(limited.post(f"{people.ana}/factors")),
            asyncio.ensure_future(put(people, caller=limited)),
        ]
        assert [await waits(task) for task in late] == [True] * len(late)
    assert [told(await task) for task in late] == [TOO_LOW] * len(late)
    assert (await people.sign_in()).status_code == 201, "the password is the one that it was"
