"""What waits for others waits bounded: for a pool, for a lock; and what is tried again, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import psycopg
import pytest

from identity.errors import Unavailable
from identity.users import UserChanges
from tests.conftest import Api, Organisation, settings_for
from tests.operation.apps import WITHIN_S, app, is_unavailable, parts, requests, within
from tests.server import Database, execute, new_database

TERMINATE = """
SELECT application_name, pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name IN ('identity', 'identity lane')
"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
FAILING = """
CREATE SEQUENCE public.tries;
GRANT USAGE ON SEQUENCE public.tries TO PUBLIC;
CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('public.tries') <= TG_ARGV[0]::int THEN RAISE SQLSTATE '{code}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE UPDATE ON identity.users FOR EACH ROW EXECUTE FUNCTION public.fail({times});
"""


@pytest.fixture
def own() -> Iterator[Database]:
    with new_database() as found:
        yield found


@pytest.fixture
async def org(own: Database) -> AsyncIterator[Organisation]:
    """Over one connection beside those for look-ups."""
    async with app(settings_for(own, pool_max=1)) as found:
        yield found


async def waiting(own: Database, count: int) -> None:
    for _ in range(500):
        if execute(own.admin_url, WAITING)[0][0] >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


async def test_an_exhausted_pool_is_503_within_a_second_and_back_by_itself(own: Database, org: Organisation) -> None:
    with psycopg.connect(own.admin_url) as other:
        other.execute("SELECT FROM identity.users WHERE id = 'ana' FOR UPDATE")
        held_up = asyncio.ensure_future(org.admin.patch(f"{org.path}/users/ana", {"full_name": "Ana"}))
        await waiting(own, 1)
        with within(WITHIN_S):
            answers = await asyncio.gather(*(org.admin.get(f"{org.path}/users") for _ in range(20)))
        assert all(map(is_unavailable, answers))
    assert (await held_up).status_code == 200
    assert (await org.admin.get(f"{org.path}/users")).status_code == 200


@pytest.mark.parametrize("what", ["app_keys", "tenant_changes"])
async def test_look_ups_that_wait_are_503_within_a_second_and_back_by_themselves(
    own: Database, org: Organisation, what: str
) -> None:
    """The first of a key, and the proof of one that is remembered."""
    if what == "tenant_changes":
        assert [each.status_code for each in await asyncio.gather(*requests(org))] == [200] * 3
    with psycopg.connect(own.admin_url) as other:
        other.execute(f"LOCK TABLE identity.{what}")
        with within(WITHIN_S):
            answers = await asyncio.gather(*requests(org), *requests(org), *requests(org))
        assert all(map(is_unavailable, answers))
    with within(WITHIN_S):
        assert [each.status_code for each in await asyncio.gather(*requests(org))] == [200] * 3


async def test_a_connection_that_was_closed_while_idle_is_passed_over(own: Database, org: Organisation) -> None:
    for _ in range(3):
        closed = execute(own.admin_url, TERMINATE)
        assert {name for name, _ in closed} == {"identity", "identity lane"}
        assert [each.status_code for each in await asyncio.gather(*requests(org))] == [200] * 3


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize(("times", "tries"), [(2, 3), (9, 3)])
async def test_what_may_succeed_now_is_tried_again_twice(
    own: Database, org: Organisation, code: str, times: int, tries: int
) -> None:
    execute(own.admin_url, FAILING.format(code=code, times=times))
    answer = await org.admin.patch(f"{org.path}/users/ana", {"full_name": "Ana"})
    assert is_unavailable(answer) if times >= tries else answer.status_code == 200
    assert execute(own.admin_url, "SELECT last_value FROM public.tries") == [(tries,)]


@pytest.mark.parametrize("code", ["57014", "55P03", "23514", "57P05"])
async def test_nothing_else_is_tried_again(own: Database, org: Organisation, code: str) -> None:
    execute(own.admin_url, FAILING.format(code=code, times=9))
    await org.admin.patch(f"{org.path}/users/ana", {"full_name": "Ana"})
    assert execute(own.admin_url, "SELECT last_value FROM public.tries") == [(1,)]


async def test_inside_a_transaction_nothing_is_tried_again(own: Database, org: Organisation) -> None:
    execute(own.admin_url, FAILING.format(code="40001", times=1))
    with pytest.raises(Unavailable):
        async with org.stores.transaction() as tx:
            await tx.users.update(org.id, "ana", UserChanges(full_name="Ana"))
    assert execute(own.admin_url, "SELECT last_value FROM public.tries") == [(1,)]


async def test_a_real_deadlock_is_nobodys_error(own: Database, org: Organisation) -> None:
    await org.admin.put(f"{org.path}/users/ben", {"username": "ben"})
    async with await psycopg.AsyncConnection.connect(own.admin_url) as other:
        await other.execute("UPDATE identity.users SET full_name = 'Other' WHERE id = 'ben'")
        changes = {"ana": UserChanges(full_name="Ana"), "ben": UserChanges(full_name="Ben")}
        ours = asyncio.ensure_future(org.stores.users.update_many(org.id, changes))
        await waiting(own, 1)
        with suppress(psycopg.errors.DeadlockDetected):  # ours gives way, and may be back before the other takes it
            await other.execute("UPDATE identity.users SET full_name = 'Other' WHERE id = 'ana'")
    assert [user.full_name for user in await ours] == ["Ana", "Ben"]


async def test_readyz_tells_that_the_database_is_behind(own: Database, org: Organisation) -> None:
    api = Api(org.client, None)
    assert await parts(api) == (200, "ok", "ok", "ok")
    execute(own.admin_url, "INSERT INTO identity.applied_migrations VALUES ('9999_later', 'x')")
    assert await parts(api) == (200, "ok", "ok", "ok")
    execute(own.admin_url, "DELETE FROM identity.applied_migrations WHERE id = '0001_functions'")
    assert await parts(api) == (503, "ok", "behind", "ok")


async def test_readyz_tells_within_a_second_that_keys_cannot_be_looked_up(own: Database, org: Organisation) -> None:
    api = Api(org.client, None)
    with psycopg.connect(own.admin_url) as other:
        other.execute("LOCK TABLE identity.tenant_changes")
        with within(WITHIN_S):
            assert await parts(api) == (503, "ok", "ok", "unavailable")
    assert await parts(api) == (200, "ok", "ok", "ok")
