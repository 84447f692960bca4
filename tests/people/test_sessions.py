"""Where somebody is signed in: shown, ended, and swept once it has expired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from identity.api.sweeping import sweep_over_all
from identity.apps import IDENTITY
from identity.db import Rollback
from identity.stores import Stores
from identity.user_apps import Grant
from tests.api.problems import told
from tests.conftest import Api, Organisation
from tests.people.conftest import People
from tests.server import Database, execute


async def test_a_session_shows_where_and_when_it_began(people: People) -> None:
    agent = "Mozilla/5.0 (X11) " + "x" * 600
    began = await people.signed_in(scope="orders:read", headers={"User-Agent": agent})
    found = (await people.org.admin.get(f"{people.ana}/sessions")).json()
    assert [each["id"] for each in found["items"]] == [
        people.org.signed_in.session.session_id,
        began["session_id"],
    ]
    last = found["items"][-1]
    assert (last["app_id"], last["address"], last["scopes"]) == ("shop", "127.0.0.1", ["orders:read"])
    assert last["user_agent"] == agent[:500]
    await people.refresh(began["refresh_token"])
    used = (await people.org.admin.get(f"{people.ana}/sessions/{began['session_id']}")).json()
    assert used["last_used_at"] > last["last_used_at"]
    assert used["expires_at"] > last["expires_at"]
    assert used["created_at"] == last["created_at"]


async def test_it_is_ended_alone_or_with_all_others(people: People, other_org: Organisation) -> None:
    ids = [(await people.signed_in())["session_id"] for _ in range(3)]
    path = f"{people.ana}/sessions"
    assert told(await other_org.admin.delete(f"{path}/{ids[0]}")) == (404, "tenant_not_found")
    elsewhere = f"{other_org.path}/users/ana/sessions/{ids[0]}"
    assert told(await other_org.admin.delete(elsewhere)) == (404, "session_not_found")
    assert (await people.org.admin.delete(f"{path}/{ids[0]}")).status_code == 204
    assert told(await people.org.admin.delete(f"{path}/{ids[0]}")) == (404, "session_not_found")
    ended = (await people.org.admin.post(f"{people.ana}/end-sessions")).json()
    assert ended == {
        "sessions_ended": [people.org.signed_in.session.session_id, *ids[1:]],
        "refresh_tokens_ended": 3,
    }
    assert (await people.org.admin.post(f"{people.ana}/end-sessions")).json()["sessions_ended"] == []


async def test_somebody_sees_and_ends_their_own_and_nobody_elses(people: People) -> None:
    await people.org.admin.post(f"{people.org.path}/users", {"id": "bob", "username": "bob"})
    await people.org.stores.user_apps.grant(people.org.id, IDENTITY, "ana", Grant())
    ana = Api(people.org.client, (await people.signed_in(app_id=IDENTITY))["access_token"])
    assert len((await ana.get(f"{people.ana}/sessions")).json()["items"]) == 2
    for path in ("users/bob/sessions", "users/ana", "users"):
        assert told(await ana.get(f"{people.org.path}/{path}")) == (403, "insufficient_scope")
    assert told(await ana.post(f"{people.org.path}/users/bob/end-sessions")) == (403, "insufficient_scope")
    assert (await ana.post(f"{people.ana}/end-sessions")).status_code == 200
    assert told(await ana.get(f"{people.ana}/sessions")) == (401, "invalid_token")


SWEPT: dict[str, tuple[str, Callable[[Stores], Callable[..., Awaitable[int]]]]] = {
    "sessions": ("expires_at = now() - interval '1 s'", lambda s: s.sessions.sweep),
    "refresh_tokens": ("expires_at = now() - interval '1 s'", lambda s: s.sessions.sweep_tokens),
    "password_resets": ("expires_at = now() - interval '1 s'", lambda s: s.passwords.sweep),
    "sign_in_challenges": ("expires_at = now() - interval '1 s'", lambda s: s.challenges.sweep),
    "sign_in_failures": ("failed_at = now() - interval '2 days'", lambda s: s.sign_ins.sweep),
}


@pytest.mark.parametrize("table", SWEPT)
async def test_what_has_expired_is_swept_and_nothing_else(
    people: People, other_org: Organisation, database: Database, table: str
) -> None:
    other = People(other_org)
    for each in (people, other):
        await each.org.admin.post(f"{each.ana}/password-reset")
        await each.sign_in("wrong")
        await each.challenge()
    expire, sweep = SWEPT[table]
    execute(database.admin_url, f"UPDATE identity.{table} SET {expire} WHERE tenant_id = %s", people.org.id)
    stores: Stores = people.org.stores
    assert sum(await asyncio.gather(*(sweep_over_all(sweep(stores)) for _ in "12"))) >= 1
    left = f"SELECT tenant_id FROM identity.{table} WHERE tenant_id = ANY (%s)"
    found: list[Any] = execute(database.admin_url, left, [people.org.id, other_org.id])
    assert found == [(other_org.id,)]


async def test_an_allowance_that_is_whole_again_is_swept(people: People, database: Database) -> None:
    await people.signed_in()
    execute(database.admin_url, "UPDATE identity.sign_in_limits SET paid_until = now() - interval '1 s'")
    await sweep_over_all(people.org.stores.sign_ins.sweep_limits)
    assert execute(database.admin_url, "SELECT 1 FROM identity.sign_in_limits") == []


async def test_a_sweep_waits_for_nobody_who_ends_what_it_sweeps(people: People, database: Database) -> None:
    """Who ends all of a user's sessions takes them in the order of their ids: whoever waited for the first and held the
    second would meet them crosswise."""
    stores: Stores = people.org.stores
    ids = [people.org.signed_in.session.session_id, (await people.signed_in())["session_id"]]
    for id, age_s in zip(ids, (1, 2), strict=True):
        expire = "UPDATE identity.sessions SET expires_at = now() - make_interval(secs => %s) WHERE id = %s"
        execute(database.admin_url, expire, age_s, id)
    async with stores.transaction() as tx, asyncio.timeout(1):
        await tx.sessions.end_by_token(people.org.id, people.org.signed_in.refresh_token)
        await sweep_over_all(stores.sessions.sweep)
        raise Rollback
    left = "SELECT id FROM identity.sessions WHERE id = ANY (%s)"
    assert execute(database.admin_url, left, ids) == [(ids[0],)]
