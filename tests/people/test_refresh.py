"""Refreshing: a token is good once, whoever lost its answer may ask again, and a stolen one ends the session."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from identity.apps import AppChanges
from identity.sessions import Successor
from identity.settings import Settings
from identity.stores import LIFETIMES, Stores
from identity.tenants import TenantChanges
from identity.token_text import hash_token, new_token
from identity.user_apps import Grant
from tests.conftest import Organisation
from tests.people.conftest import People, at, worker
from tests.server import Database, execute

LATER = (
    "UPDATE identity.refresh_tokens SET consumed_at = now() - interval '11 seconds' WHERE tenant_id = %s AND hash = %s"
)
SOUND_REFRESHES = int(os.environ.get("IDENTITY_TEST_REFRESHES", "60"))


async def refresh(org: Organisation, token: str, app_id: str = "shop") -> Successor | None:
    return await org.stores.sessions.refresh(org.id, app_id, token, LIFETIMES)


async def refreshed(org: Organisation, token: str) -> str:
    found = await refresh(org, token)
    assert found is not None
    return found.refresh_token


def first(org: Organisation) -> str:
    return org.signed_in.refresh_token


async def test_of_fifty_with_one_token_all_get_the_one_successor(org: Organisation, database: Database) -> None:
    found = await asyncio.gather(*(refresh(org, first(org)) for _ in range(50)))
    assert Counter(each.refresh_token if each else None for each in found).most_common() == [
        (found[0].refresh_token if found[0] else "", 50)
    ]
    counted = execute(
        database.admin_url,
        "SELECT count(*), count(consumed_at) FROM identity.refresh_tokens WHERE tenant_id = %s",
        org.id,
    )
    assert counted == [(2, 1)]


async def test_who_lost_the_answer_gets_it_again_while_nobody_has_used_it(org: Organisation) -> None:
    second = await refreshed(org, first(org))
    assert await refreshed(org, first(org)) == second
    third = await refreshed(org, second)
    assert await refreshed(org, second) == third
    assert await refresh(org, first(org)) is None, "its successor was used: somebody has both"
    assert await refresh(org, third) is None, "and so the session has ended"


async def test_a_token_that_comes_back_later_ends_its_session_and_no_other(
    org: Organisation, people: People, database: Database
) -> None:
    other = await people.signed_in()
    second = await refreshed(org, first(org))
    execute(database.admin_url, LATER, org.id, hash_token(first(org)))
    assert await refresh(org, first(org)) is None
    assert await refresh(org, second) is None
    assert await people.session_ids() == [other["session_id"]]
    assert await refresh(org, other["refresh_token"]) is not None


async def generations(org: Organisation, count: int) -> list[str]:
    tokens = [first(org)]
    for _ in range(count):
        tokens.append(await refreshed(org, tokens[-1]))
    return tokens


KEPT = "SELECT hash FROM identity.refresh_tokens WHERE tenant_id = %s ORDER BY consumed_at"


async def test_of_a_family_the_last_two_are_kept_and_all_are_known(
    org: Organisation, people: People, database: Database
) -> None:
    other = await people.signed_in()
    tokens = await generations(org, 6)
    kept = [hash for (hash,) in execute(database.admin_url, KEPT, org.id)]
    assert {hash_token(tokens[-2]), hash_token(tokens[-1]), hash_token(other["refresh_token"])} == set(kept)
    assert len(kept) == 3
    assert await refresh(org, tokens[2], "identity") is None
    assert await refresh(org, tokens[-1]) is not None, "nor is one of which nothing is kept anybody else's to report"
    assert await refresh(org, tokens[2]) is None
    assert await people.session_ids() == [other["session_id"]]


async def test_a_pause_is_outlasted_also_where_a_token_of_long_ago_is_presented_meanwhile(org: Organisation) -> None:
    tokens = await generations(org, 3)
    await org.stores.apps.disable(org.id, "shop")
    assert await refresh(org, tokens[0]) is None
    await org.stores.apps.enable(org.id, "shop")
    assert await refresh(org, tokens[-1]) is not None


async def test_any_token_of_a_session_revokes_it(people: People) -> None:
    tokens = await generations(people.org, 3)
    await people.org.stores.sessions.end_by_token(people.org.id, tokens[0], app_id="identity")
    assert len(await people.session_ids()) == 1
    await people.org.client.post("/oauth/revoke", data={"token": tokens[0], "client_id": f"{people.org.id}/shop"})
    assert await people.session_ids() == []


@pytest.mark.parametrize("stolen", [0, 1, 2])
async def test_what_the_version_before_made_is_known_as_before(people: People, database: Database, stolen: int) -> None:
    """It gives each token a beginning of its own, and keeps all; also beside this version, while that comes."""
    org, tokens = people.org, await generations(people.org, 1)
    unlike = new_token("irt", tokens[0][4:10])
    was = (
        "UPDATE identity.refresh_tokens SET family_hash = NULL, hash = %s WHERE tenant_id = %s AND consumed_at IS NULL"
    )
    execute(database.admin_url, was, hash_token(unlike), org.id)
    tokens = [tokens[0], unlike, await refreshed(org, unlike)]
    for _ in "12":
        tokens.append(await refreshed(org, tokens[-1]))
    assert await refresh(org, tokens[stolen]) is None
    assert await people.session_ids() == []


async def test_a_session_is_refreshed_so_often_a_minute(people: People, settings: Settings, database: Database) -> None:
    org = people.org
    other = await people.signed_in()
    few = settings.model_copy(update={"refreshes_per_session": 2})
    async with worker(few) as client:
        limited, token = at(people, client), first(org)
        for _ in "12":
            used, token = token, (await limited.refresh(token)).json()["refresh_token"]
        too_soon = await limited.refresh(token)
        assert (too_soon.status_code, too_soon.json()["error"]) == (429, "slow_down")
        assert 28 <= int(too_soon.headers["Retry-After"]) <= 30
        assert (await limited.refresh(used)).json()["refresh_token"] == token, "who lost the answer is not held up"
        assert (await limited.refresh(other["refresh_token"])).status_code == 200
        later = "UPDATE identity.sessions SET paid_until = paid_until - interval '30 s' WHERE tenant_id = %s"
        execute(database.admin_url, later, org.id)
        went_on = await limited.refresh(token)
        assert (await limited.refresh(went_on.json()["refresh_token"])).status_code == 429, "one was back, and no more"


async def test_it_is_bound_to_its_app_and_its_tenant(org: Organisation, other_org: Organisation) -> None:
    assert await refresh(org, first(org), "identity") is None
    assert await refresh(other_org, first(org)) is None
    second = await refreshed(org, first(org))
    assert await refresh(org, first(org), "identity") is None, "nor is a used one anybody else's to report"
    assert await refresh(org, second) is not None


async def test_what_is_no_refresh_token_refreshes_nothing(org: Organisation) -> None:
    for text in ("", "x", first(org)[:-1], first(org) + "x", new_token("irt", "000000"), new_token("irs", "000000")):
        assert await refresh(org, text) is None
    assert await refresh(org, first(org)) is not None


Verb = Callable[[Stores, str], Awaitable[Any]]
LEAVES: dict[str, tuple[Verb, Verb]] = {
    "suspended": (lambda s, id: s.users.suspend(id, "ana"), lambda s, id: s.users.activate(id, "ana")),
    "deleted": (lambda s, id: s.users.delete(id, "ana"), lambda s, id: s.users.restore(id, "ana")),
    "access": (lambda s, id: s.user_apps.revoke(id, "shop", "ana"), lambda s, id: s.user_apps.grant(id, "shop", "ana")),
}
PAUSES: dict[str, tuple[Verb, Verb]] = {
    "lock": (lambda s, id: s.users.lock(id, "ana"), lambda s, id: s.users.unlock(id, "ana")),
    "app": (lambda s, id: s.apps.disable(id, "shop"), lambda s, id: s.apps.enable(id, "shop")),
    "tenant": (lambda s, id: s.tenants.suspend(id), lambda s, id: s.tenants.activate(id)),
}


@pytest.mark.parametrize("link", [*LEAVES, *PAUSES])
async def test_all_that_a_session_hangs_on_is_judged_each_time(org: Organisation, link: str) -> None:
    """A pause of app, tenant or user it outlasts; who has left comes back to no session."""
    stop, resume = (LEAVES | PAUSES)[link]
    sessions, id = org.stores.sessions, org.signed_in.session.session_id
    second = await refreshed(org, first(org))
    await stop(org.stores, org.id)
    assert await refresh(org, second) is None
    assert await refresh(org, first(org)) is None, "nor is an answer given again"
    assert await sessions.find_live(org.id, id, LIFETIMES) is None
    assert await sessions.find_by_token(org.id, second, LIFETIMES) is None
    await resume(org.stores, org.id)
    live = await sessions.find_live(org.id, id, LIFETIMES)
    assert live == await sessions.find_by_token(org.id, second, LIFETIMES)
    assert (live is None) == (link in LEAVES)
    assert (await refresh(org, second) is None) == (link in LEAVES), "nothing was used up meanwhile"


async def test_a_scope_that_was_taken_away_is_gone_from_the_next_token(people: People) -> None:
    org = people.org
    began = await people.signed_in(scope="orders:read stock:read")
    await org.stores.user_apps.grant(org.id, "shop", "ana", Grant(scopes=("stock:*", "more")))
    found = await refresh(org, began["refresh_token"])
    live = await org.stores.sessions.find_live(org.id, began["session_id"], LIFETIMES)
    assert found
    assert live
    assert found.session.scopes == live.scopes == ("stock:read",)


LIVES = [
    ({"session_idle_s": 60, "session_absolute_s": 3600}, {"refresh_token_s": 1800}, 60, 3600),
    ({"session_idle_s": 7200, "session_absolute_s": 86400}, {"refresh_token_s": 900}, 900, 86400),
    ({"session_idle_s": 7200, "session_absolute_s": 600}, {}, 600, 600),
    ({}, {}, 7 * 86400, 30 * 86400),
]


@pytest.mark.parametrize(("of_tenant", "of_app", "idle_s", "absolute_s"), LIVES)
async def test_a_session_ends_unused_or_at_last(
    people: People, of_tenant: dict[str, int], of_app: dict[str, int], idle_s: int, absolute_s: int
) -> None:
    stores, id = people.org.stores, people.org.id
    await stores.tenants.update(id, TenantChanges(settings=of_tenant))
    await stores.apps.update(id, "shop", AppChanges(settings=of_app | {"access_token_s": 45}))
    began = await people.signed_in()
    assert began["expires_in"] == 45
    for token in (None, began["refresh_token"]):
        if token:
            await refreshed(people.org, token)
        session = await stores.sessions.get(id, "ana", began["session_id"])
        assert round((session.ends_at - session.created_at).total_seconds()) == absolute_s
        assert round((session.expires_at - session.last_used_at).total_seconds()) == idle_s


@pytest.mark.parametrize("column", ["identity.sessions", "identity.refresh_tokens"])
async def test_what_has_expired_refreshes_nothing(org: Organisation, database: Database, column: str) -> None:
    execute(
        database.admin_url, f"UPDATE {column} SET expires_at = now() - interval '1 ms' WHERE tenant_id = %s", org.id
    )
    assert await refresh(org, first(org)) is None


async def test_the_end_of_a_session_is_not_put_off_for_ever(org: Organisation, database: Database) -> None:
    soon = "UPDATE identity.sessions SET ends_at = now() + interval '5 s' WHERE tenant_id = %s RETURNING ends_at"
    [(ends_at,)] = execute(database.admin_url, soon, org.id)
    found = await refresh(org, first(org))
    assert found is not None
    assert found.session.expires_at == ends_at


async def test_ending_and_refreshing_at_once_meet_in_no_circle(people: People, database: Database) -> None:
    """Both take the session first, and its tokens after it. In a transaction, since outside of one a deadlock is tried
    again and goes unnoticed."""
    org = people.org

    async def refreshing() -> Successor | None:
        async with org.stores.transaction() as tx:
            return await tx.sessions.refresh(org.id, "shop", first(org), LIFETIMES)

    with psycopg.connect(database.admin_url) as ending:
        ending.execute("SELECT 1 FROM identity.sessions WHERE tenant_id = %s FOR UPDATE", [org.id])
        task = asyncio.ensure_future(refreshing())
        await asyncio.wait({task}, timeout=0.3)
        assert not task.done(), "it waits for the session"
        await asyncio.to_thread(ending.execute, "DELETE FROM identity.sessions WHERE tenant_id = %s", [org.id])
    assert await task is None


async def test_no_sound_client_is_ever_taken_for_a_thief(people: People) -> None:
    """However many answers are lost: over HTTP, with retries that overlap with what they repeat."""
    chance = random.Random(5)
    token, asked = (await people.signed_in())["refresh_token"], 0
    for _ in range(SOUND_REFRESHES):
        at_once = chance.choice((1, 1, 2, 3))
        while True:
            answers = await asyncio.gather(*(people.refresh(token) for _ in range(at_once)))
            asked += at_once
            assert {answer.status_code for answer in answers} == {200}, asked
            if chance.random() < 0.7:
                break
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1
        token = answers[0].json()["refresh_token"]
