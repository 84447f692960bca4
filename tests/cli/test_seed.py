"""A demo of any size: the same for the same seed, and made once."""

from __future__ import annotations

import io
import json
import stat
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from identity.cli.demos.plans import APPS, Plan, plans, share
from identity.cli.demos.seed import Seeding
from identity.settings import Settings
from identity.stores import Stores, open_stores
from identity.verify import open_verifier
from tests import server
from tests.conftest import settings_for
from tests.operation.command import identity

SMALL = Plan(seed=1, tenant=0, users=120, branches=20, keys=90)


@pytest.fixture
def place() -> Iterator[Settings]:
    """A database of its own: what a seed makes has always the same names."""
    with server.new_database() as database:
        yield settings_for(database)


@pytest.fixture
async def own(place: Settings) -> AsyncIterator[Stores]:
    async with open_stores(place) as stores:
        yield stores


async def seeded(stores: Stores, plan: Plan) -> Counter[str]:
    seeding = Seeding(stores, plan)
    await seeding.run()
    return seeding.made


def made(counter: Counter[str]) -> tuple[int, int, int, int]:
    return counter["tenants"], counter["users"], counter["branches"], counter["keys"]


async def everything(stores: Stores, tenant_id: str) -> list[Any]:
    users = (await stores.users.list(tenant_id, limit=5000)).items
    branches = [row for app in APPS for row in (await stores.branches.list(tenant_id, app.id, limit=5000)).items]
    access = [row for app in APPS for row in (await stores.user_apps.list_of_app(tenant_id, app.id, limit=5000)).items]
    keys = (await stores.app_keys.list(tenant_id, limit=5000)).items
    return [*users, *branches, *access, *keys]


def without_what_must_differ(rows: list[Any]) -> list[str]:
    times = {"created_at", "updated_at", "granted_at", "disabled_at", "revoked_at"}
    hidden = [
        row.model_dump(mode="json", exclude=times | ({"id"} if hasattr(row, "prefix") else set())) for row in rows
    ]
    return sorted(json.dumps(each, sort_keys=True) for each in hidden)


async def test_the_same_seed_makes_the_same_in_another_database(own: Stores) -> None:
    await seeded(own, SMALL)
    with server.new_database() as other:
        async with open_stores(settings_for(other)) as stores:
            await seeded(stores, SMALL)
            there = await everything(stores, SMALL.tenant_id)
    here = await everything(own, SMALL.tenant_id)
    assert without_what_must_differ(here) == without_what_must_differ(there)
    assert {row.id for row in here if hasattr(row, "prefix")}.isdisjoint(
        row.id for row in there if hasattr(row, "prefix")
    )


async def test_run_again_it_changes_nothing_and_makes_only_what_is_missing(own: Stores) -> None:
    assert made(await seeded(own, SMALL)) == (1, 120, 20, 90)
    before = await everything(own, SMALL.tenant_id)
    assert made(await seeded(own, SMALL)) == (0, 0, 0, 0)
    assert await everything(own, SMALL.tenant_id) == before
    assert made(await seeded(own, Plan(1, 0, users=130, branches=25, keys=100))) == (0, 10, 5, 10)
    after = await everything(own, SMALL.tenant_id)
    assert [row for row in after if row in before] == before


async def test_it_holds_some_of_every_kind(own: Stores) -> None:
    plan = Plan(1, 0, users=600, branches=120, keys=400)
    await seeded(own, plan)
    rows = await everything(own, plan.tenant_id)
    assert {row.status for row in rows if hasattr(row, "username")} == {"active", "suspended", "locked"}
    assert {row.status for row in rows if hasattr(row, "code")} == {"active", "disabled"}
    keys = [row for row in rows if hasattr(row, "prefix")]
    assert {key.type for key in keys} == {"secret", "public", "restricted", "service"}
    assert {key.environment for key in keys} == {"live", "test"}
    assert {bool(key.user_id) for key in keys} == {bool(key.branch_id) for key in keys} == {True, False}
    assert any(key.revoked_at for key in keys)
    assert any(key.disabled_at for key in keys)
    assert len({row.metadata["country"] for row in rows if hasattr(row, "username")}) > 5


@pytest.mark.parametrize(("total", "tenants"), [(0, 1), (1, 3), (10, 3), (5000, 7)])
def test_what_is_asked_for_is_spread_evenly_and_none_is_lost(total: int, tenants: int) -> None:
    shares = [share(total, tenants, n) for n in range(tenants)]
    assert sum(shares) == total
    assert all(one - other in (0, 1) for one, other in pairwise(shares))
    assert [plan.keys for plan in plans(1, tenants, 0, 0, total)] == shares


async def test_the_texts_of_its_keys_verify(place: Settings, own: Stores) -> None:
    texts = io.StringIO()
    await Seeding(own, SMALL, texts=texts).run()
    lines = [json.loads(line) for line in texts.getvalue().splitlines()]
    assert len(lines) == SMALL.keys
    async with open_verifier(place) as verifier:
        codes = Counter([(line["state"], (await verifier.look_up(line["key"])).code) for line in lines])
    dead = {code for (state, code) in codes if state == "live"} - {"valid"}
    assert dead <= {"user_suspended", "user_locked", "branch_disabled"}
    assert codes["live", "valid"] > SMALL.keys * 0.8
    assert {(state, code) for state, code in codes if state != "live"} <= {
        ("revoked", "revoked"),
        ("disabled", "disabled"),
    }


def test_the_texts_of_its_keys_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    with server.new_database() as database:
        arguments = ("seed", "--tenants", "2", "--users", "10", "--branches", "3", "--json", "--keys-to", "keys.jsonl")
        first = identity(*arguments, "--keys", "20", cwd=tmp_path, database_url=database.service_url)
        assert (first.returncode, first.stderr) == (0, "")
        assert json.loads(first.stdout) == {"tenants": 2, "users": 10, "branches": 3, "keys": 20}
        second = identity(*arguments, "--keys", "26", cwd=tmp_path, database_url=database.service_url)
        assert json.loads(second.stdout) == {"tenants": 0, "users": 0, "branches": 0, "keys": 6}
    file = tmp_path / "keys.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["key"] for line in lines}) == 26
    assert Counter(line["tenant_id"] for line in lines) == {"demo-1-1": 13, "demo-1-2": 13}
    assert not any(line["key"] in done.stdout + done.stderr for line in lines for done in (first, second))
