"""Writers of overlapping rows, each in an order of its own, never wait for one another in a circle."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from identity.apps import NewApp
from identity.branches import Branch, BranchChanges, NewBranch
from identity.stores import Stores, create_tenant, open_stores
from identity.tenants import NewTenant
from identity.users import NewUser, User, UserChanges
from tests import server
from tests.conftest import settings_for

CONNECTIONS = 8
ROUNDS = 100
NAMES = [f"n{n:02}" for n in range(24)]

Row = User | Branch
Write = Callable[[Stores, list[str], str], Awaitable[Sequence[Row]]]


async def users_by_name(stores: Stores, names: list[str], mark: str) -> Sequence[Row]:
    return await stores.users.upsert("acme", [NewUser(username=name, full_name=mark) for name in names])


async def users_by_id(stores: Stores, names: list[str], mark: str) -> Sequence[Row]:
    news = [NewUser(id=f"id-{name}", username=f"by-id-{name}", full_name=mark) for name in names]
    return await stores.users.upsert("acme", news)


async def users_changed(stores: Stores, names: list[str], mark: str) -> Sequence[Row]:
    return await stores.users.update_many("acme", {f"id-{name}": UserChanges(full_name=mark) for name in names})


async def branches_by_code(stores: Stores, names: list[str], mark: str) -> Sequence[Row]:
    news = [NewBranch(code=name, name=mark, type="store") for name in names]
    return await stores.branches.upsert("acme", "shop", news)


async def branches_by_id(stores: Stores, names: list[str], mark: str) -> Sequence[Row]:
    news = [NewBranch(id=f"id-{name}", code=f"by-id-{name}", name=mark, type="store") for name in names]
    return await stores.branches.upsert("acme", "shop", news)


async def branches_changed(stores: Stores, names: list[str], mark: str) -> Sequence[Row]:
    return await stores.branches.update_many("acme", "shop", {f"id-{name}": BranchChanges(name=mark) for name in names})


NAMING = (users_by_name, branches_by_code)
"""These meet over names that are new to both, so their names change every few turns."""


@pytest.fixture
def own_database() -> Iterator[server.Database]:
    """Deadlocks are counted by database."""
    with server.new_database() as found:
        yield found


@asynccontextmanager
async def crowded(database: server.Database) -> AsyncIterator[Stores]:
    settings = settings_for(
        database, pool_max=CONNECTIONS, checkout_timeout_s=30, statement_timeout_s=30, lock_timeout_s=30
    )
    async with open_stores(settings) as stores:
        await create_tenant(stores, NewTenant(id="acme", name="Acme"))
        await stores.apps.create("acme", NewApp(id="shop", name="Shop", type="web"))
        yield stores


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param([users_by_id, users_by_name, users_changed], id="users"),
        pytest.param([branches_by_id, branches_by_code, branches_changed], id="branches"),
    ],
)
async def test_no_circle_and_each_row_is_as_one_of_its_last_writers_left_it(
    own_database: server.Database, writes: list[Write]
) -> None:
    last: dict[str, dict[int, Row]] = defaultdict(dict)
    async with crowded(own_database) as stores:
        await writes[0](stores, NAMES, "at first")
        await asyncio.gather(*(write_in_any_order(stores, writes, each, last) for each in range(CONNECTIONS)))
        rows = await everything(stores, writes[0])
    assert len(rows) == len(last)
    assert all(row in last[row.id].values() for row in rows)
    assert deadlocks(own_database) == 0


async def test_two_imports_of_passwords_that_overlap_meet_in_no_circle(own_database: server.Database) -> None:
    ids = [f"id-{name}" for name in NAMES]

    async def import_in_any_order(stores: Stores, who: int) -> None:
        order = random.Random(who)
        for turn in range(ROUNDS // 4):
            await stores.passwords.set_many("acme", dict.fromkeys(order.sample(ids, 12), f"{who} at {turn}"))

    async with crowded(own_database) as stores:
        await users_by_id(stores, NAMES, "at first")
        await asyncio.gather(*(import_in_any_order(stores, each) for each in range(CONNECTIONS)))
    assert deadlocks(own_database) == 0


async def everything(stores: Stores, kind: Write) -> Sequence[Row]:
    if kind is users_by_id:
        return (await stores.users.list("acme", limit=1000)).items
    return (await stores.branches.list("acme", "shop", limit=1000)).items


async def write_in_any_order(stores: Stores, writes: list[Write], who: int, last: dict[str, dict[int, Row]]) -> None:
    order = random.Random(who)
    for turn in range(ROUNDS):
        write, names = order.choice(writes), order.sample(NAMES, 12)
        if write in NAMING:
            names = [f"{name}-{turn // 5}" for name in names]
        for row in await write(stores, names, f"{who} at {turn}"):
            last[row.id][who] = row


def deadlocks(database: server.Database) -> int:
    """Once every connection has gone, and so has told."""
    there = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(200):
        if server.execute(database.admin_url, there) == [(0,)]:
            break
        time.sleep(0.05)
    [(found,)] = server.execute(
        database.admin_url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert isinstance(found, int)
    return found
