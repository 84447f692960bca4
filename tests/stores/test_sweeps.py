"""What each tenant no longer wants kept goes: old counts, and keys that have been dead for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from itertools import count

import psycopg
import pytest

from identity.api.sweeping import sweep_by_tenant, sweeping
from identity.app_keys import AppKeyFilter, NewAppKey
from identity.apps import NewApp
from identity.branches import NewBranch
from identity.stores import Stores, create_tenant, open_stores
from identity.tenants import NewTenant, TenantChanges
from identity.users import NewUser
from tests.conftest import settings_for
from tests.server import Database, execute, new_database

MODULE = import_module("identity.api.sweeping")
FILL = """
INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
SELECT %s, %s, date_trunc('hour', now()) - make_interval(days => n), 'valid', 1 FROM generate_series(0, 99) AS n
"""
LEFT = "SELECT count(*)::int FROM identity.key_usage WHERE tenant_id = %s"
DIE = "UPDATE identity.app_keys SET {column} = now() - make_interval(days => %s) WHERE id = ANY (%s)"
NUMBERS = count()
MONTH_S = 30 * 86400


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    with new_database() as found:
        yield found


@pytest.fixture(scope="module")
async def stores(own: Database) -> AsyncIterator[Stores]:
    async with open_stores(settings_for(own)) as found:
        yield found


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVERY_S", "BY_TENANT_EVERY_S", "PAUSE_S"):
        monkeypatch.setattr(MODULE, name, 0.01)


async def tenant_with_keys(stores: Stores, keys: int, **settings: int) -> tuple[str, list[str]]:
    id = f"t{next(NUMBERS):03}"
    await create_tenant(stores, NewTenant(id=id, name="T"))
    await stores.tenants.update(id, TenantChanges.model_validate({"settings": settings}))
    await stores.apps.create(id, NewApp(id="shop", name="Shop", type="web"))
    return id, [key.id for key in await stores.app_keys.issue_many(id, "shop", [NewAppKey(name="k")] * keys)]


def left(own: Database, tenant_id: str) -> int:
    found: int = execute(own.admin_url, LEFT, tenant_id)[0][0]
    return found


async def keys_of(stores: Stores, tenant_id: str) -> set[str]:
    return {key.id for key in (await stores.app_keys.list(tenant_id, AppKeyFilter(app_id="shop"), limit=500)).items}


async def test_counts_are_kept_for_as_long_as_each_tenant_says(stores: Stores, own: Database) -> None:
    kept = {}
    for days in (None, 1, 7, 3000):
        id, [key] = await tenant_with_keys(stores, 1, **({} if days is None else {"usage_days": days}))
        execute(own.admin_url, FILL, id, key)
        kept[id] = min(days or 90, 100)
    await sweep_by_tenant(stores.key_usage.sweep, days=90)
    assert {id: left(own, id) for id in kept} == kept


async def test_no_tenant_is_passed_over_where_there_are_many(stores: Stores, own: Database) -> None:
    ids = []
    for _ in range(70):
        id, [key] = await tenant_with_keys(stores, 1, usage_days=98)
        execute(own.admin_url, FILL, id, key)
        ids.append(id)
    assert await sweep_by_tenant(stores.key_usage.sweep, days=90) >= 70
    assert {left(own, id) for id in ids} == {98}


async def test_a_step_takes_no_more_than_its_limit(stores: Stores, own: Database) -> None:
    id, [key] = await tenant_with_keys(stores, 1, usage_days=9)
    execute(own.admin_url, FILL, id, key)
    after = f"{id[:-1]}{chr(ord(id[-1]) - 1)}"
    assert await stores.key_usage.sweep(after=after, limit=50, days=90) == (50, after)
    assert await stores.key_usage.sweep(after=after, limit=50, days=90) == (41, after)
    assert await stores.key_usage.sweep(after=after, limit=50, days=90) == (0, id)
    assert await stores.key_usage.sweep(after=id, limit=50, days=90) == (0, None)


async def test_nor_over_several_tenants(stores: Stores, own: Database) -> None:
    before, _ = await tenant_with_keys(stores, 1)
    for _ in range(2):
        id, [key] = await tenant_with_keys(stores, 1, usage_days=59)
        execute(own.admin_url, FILL, id, key)
    assert await stores.key_usage.sweep(after=before, limit=50, days=90) == (50, before)


async def test_keys_that_were_dead_for_long_go_with_what_is_theirs(stores: Stores, own: Database) -> None:
    id, keys = await tenant_with_keys(stores, 8, keep_dead_keys_days=10)
    alive, revoked, expired, young, expires, disabled, both, late = keys
    execute(own.admin_url, FILL, id, revoked)
    execute(own.admin_url, DIE.format(column="revoked_at"), 11, [revoked])
    execute(own.admin_url, DIE.format(column="expires_at"), 11, [expired, both])
    execute(own.admin_url, DIE.format(column="revoked_at"), 9, [young, both])
    execute(own.admin_url, DIE.format(column="expires_at"), -11, [expires, late])
    execute(own.admin_url, DIE.format(column="disabled_at"), 99, [disabled])
    execute(own.admin_url, DIE.format(column="revoked_at"), 11, [late])
    await sweep_by_tenant(stores.app_keys.sweep, days=90)
    assert await keys_of(stores, id) == {alive, young, expires, disabled}
    assert left(own, id) == 0


async def test_many_dead_keys_of_one_tenant_do_not_change_everything_of_it(stores: Stores, own: Database) -> None:
    id, keys = await tenant_with_keys(stores, 30, keep_dead_keys_days=1)
    execute(own.admin_url, DIE.format(column="revoked_at"), 2, keys[1:])
    await sweep_by_tenant(stores.app_keys.sweep, days=90)
    assert await keys_of(stores, id) == {keys[0]}
    [(changes,)] = execute(own.admin_url, "SELECT changes FROM identity.tenant_changes WHERE tenant_id = %s", id)
    assert set(changes[-29:]) == {f"key {key}" for key in keys[1:]}


STUCK = """
CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE query_canceled; END $$;
CREATE TRIGGER stuck BEFORE DELETE ON identity.{table} FOR EACH ROW WHEN (OLD.tenant_id = '{id}')
    EXECUTE FUNCTION stuck();
"""


@pytest.fixture
def stick(own: Database) -> Iterator[Callable[[str, str], object]]:
    """Makes the rows of one tenant stay, as they do where a step of them takes too long."""
    yield lambda table, id: execute(own.admin_url, STUCK.format(table=table, id=id))
    execute(own.admin_url, "DROP FUNCTION IF EXISTS stuck CASCADE")


@pytest.mark.parametrize("table", ["key_usage", "app_keys"])
async def test_a_tenant_whose_rows_do_not_go_keeps_no_other_from_being_swept(
    table: str, stores: Stores, own: Database, stick: Callable[[str, str], object]
) -> None:
    found = [await tenant_with_keys(stores, 2, usage_days=9, keep_dead_keys_days=9) for _ in range(3)]
    for id, [key, dead] in found:
        execute(own.admin_url, FILL, id, key)
        execute(own.admin_url, DIE.format(column="revoked_at"), 10, [dead])
    (before, _), (stuck, _), (after, _) = found
    stick(table, stuck)
    await sweep_by_tenant(getattr(stores, table).sweep, days=90)
    if table == "key_usage":
        assert [left(own, id) for id in (before, stuck, after)] == [9, 100, 9]
    else:
        assert [len(await keys_of(stores, id)) for id in (before, stuck, after)] == [1, 2, 1]


SWEPT = ("users", "branches", "apps")
AGO = (
    "UPDATE identity.{table} SET deleted_at = now() - make_interval(days => %s) WHERE tenant_id = %s AND id = ANY (%s)"
)


async def tenant_with_tombstones(stores: Stores, own: Database) -> tuple[str, dict[str, list[str]]]:
    """Of each noun one that lives, one that was deleted long ago, and one that was not."""
    id, _ = await tenant_with_keys(stores, 1)
    ids = {table: ["living", "old", "young"] for table in SWEPT}
    for each in ids["users"]:
        await stores.users.create(id, NewUser(id=each, username=each))
        await stores.branches.create(id, "shop", NewBranch(id=each, code=each, name=each, type="store"))
        await stores.apps.create(id, NewApp(id=each, name=each, type="web"))
        await stores.app_keys.issue(id, "shop", NewAppKey(name="k", user_id=each, branch_id=each))
    with psycopg.connect(own.admin_url) as connection:
        for table in SWEPT:
            for days, each in ((31, "old"), (29, "young")):
                connection.execute(AGO.format(table=table).encode(), [days, id, [each]])
    return id, ids


def there(own: Database, table: str, tenant_id: str) -> set[str]:
    found = execute(own.admin_url, f"SELECT id FROM identity.{table} WHERE tenant_id = %s", tenant_id)
    return {id for (id,) in found} - {"shop", "identity"}


@pytest.mark.parametrize("table", SWEPT)
async def test_what_was_deleted_is_purged_after_its_grace(stores: Stores, own: Database, table: str) -> None:
    (one, ids), (other, _) = [await tenant_with_tombstones(stores, own) for _ in range(2)]
    await sweep_by_tenant(getattr(stores, table).sweep, after_s=MONTH_S)
    for id in (one, other):
        assert {each: there(own, each, id) for each in ids} == {
            each: {"living", "young"} if each == table else set(ids[each]) for each in ids
        }
        assert len(await keys_of(stores, id)) == (4 if table == "apps" else 3)


@pytest.mark.parametrize("table", SWEPT)
async def test_one_that_is_restored_meanwhile_stays(stores: Stores, own: Database, table: str) -> None:
    id, _ = await tenant_with_tombstones(stores, own)
    place = (id, "shop", "old") if table == "branches" else (id, "old")
    async with stores.transaction() as tx, asyncio.timeout(1):
        await getattr(tx, table).restore(*place)
        await sweep_by_tenant(getattr(stores, table).sweep, after_s=MONTH_S)
    assert there(own, table, id) == {"living", "old", "young"}


async def test_of_a_tenant_that_is_being_purged_nothing_is_swept(stores: Stores, own: Database) -> None:
    """Its purge takes all of it, in another order."""
    id, ids = await tenant_with_tombstones(stores, own)
    await stores.tenants.delete(id)
    await stores.tenants.begin_purge(id, after_s=0)
    for table in ids:
        await sweep_by_tenant(getattr(stores, table).sweep, after_s=MONTH_S)
    assert {table: there(own, table, id) for table in ids} == {table: set(names) for table, names in ids.items()}


async def test_many_purged_users_of_one_tenant_do_not_change_everything_of_it(stores: Stores, own: Database) -> None:
    id, _ = await tenant_with_keys(stores, 1)
    names = [f"u{n}" for n in range(10)]
    await stores.users.create_many(id, [NewUser(id=name, username=name) for name in names])
    await stores.app_keys.issue_many(id, "shop", [NewAppKey(name="k", user_id=name) for name in names])
    execute(own.admin_url, AGO.format(table="users"), 31, id, names)
    [(before,)] = execute(own.admin_url, "SELECT n FROM identity.tenant_changes WHERE tenant_id = %s", id)
    await sweep_by_tenant(stores.users.sweep, after_s=MONTH_S)
    [(n, changes)] = execute(own.admin_url, "SELECT n, changes FROM identity.tenant_changes WHERE tenant_id = %s", id)
    assert n - before == 20
    assert "*" not in changes[-20:]


async def test_few_keys_go_at_once_since_their_counts_go_with_them(stores: Stores, own: Database) -> None:
    before, _ = await tenant_with_keys(stores, 1)
    for _ in range(5):
        _, keys = await tenant_with_keys(stores, 8, keep_dead_keys_days=1)
        execute(own.admin_url, DIE.format(column="revoked_at"), 2, keys)
    assert [(await stores.app_keys.sweep(after=before, limit=500, days=90)).rows for _ in range(3)] == [20, 20, 0]


@pytest.mark.parametrize("noun", ["key_usage", "app_keys"])
async def test_one_sweeps_at_a_time(stores: Stores, noun: str) -> None:
    async with stores.transaction() as tx:
        assert (await getattr(tx, noun).sweep(after="", limit=1, days=3000)).after is not None
        assert await getattr(stores, noun).sweep(after="", limit=1, days=3000) == (0, None)


async def test_it_is_done_in_the_background(stores: Stores, own: Database) -> None:
    id, [key, dead] = await tenant_with_keys(stores, 2)
    execute(own.admin_url, FILL, id, key)
    execute(own.admin_url, DIE.format(column="revoked_at"), 91, [dead])
    async with sweeping(stores, purge_after_s=MONTH_S):
        async with asyncio.timeout(20):
            while left(own, id) != 90 or await keys_of(stores, id) != {key}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_it_ends_also_where_a_cancellation_is_lost(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, lost = asyncio.Event(), False

    async def loses_the_first(_: object) -> int:
        nonlocal lost
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if lost:
                raise
            lost = True
        return 0

    monkeypatch.setattr(MODULE, "sweep_over_all", loses_the_first)
    before = asyncio.all_tasks()
    async with sweeping(stores, purge_after_s=MONTH_S):
        await asyncio.wait_for(begun.wait(), 20)
    assert not any("_for_ever" in repr(task.get_coro()) for task in asyncio.all_tasks() - before)
