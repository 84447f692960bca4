"""The counter counts commits, without gaps and as the last lock of a transaction, whoever writes beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest

from identity import migrate
from identity.app_keys import AppKeyChanges, NewAppKey
from identity.settings import Settings
from identity.stores import Stores, open_stores
from identity.users import NewUser, UserChanges
from tests.conftest import Organisation
from tests.server import Database, execute, new_database
from tests.verify.test_counters import counter, gathered

ROW = "SELECT n FROM identity.tenant_changes WHERE tenant_id = %s FOR UPDATE"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
WITHIN_S = 10


@pytest.fixture(scope="module")
async def busy(settings: Settings) -> AsyncIterator[Stores]:
    """Stores over more connections than there are writers."""
    async with open_stores(settings.model_copy(update={"pool_max": 16, "checkout_timeout_s": 10})) as found:
        yield found


async def waiting(database: Database, count: int) -> None:
    until_s = time.monotonic() + WITHIN_S
    while execute(database.admin_url, WAITING, database.name)[0][0] < count:
        assert time.monotonic() < until_s
        await asyncio.sleep(0.01)


async def users(org: Organisation, count: int) -> list[str]:
    ids = [f"u{n}" for n in range(count)]
    await org.stores.users.create_many(org.id, [NewUser(id=id, username=id) for id in ids])
    return ids


async def test_of_eight_writers_each_change_has_its_number(org: Organisation, busy: Stores, database: Database) -> None:
    keys = await busy.app_keys.issue_many(org.id, "shop", [NewAppKey(name="k") for _ in range(8)])
    before, _ = counter(database, org.id)

    async def write(key_id: str) -> None:
        for n in range(25):
            await busy.app_keys.update(org.id, "shop", key_id, AppKeyChanges(name=f"k{n}"))

    await asyncio.gather(*(write(key.id) for key in keys))
    after, changes = counter(database, org.id)
    assert after - before == 8 * 25
    assert len(changes) == 32
    assert set(changes) <= {f"key {key.id}" for key in keys}


async def test_a_writer_does_not_hold_the_counter_before_its_end(org: Organisation, busy: Stores) -> None:
    """Held from the first change on, it would close the circle: one has the counter and wants ana, one has ana."""
    async with asyncio.timeout(WITHIN_S), busy.transaction() as one:
        await one.app_keys.disable(org.id, "shop", org.key.id)
        async with busy.transaction() as other:
            await other.users.suspend(org.id, "ana")
            late = asyncio.create_task(one.users.update(org.id, "ana", UserChanges(full_name="Ana")))
            await asyncio.sleep(0.05)
        assert (await late).status == "suspended"


async def test_two_that_change_two_tenants_crosswise_take_their_counters_in_one_order(
    org: Organisation, other_org: Organisation, busy: Stores, database: Database
) -> None:
    first, second = sorted([org, other_org], key=lambda each: each.id)
    before = [counter(database, each.id)[0] for each in (first, second)]

    async def change(one: Organisation, other: Organisation, what: str) -> None:
        async with busy.transaction() as tx:
            for each in (one, other):
                if what == "key":
                    await tx.app_keys.disable(each.id, "shop", each.key.id)
                else:
                    await tx.users.suspend(each.id, "ana")

    with psycopg.connect(database.admin_url) as holder:
        holder.execute(ROW, [first.id])
        writers = [asyncio.create_task(change(first, second, "key"))]
        await waiting(database, 1)
        writers.append(asyncio.create_task(change(second, first, "user")))
        await waiting(database, 2)
        holder.rollback()
    await asyncio.wait_for(asyncio.gather(*writers), WITHIN_S)
    assert [counter(database, each.id)[0] for each in (first, second)] == [n + 2 for n in before]


async def test_what_a_savepoint_takes_back_is_not_counted(org: Organisation, busy: Stores, database: Database) -> None:
    before, _ = counter(database, org.id)
    async with busy.transaction() as tx:
        async with tx.transaction() as inner:
            await inner.users.suspend(org.id, "ana")
            raise psycopg.Rollback
        await tx.app_keys.disable(org.id, "shop", org.key.id)
    after, changes = counter(database, org.id)
    assert (after - before, changes[-1]) == (1, f"key {org.key.id}")
    async with busy.transaction() as tx, tx.transaction() as inner:
        await inner.users.suspend(org.id, "ana")
        raise psycopg.Rollback
    async with busy.transaction() as tx:
        await tx.users.suspend(org.id, "ana")
        raise psycopg.Rollback
    assert counter(database, org.id) == (after, changes)
    assert gathered(database) == 0


async def test_ten_thousand_rows_of_one_statement_are_one_change(org: Organisation, database: Database) -> None:
    execute(
        database.admin_url,
        "INSERT INTO identity.users (tenant_id, id, username, username_canonical)"
        " SELECT %s, 'u' || n, 'u' || n, 'u' || n FROM generate_series(1, 10000) AS n",
        org.id,
    )
    before, _ = counter(database, org.id)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE identity.users SET status = 'suspended' WHERE tenant_id = %s", [org.id])
        assert connection.execute("SELECT what FROM identity.gathered_changes").fetchall() == [("*",)]
    after, changes = counter(database, org.id)
    assert (after - before, changes[-1]) == (1, "*")


@pytest.mark.parametrize(("count", "at_a_time"), [(8, 8), (8, 4), (9, 9), (10, 5), (12, 1)])
async def test_of_more_than_eight_in_one_transaction_everything_is_named(
    org: Organisation, busy: Stores, database: Database, count: int, at_a_time: int
) -> None:
    ids = await users(org, count)
    before, _ = counter(database, org.id)
    suspend = "UPDATE identity.users SET status = 'suspended' WHERE tenant_id = %s AND id = ANY (%s)"
    with psycopg.connect(database.admin_url) as connection:
        for start in range(0, count, at_a_time):
            connection.execute(suspend, [org.id, ids[start : start + at_a_time]])
    after, changes = counter(database, org.id)
    named = changes[len(changes) - (after - before) :]
    assert sorted(named) == (["*"] if count > 8 else sorted(f"user {id}" for id in ids))


def test_tenants_that_were_there_before_the_counter_are_counted_from_its_beginning() -> None:
    with new_database(empty=True) as database:
        url = database.admin_url
        migrate.apply(url)
        migrate.rollback(url, len(migrate.ids()) - migrate.ids().index("0011_tenant_changes"))
        execute(url, "INSERT INTO identity.tenants (id, name) VALUES ('acme', 'Acme')")
        migrate.apply(url)
        counted = (
            "SELECT id, c.ref = t.ref, n FROM identity.tenants AS t JOIN identity.tenant_changes AS c ON id = tenant_id"
        )
        assert execute(url, counted) == [("acme", True, 0)]
