"""Over the pool an operation is one round trip, and leaves nothing behind on its connection."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.pq import Trace
from psycopg.rows import tuple_row

from identity.app_keys import AppKeyChanges, NewAppKey
from identity.apps import AppChanges, NewApp
from identity.branches import BranchChanges, BranchFilter, NewBranch
from identity.db import Pool, PoolSession, Scope, open_pool
from identity.errors import Conflict
from identity.stores import Stores
from identity.tenants import NewTenant, TenantChanges, TenantFilter
from identity.users import NewUser, UserChanges, UserFilter
from tests import server
from tests.conftest import Organisation, unique

Operation = Callable[[Stores, Organisation], Awaitable[Any]]

OPERATIONS: dict[str, Operation] = {
    "tenants.create": lambda s, _: s.tenants.create(NewTenant(id=unique(), name="New")),
    "tenants.get": lambda s, org: s.tenants.get(org.id),
    "tenants.get_many": lambda s, org: s.tenants.get_many([org.id]),
    "tenants.find": lambda s, _: s.tenants.find(TenantFilter(domain="no.example.com")),
    "tenants.list": lambda s, _: s.tenants.list(),
    "tenants.update": lambda s, org: s.tenants.update(org.id, TenantChanges(name="New")),
    "tenants.suspend": lambda s, org: s.tenants.suspend(org.id),
    "tenants.delete": lambda s, org: s.tenants.delete(org.id),
    "apps.create_many": lambda s, org: s.apps.create_many(org.id, [new_app("a"), new_app("b")]),
    "apps.get": lambda s, org: s.apps.get(org.id, "shop"),
    "apps.replace": lambda s, org: s.apps.replace(org.id, new_app("shop")),
    "apps.upsert": lambda s, org: s.apps.upsert(org.id, [new_app("shop"), new_app("b")]),
    "apps.update": lambda s, org: s.apps.update(org.id, "shop", AppChanges(name="New")),
    "apps.disable": lambda s, org: s.apps.disable(org.id, "shop"),
    "branches.create": lambda s, org: s.branches.create(org.id, "shop", new_branch("JFK")),
    "branches.find": lambda s, org: s.branches.find(org.id, "shop", BranchFilter(code="MAD")),
    "branches.hold_named": lambda s, org: s.branches.hold_named(org.id, "shop", ids=["mad"], codes=["JFK"]),
    "branches.upsert": lambda s, org: s.branches.upsert(org.id, "shop", [new_branch("MAD"), new_branch("JFK")]),
    "branches.update": lambda s, org: s.branches.update(org.id, "shop", "mad", BranchChanges(name="New")),
    "users.create": lambda s, org: s.users.create(org.id, NewUser(username="bo")),
    "users.create_many": lambda s, org: s.users.create_many(org.id, [NewUser(username=f"n{n}") for n in range(50)]),
    "users.exists": lambda s, org: s.users.exists(org.id, "ana"),
    "users.find": lambda s, org: s.users.find(org.id, UserFilter(email="ANA@example.com")),
    "users.hold_named": lambda s, org: s.users.hold_named(org.id, usernames=["ANA"], emails=["bo@example.com"]),
    "users.list": lambda s, org: s.users.list(org.id),
    "users.update": lambda s, org: s.users.update(org.id, "ana", UserChanges(full_name="Ana")),
    "users.update_many": lambda s, org: s.users.update_many(org.id, {"ana": UserChanges(full_name="Ana")}),
    "users.upsert": lambda s, org: s.users.upsert(org.id, [NewUser(username="ana"), NewUser(username="bo")]),
    "users.lock": lambda s, org: s.users.lock(org.id, "ana"),
    "users.delete": lambda s, org: s.users.delete(org.id, "ana"),
    "user_apps.grant": lambda s, org: s.user_apps.grant(org.id, "shop", "ana"),
    "user_apps.revoke": lambda s, org: s.user_apps.revoke(org.id, "shop", "ana"),
    "user_apps.has_access": lambda s, org: s.user_apps.has_access(org.id, "shop", "ana"),
    "user_apps.list_of_user": lambda s, org: s.user_apps.list_of_user(org.id, "ana"),
    "app_keys.issue": lambda s, org: s.app_keys.issue(org.id, "shop", NewAppKey(name="new")),
    "app_keys.get": lambda s, org: s.app_keys.get(org.id, "shop", org.key.id),
    "app_keys.list": lambda s, org: s.app_keys.list(org.id),
    "key_rotations.rotate": lambda s, org: s.key_rotations.rotate(org.id, "shop", org.key.id),
    "app_keys.update": lambda s, org: s.app_keys.update(org.id, "shop", org.key.id, AppKeyChanges(name="new")),
    "app_keys.disable": lambda s, org: s.app_keys.disable(org.id, "shop", org.key.id),
    "app_keys.revoke": lambda s, org: s.app_keys.revoke(org.id, "shop", org.key.id),
    "app_keys.delete": lambda s, org: s.app_keys.delete(org.id, "shop", org.key.id),
}
SCOPE = Scope(actor="key:abc", request_id="req-1", address="192.0.2.1")
STATE = """
SELECT current_user = session_user,
       concat(current_setting('identity.tenant_id', true), current_setting('identity.actor', true),
              current_setting('identity.request_id', true), current_setting('identity.address', true))
"""


def new_app(id: str) -> NewApp:
    return NewApp(id=id, name=id, type="web")


def new_branch(code: str) -> NewBranch:
    return NewBranch(code=code, name=code, type="store")


@pytest.fixture(scope="module")
async def single(database: server.Database) -> AsyncIterator[Pool]:
    """A pool of one connection, so that the next caller meets the very same."""
    async with open_pool(
        database.service_url,
        min_size=1,
        max_size=1,
        checkout_timeout_s=5,
        statement_timeout_s=5,
        lock_timeout_s=5,
        idle_timeout_s=5,
    ) as pool:
        await pool.wait()
        yield pool


def over(pool: Pool) -> Stores:
    return Stores(PoolSession(pool, 5, SCOPE))


@contextmanager
def wire(connection: psycopg.AsyncConnection[Any]) -> Iterator[list[str]]:
    """What libpq sends meanwhile: the kinds of its messages."""
    sent: list[str] = []
    with tempfile.TemporaryFile("w+") as trace:
        connection.pgconn.trace(os.dup(trace.fileno()))
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        yield sent
        connection.pgconn.untrace()
        trace.seek(0)
        sent += [line.split("\t")[2].strip() for line in trace if line.startswith("F\t")]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_one_round_trip_and_nothing_left_behind(org: Organisation, single: Pool, operation: Operation) -> None:
    async with single.connection() as connection:
        pass
    with wire(connection) as sent:
        await operation(over(single), org)
    assert sent == ["Query"]
    async with single.connection() as again:
        assert again is connection
        assert await (await again.execute(STATE)).fetchone() == (True, "")


async def test_an_operation_that_fails_leaves_nothing_behind_either(org: Organisation, single: Pool) -> None:
    await org.stores.users.create(org.id, NewUser(username="bo"))
    with pytest.raises(Conflict):
        await over(single).users.update(org.id, "ana", UserChanges(username="bo"))
    async with single.connection() as again:
        assert await (await again.execute(STATE)).fetchone() == (True, "")


async def test_the_scope_tells_the_database_who_acts(org: Organisation, stores: Stores) -> None:
    """For whoever audits there: it is set while the statement runs, and only then."""
    told = """SELECT current_user::text, current_setting('identity.tenant_id'), current_setting('identity.actor'),
                     current_setting('identity.request_id'), current_setting('identity.address')"""
    [row] = await stores.acting_as(SCOPE).users._run(told, org.id, tuple_row)
    assert row == ("identity_app", org.id, SCOPE.actor, SCOPE.request_id, SCOPE.address)
