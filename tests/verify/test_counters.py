"""Whatever changes what a verdict says raises its tenant's counter, by name; nothing else does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from identity.app_keys import AppKeyChanges, NewAppKey
from identity.apps import AppChanges, NewApp
from identity.branches import BranchChanges, NewBranch
from identity.key_credits import TopUp
from identity.key_imports import NewImportedKey
from identity.stores import Stores
from identity.tenants import NewTenant, TenantChanges
from identity.users import NewUser, UserChanges
from tests.conftest import Organisation, unique
from tests.server import Database, execute

Do = Callable[[Stores, str, str], Awaitable[object]]
"""In some stores, of an organisation, with the id of its key."""

NAMED = ["n1", "n2"]


def new_app(name: str = "Shop") -> NewApp:
    return NewApp(id="shop", name=name, type="web")


def new_branch(name: str = "Madrid") -> NewBranch:
    return NewBranch(id="mad", code="MAD", name=name, type="store")


async def _with_a_bare_app(stores: Stores, tenant_id: str, _: str) -> None:
    await stores.apps.create(tenant_id, NewApp(id="bare", name="Bare", type="web"))
    await stores.apps.delete(tenant_id, "bare")


KEY, ANA, ALL = {"key"}, {"user ana"}, {"*"}


async def _top_up(stores: Stores, tenant_id: str, _: str) -> None:
    new = NewAppKey.model_validate({"name": "new", "credits": {"remaining": 1}})
    key = await stores.app_keys.issue(tenant_id, "shop", new)
    await stores.key_credits.top_up(tenant_id, "shop", key.id, TopUp(add=1))


RAISED_BY: dict[str, tuple[Do, Do | None, set[str]]] = {
    "app_keys.update": (lambda s, t, k: s.app_keys.update(t, "shop", k, AppKeyChanges(name="new")), None, KEY),
    "app_keys.update_many": (
        lambda s, t, k: s.app_keys.update_many(t, "shop", {k: AppKeyChanges(scopes=())}),
        None,
        KEY,
    ),
    "key_rotations.rotate": (lambda s, t, k: s.key_rotations.rotate(t, "shop", k), None, KEY),
    "key_rotations.rotate with a grace": (lambda s, t, k: s.key_rotations.rotate(t, "shop", k, grace_s=60), None, KEY),
    "app_keys.disable": (lambda s, t, k: s.app_keys.disable(t, "shop", k), None, KEY),
    "app_keys.enable": (
        lambda s, t, k: s.app_keys.enable(t, "shop", k),
        lambda s, t, k: s.app_keys.disable(t, "shop", k),
        KEY,
    ),
    "app_keys.revoke": (lambda s, t, k: s.app_keys.revoke(t, "shop", k), None, KEY),
    "app_keys.delete": (lambda s, t, k: s.app_keys.delete(t, "shop", k), None, KEY),
    "key_imports.create_many": (
        lambda s, t, _: s.key_imports.create_many(
            t, "shop", [NewImportedKey(name="new", hash="ab" * 32, algorithm="sha256-hex")]
        ),
        None,
        ALL,
    ),
    "users.suspend": (lambda s, t, _: s.users.suspend(t, "ana"), None, ANA),
    "users.activate": (lambda s, t, _: s.users.activate(t, "ana"), lambda s, t, _: s.users.suspend(t, "ana"), ANA),
    "users.lock": (lambda s, t, _: s.users.lock(t, "ana"), None, ANA),
    "users.unlock": (lambda s, t, _: s.users.unlock(t, "ana"), lambda s, t, _: s.users.lock(t, "ana"), ANA),
    "users.delete": (lambda s, t, _: s.users.delete(t, "ana"), None, ANA),
    "users.restore": (lambda s, t, _: s.users.restore(t, "ana"), lambda s, t, _: s.users.delete(t, "ana"), ANA),
    "users.purge": (
        lambda s, t, _: s.users.purge(t, "ana", after_s=0),
        lambda s, t, _: s.users.delete(t, "ana"),
        ANA | KEY,
    ),
    "user_apps.revoke": (lambda s, t, _: s.user_apps.revoke(t, "shop", "ana"), None, ANA),
    "user_apps.grant": (
        lambda s, t, _: s.user_apps.grant(t, "shop", "ana"),
        lambda s, t, _: s.user_apps.revoke(t, "shop", "ana"),
        ANA,
    ),
    "user_apps.grant_many": (
        lambda s, t, _: s.user_apps.grant_many(t, "shop", ["ana"]),
        lambda s, t, _: s.user_apps.revoke(t, "shop", "ana"),
        ANA,
    ),
    "apps.disable": (lambda s, t, _: s.apps.disable(t, "shop"), None, ALL),
    "apps.enable": (lambda s, t, _: s.apps.enable(t, "shop"), lambda s, t, _: s.apps.disable(t, "shop"), ALL),
    "apps.delete": (lambda s, t, _: s.apps.delete(t, "shop"), None, ALL),
    "apps.restore": (lambda s, t, _: s.apps.restore(t, "shop"), lambda s, t, _: s.apps.delete(t, "shop"), ALL),
    "apps.purge": (
        lambda s, t, _: s.apps.purge(t, "shop", after_s=0),
        lambda s, t, _: s.apps.delete(t, "shop"),
        ALL,
    ),
    "apps.purge of one that has nothing": (
        lambda s, t, _: s.apps.purge(t, "bare", after_s=0),
        _with_a_bare_app,
        ALL,
    ),
    "branches.disable": (lambda s, t, _: s.branches.disable(t, "shop", "mad"), None, ALL),
    "branches.enable": (
        lambda s, t, _: s.branches.enable(t, "shop", "mad"),
        lambda s, t, _: s.branches.disable(t, "shop", "mad"),
        ALL,
    ),
    "branches.delete": (lambda s, t, _: s.branches.delete(t, "shop", "mad"), None, ALL),
    "branches.restore": (
        lambda s, t, _: s.branches.restore(t, "shop", "mad"),
        lambda s, t, _: s.branches.delete(t, "shop", "mad"),
        ALL,
    ),
    "branches.purge": (
        lambda s, t, _: s.branches.purge(t, "shop", "mad", after_s=0),
        lambda s, t, _: s.branches.delete(t, "shop", "mad"),
        ALL,
    ),
    "tenants.suspend": (lambda s, t, _: s.tenants.suspend(t), None, ALL),
    "tenants.activate": (lambda s, t, _: s.tenants.activate(t), lambda s, t, _: s.tenants.suspend(t), ALL),
    "tenants.delete": (lambda s, t, _: s.tenants.delete(t), None, ALL),
    "tenants.restore": (lambda s, t, _: s.tenants.restore(t), lambda s, t, _: s.tenants.delete(t), ALL),
}
"""What is done, what before it, and what it names."""

QUIET: dict[str, Do] = {
    "key_credits.top_up": _top_up,
    "app_keys.issue": lambda s, t, _: s.app_keys.issue(t, "shop", NewAppKey(name="new", user_id="ana")),
    "app_keys.issue_many": lambda s, t, _: s.app_keys.issue_many(t, "shop", [NewAppKey(name=n) for n in NAMED]),
    "users.create": lambda s, t, _: s.users.create(t, NewUser(username="bo")),
    "users.create_many": lambda s, t, _: s.users.create_many(t, [NewUser(username=n) for n in NAMED]),
    "users.replace": lambda s, t, _: s.users.replace(t, NewUser(id="ana", username="ann")),
    "users.upsert": lambda s, t, _: s.users.upsert(
        t, [NewUser(username="ana", full_name="Ana"), NewUser(username="b")]
    ),
    "users.update": lambda s, t, _: s.users.update(t, "ana", UserChanges(username="ann", metadata={"a": 1})),
    "users.update_many": lambda s, t, _: s.users.update_many(t, {"ana": UserChanges(full_name="Ana")}),
    "users.suspend what is suspended": lambda s, t, _: s.users.suspend(t, "idle"),
    "user_apps.grant for the first time": lambda s, t, _: s.user_apps.grant(t, "shop", "idle"),
    "apps.create": lambda s, t, _: s.apps.create(t, NewApp(id="new", name="New", type="web")),
    "apps.create_many": lambda s, t, _: s.apps.create_many(t, [NewApp(id=n, name=n, type="web") for n in NAMED]),
    "apps.replace": lambda s, t, _: s.apps.replace(t, new_app("New")),
    "apps.upsert": lambda s, t, _: s.apps.upsert(t, [new_app("New")]),
    "apps.update": lambda s, t, _: s.apps.update(t, "shop", AppChanges(name="New")),
    "apps.update_many": lambda s, t, _: s.apps.update_many(t, {"shop": AppChanges(name="New")}),
    "branches.create": lambda s, t, _: s.branches.create(t, "shop", NewBranch(code="N", name="N", type="store")),
    "branches.create_many": lambda s, t, _: s.branches.create_many(
        t, "shop", [NewBranch(code=n, name=n, type="store") for n in NAMED]
    ),
    "branches.replace": lambda s, t, _: s.branches.replace(t, "shop", new_branch("New")),
    "branches.upsert": lambda s, t, _: s.branches.upsert(t, "shop", [new_branch("New")]),
    "branches.update": lambda s, t, _: s.branches.update(t, "shop", "mad", BranchChanges(name="New")),
    "branches.update_many": lambda s, t, _: s.branches.update_many(t, "shop", {"mad": BranchChanges(name="New")}),
    "tenants.create": lambda s, t, _: s.tenants.create(NewTenant(id=unique(), name="New")),
    "tenants.create_many": lambda s, t, _: s.tenants.create_many([NewTenant(id=unique(), name="New")]),
    "tenants.replace": lambda s, t, _: s.tenants.replace(NewTenant(id=t, name="New")),
    "tenants.upsert": lambda s, t, _: s.tenants.upsert([NewTenant(id=t, name="New")]),
    "tenants.update": lambda s, t, _: s.tenants.update(t, TenantChanges(name="New")),
    "tenants.update_many": lambda s, t, _: s.tenants.update_many({t: TenantChanges(name="New")}),
}
READING = ("get", "get_many", "exists", "find", "list", "hold", "held", "has", "rows", "due")
REMOVES_THE_COUNTER = {"tenants.purge", "tenants.begin_purge"}
OF_THE_DEAD = {f"{noun}.sweep" for noun in ("app_keys", "users", "branches", "apps")}
"""By the triggers of deleting; nobody remembers such a key, or one under it."""


def counter(database: Database, tenant_id: str) -> tuple[int, list[str]]:
    [row] = execute(
        database.admin_url, "SELECT n, changes FROM identity.tenant_changes WHERE tenant_id = %s", tenant_id
    )
    found: tuple[int, list[str]] = row
    return found


def gathered(database: Database) -> int:
    [[found]] = execute(database.admin_url, "SELECT count(*) FROM identity.gathered_changes")
    return int(found)


@pytest.mark.parametrize("name", RAISED_BY)
async def test_what_a_verdict_says_raises_the_counter_by_its_name(
    org: Organisation, database: Database, name: str
) -> None:
    do, before, names = RAISED_BY[name]
    if before is not None:
        await before(org.stores, org.id, org.key.id)
    n, _ = counter(database, org.id)
    await do(org.stores, org.id, org.key.id)
    after, changes = counter(database, org.id)
    named = {what.replace(org.key.id, "").strip() for what in changes[len(changes) - (after - n) :]}
    assert named == names
    assert after - n == len(names)
    assert gathered(database) == 0


@pytest.mark.parametrize("name", QUIET)
async def test_what_no_verdict_says_leaves_the_counter_alone(org: Organisation, database: Database, name: str) -> None:
    await org.stores.users.create(org.id, NewUser(id="idle", username="idle"))
    await org.stores.users.suspend(org.id, "idle")
    before = counter(database, org.id)
    await QUIET[name](org.stores, org.id, org.key.id)
    assert counter(database, org.id) == before


def test_every_writing_method_of_the_stores_of_a_verdict_is_tried_here(stores: Stores) -> None:
    nouns = ["tenants", "apps", "branches", "users", "user_apps"]
    nouns += ["app_keys", "key_rotations", "key_credits", "key_imports"]
    found = {
        f"{noun}.{verb}"
        for noun in nouns
        for verb, _ in inspect.getmembers(type(getattr(stores, noun)), inspect.iscoroutinefunction)
        if not verb.startswith("_") and verb.split("_")[0] not in READING
    }
    tried = {name.split()[0] for name in [*RAISED_BY, *QUIET]}
    assert found == tried | REMOVES_THE_COUNTER | OF_THE_DEAD


async def test_a_use_of_a_key_is_no_change(org: Organisation, database: Database) -> None:
    before = counter(database, org.id)
    use = "INSERT INTO identity.key_last_uses (tenant_id, key_id, last_used_at) VALUES (%s, %s, now())"
    execute(database.admin_url, use, org.id, org.key.id)
    assert counter(database, org.id) == before


async def test_a_purged_tenant_has_no_counter(org: Organisation, database: Database) -> None:
    await org.stores.tenants.delete(org.id)
    await org.stores.tenants.purge(org.id, after_s=0)
    found = execute(database.admin_url, "SELECT n FROM identity.tenant_changes WHERE tenant_id = %s", org.id)
    assert found == []
    assert gathered(database) == 0


def test_a_counter_that_rises_moves_no_index(org: Organisation, database: Database) -> None:
    moved = "SELECT pg_stat_get_xact_tuples_hot_updated('identity.tenant_changes'::regclass)"
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE identity.tenant_changes SET n = n + 1 WHERE tenant_id = %s", [org.id])
        assert connection.execute(moved).fetchone() == (1,)
