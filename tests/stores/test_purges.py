"""A tenant is purged in steps: cut off at any of them it goes on, and nobody ever restores half of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from identity import purging
from identity.api.sweeping import purge_tenants
from identity.cli import app as cli
from identity.errors import Conflict, NotFound
from identity.stores import Stores, create_platform, open_stores
from identity.tenants import NewTenant, TenantFilter
from identity.users import NewUser
from tests.api.problems import told
from tests.conftest import Api, Organisation, make_organisation, settings_for
from tests.forks import forked
from tests.idempotency.stalls import someone_waits
from tests.idempotency.worker import WATCHED, Death
from tests.operation.apps import app
from tests.operation.command import environment
from tests.security.wall import rows_of, tables, use_everything
from tests.server import Database, execute, new_database

FILES = Path(__file__).parents[2] / "migrations"
MONTH_S = 30 * 86400
LITTLE = {
    *("key_last_uses", "key_limits", "key_leaks"),
    *("passwords", "password_resets", "last_logins", "factors", "recovery_codes", "sign_in_challenges"),
    *("idempotency_keys", "tenant_counters", "tenant_changes", "tenants"),
}
"""Of each key, user or tenant some few; of a day's answers what that day brought."""
LONG_AGO = "UPDATE identity.tenants SET deleted_at = now() - interval '99 days' WHERE id = ANY (%s)"
OLD_RESTORE = "UPDATE identity.tenants SET deleted_at = NULL, purged_at = NULL WHERE id = %s"


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    with new_database() as found:
        yield found


@pytest.fixture(scope="module")
async def own_stores(own: Database) -> AsyncIterator[Stores]:
    async with open_stores(settings_for(own)) as found:
        yield found


@pytest.fixture
async def here(own_stores: Stores, own: Database, org: Organisation) -> Organisation:
    """Deleted, with a row in every table, and more than a step's users."""
    found = await make_organisation(own_stores, org.client)
    use_everything(own, found)
    await own_stores.users.create_many(found.id, [NewUser(username=f"user{n}") for n in range(5)])
    await own_stores.tenants.delete(found.id)
    return found


def left(own: Database, tenant_id: str) -> dict[str, int]:
    with psycopg.connect(own.admin_url) as connection:
        found = {table: len(rows_of(connection, table, tenant_id)) for table in tables(own)}
    return {table: rows for table, rows in found.items() if rows}


def let_its_grace_pass(own: Database, *tenant_ids: str) -> None:
    with psycopg.connect(own.admin_url) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(LONG_AGO, [list(tenant_ids)])


async def is_gone_for_everybody(stores: Stores, tenant_id: str) -> None:
    for act in (stores.tenants.restore, stores.tenants.get):
        with pytest.raises(NotFound):
            await act(tenant_id)
    page = await stores.tenants.list(TenantFilter(deleted=True), limit=500)
    assert tenant_id not in [tenant.id for tenant in page.items]


def test_every_table_of_a_tenant_is_known_as_many_or_little(own: Database) -> None:
    assert purging.MANY.keys() | LITTLE == set(tables(own))


async def test_cut_off_after_any_step_it_goes_on_and_never_comes_back(
    own_stores: Stores, own: Database, here: Organisation
) -> None:
    """Each time by another: it begins anew, takes a step and is cut off."""
    tenants, before = own_stores.tenants, left(own, here.id)
    assert before.keys() == set(tables(own))
    await tenants.begin_purge(here.id, after_s=0)
    taken = steps = 0
    while await tenants.rows_to_purge(here.id):
        async with aclosing(tenants.purge_steps(here.id, limit=2)) as cut:
            rows = await anext(cut)
        assert 0 < rows <= 2
        taken, steps = taken + rows, steps + 1
        await is_gone_for_everybody(own_stores, here.id)
        with pytest.raises(Conflict):
            await tenants.create(NewTenant(id=here.id, name="Heir"))
    assert steps > len(purging.MANY)
    assert taken == sum(before[table] for table in purging.MANY)
    await tenants.purge(here.id, after_s=MONTH_S)
    assert left(own, here.id) == {}
    assert (await tenants.create(NewTenant(id=here.id, name="Heir"))).name == "Heir"


async def test_no_step_touches_what_nobody_began_to_purge(
    own_stores: Stores, own: Database, here: Organisation
) -> None:
    before = left(own, here.id)
    assert [rows async for rows in own_stores.tenants.purge_steps(here.id)] == []
    assert left(own, here.id) == before
    assert (await own_stores.tenants.restore(here.id)).deleted_at is None
    assert [rows async for rows in own_stores.tenants.purge_steps(here.id)] == []
    with psycopg.connect(own.admin_url) as connection:
        connection.execute(purging.LAST.encode(), {"tenant_id": here.id})
    assert left(own, here.id) == before


async def test_restored_while_a_purge_waits_it_stays_whole(
    own_stores: Stores, own: Database, here: Organisation
) -> None:
    before = left(own, here.id)
    async with own_stores.transaction() as tx:
        await tx.tenants.restore(here.id)
        purge = asyncio.create_task(own_stores.tenants.purge(here.id, after_s=0))
        await someone_waits(own)
    with pytest.raises(Conflict):
        await purge
    assert left(own, here.id) == before


async def test_restored_while_its_purge_begins_it_is_gone(
    own_stores: Stores, own: Database, here: Organisation
) -> None:
    async with own_stores.transaction() as tx:
        await tx.tenants.begin_purge(here.id, after_s=0)
        restoring = asyncio.create_task(own_stores.tenants.restore(here.id))
        await someone_waits(own)
    with pytest.raises(NotFound):
        await restoring
    await is_gone_for_everybody(own_stores, here.id)


async def test_no_other_statement_brings_it_back(own_stores: Stores, own: Database, here: Organisation) -> None:
    await own_stores.tenants.begin_purge(here.id, after_s=0)
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(own.admin_url, OLD_RESTORE, here.id)


async def test_rolling_the_migration_back_leaves_no_half_to_be_restored(
    own_stores: Stores, own: Database, here: Organisation
) -> None:
    await own_stores.tenants.begin_purge(here.id, after_s=0)
    with psycopg.connect(own.admin_url) as connection:
        connection.execute("SET LOCAL ROLE identity_owner")
        connection.execute((FILES / "0023_purging.rollback.sql").read_bytes())
        assert rows_of(connection, "tenants", here.id) == rows_of(connection, "users", here.id) == []
        connection.rollback()


async def test_two_at_once_do_it_once(own_stores: Stores, own: Database, here: Organisation) -> None:
    await own_stores.tenants.begin_purge(here.id, after_s=0)
    rows = await own_stores.tenants.rows_to_purge(here.id)

    async def purge() -> int:
        return sum([rows async for rows in own_stores.tenants.purge_steps(here.id, limit=1)])

    assert sum(await asyncio.gather(*(purge() for _ in range(4)))) == rows
    assert left(own, here.id) == {}


async def test_who_finds_another_at_it_waits_for_nobody(own_stores: Stores, here: Organisation) -> None:
    await own_stores.tenants.begin_purge(here.id, after_s=0)
    async with own_stores.transaction() as tx, aclosing(tx.tenants.purge_steps(here.id, limit=1)) as first:
        assert await anext(first) == 1
        async with asyncio.timeout(1), aclosing(own_stores.tenants.purge_steps(here.id)) as second:
            assert await anext(second) == 0
            await own_stores.sign_ins.failed(here.id, "bo", failures=9, window_s=9, pause_s=9)


def purge_and_die(at: str, *words: str) -> None:
    WATCHED.set(True)
    Death(int(at), "after").lie_in_wait()
    cli(list(words), prog_name="identity")


async def test_killed_at_any_moment_a_second_run_ends_it(
    own_stores: Stores, own: Database, here: Organisation, tmp_path: Path
) -> None:
    words = ("tenants", "purge", here.id, "--now", "--yes")
    given = environment(database_url=own.service_url)
    killed = 0
    for at in range(14, 60, 9):
        done = await asyncio.to_thread(forked, purge_and_die, [str(at), *words], given, tmp_path)
        if done.returncode != -signal.SIGKILL:
            break
        killed += 1
        if execute(own.admin_url, "SELECT FROM identity.tenants WHERE id = %s AND purged_at IS NULL", here.id) == []:
            await is_gone_for_everybody(own_stores, here.id)
    assert killed >= 2
    last = await asyncio.to_thread(forked, purge_and_die, ["9999", *words], given, tmp_path)
    assert last.returncode == 0 or "tenant_not_found" in last.stderr
    assert left(own, here.id) == {}


async def test_in_the_background_all_go_whose_grace_is_over_or_whose_purge_began(
    own_stores: Stores, own: Database, here: Organisation
) -> None:
    ids = [f"{here.id}-{n}" for n in range(5)]
    living, young, begun, stuck, old = ids
    await own_stores.tenants.create_many([NewTenant(id=id, name="T") for id in ids])
    for id in ids[1:]:
        await own_stores.tenants.delete(id)
    await own_stores.tenants.begin_purge(begun, after_s=0)
    let_its_grace_pass(own, here.id, stuck, old)
    stick = f"""CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE query_canceled; END $$;
                CREATE TRIGGER stuck BEFORE DELETE ON identity.apps FOR EACH ROW WHEN (OLD.tenant_id = '{stuck}')
                EXECUTE FUNCTION stuck();"""
    execute(own.admin_url, stick)
    try:
        await asyncio.gather(*(purge_tenants(own_stores.tenants, after_s=MONTH_S) for _ in range(2)))
    finally:
        execute(own.admin_url, "DROP FUNCTION stuck CASCADE")
    there = {id for id in [here.id, *ids] if left(own, id)}
    assert there == {living, young, stuck}
    await purge_tenants(own_stores.tenants, after_s=MONTH_S)
    assert left(own, stuck) == {}
    assert (await own_stores.tenants.restore(young)).id == young


async def test_a_large_one_is_answered_before_it_is_gone(
    own_stores: Stores, own: Database, here: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("identity.api.tenants"), "PURGING_S", 0.0)
    key = await create_platform(own_stores)
    assert key is not None
    async with app(settings_for(own, purge_after_s=0)) as service:
        platform, path = Api(service.client, key.key), f"/v1/tenants/{here.id}"
        for _ in "12":
            assert (await platform.post(f"{path}/purge")).status_code == 204
            assert await own_stores.tenants.rows_to_purge(here.id) > 0
            assert told(await platform.post(f"{path}/restore")) == (404, "tenant_not_found")
            assert told(await platform.put(path, {"name": "Heir"})) == (409, "tenant_taken")
        await purge_tenants(own_stores.tenants, after_s=MONTH_S)
        assert told(await platform.post(f"{path}/purge")) == (404, "tenant_not_found")
        assert (await platform.put(path, {"name": "Heir"})).status_code == 201
