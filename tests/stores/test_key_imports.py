"""What the database holds of imported keys by itself, and imports that meet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from secrets import token_hex
from shutil import copy

import psycopg
import pytest

from identity import migrate
from identity.apps import IDENTITY
from identity.key_imports import NewImportedKey
from identity.key_limits import Credits
from identity.stores import Stores
from tests.conftest import Organisation
from tests.operation.rows import fill, rows
from tests.server import Database, execute, new_database


def news(count: int) -> list[NewImportedKey]:
    return [NewImportedKey(name=f"till {n}", hash=token_hex(32), algorithm="sha256-hex") for n in range(count)]


async def test_the_database_takes_no_imported_key_of_identity(anywhere: Stores, org: Organisation) -> None:
    [verdict] = await anywhere.key_imports.create_many(org.id, IDENTITY, news(1))
    assert (verdict.status, verdict.code) == ("invalid", "protected")


async def test_an_imported_key_has_the_limits_that_were_given(anywhere: Stores, org: Organisation) -> None:
    limits = {"credits": {"remaining": 7}, "rate_limits": [{"name": "minute", "limit": 1, "window_s": 60}]}
    limits |= {"allowed_ips": ["192.0.2.1"], "allowed_routes": [{"methods": ["GET"], "path": "/a"}]}
    given = NewImportedKey.model_validate(news(1)[0].model_dump() | limits)
    [verdict] = await anywhere.key_imports.create_many(org.id, "shop", [given])
    key = await anywhere.app_keys.get(org.id, "shop", str(verdict.key_id))
    assert key.credits == Credits(remaining=7)
    assert (key.rate_limits, key.allowed_ips, key.allowed_routes) == (
        given.rate_limits,
        given.allowed_ips,
        given.allowed_routes,
    )


async def test_an_app_that_is_a_tombstone_takes_none(anywhere: Stores, org: Organisation) -> None:
    await anywhere.apps.delete(org.id, "shop")
    [verdict] = await anywhere.key_imports.create_many(org.id, "shop", news(1))
    assert (verdict.status, verdict.code) == ("invalid", "app_not_found")


@pytest.mark.parametrize("wrong", [0, 1])
async def test_imports_of_the_same_keys_wait_for_each_other_without_a_deadlock(wrong: int, org: Organisation) -> None:
    """Also where something is wrong, and each import goes on by halves."""
    given = news(300)
    orders = [given, given[::-1], given[150:] + given[:150], given[::-1]]
    stray = [NewImportedKey(**news(1)[0].model_dump() | {"user_id": "nobody"}) for _ in range(wrong)]
    found = await asyncio.gather(
        *(org.stores.key_imports.create_many(org.id, "shop", [*order, *stray]) for order in orders)
    )
    created = [verdict for verdicts in found for verdict in verdicts if verdict.status == "created"]
    assert len(created) == len({verdict.key_id for verdict in created}) == 300
    assert all({verdict.status for verdict in verdicts[:300]} <= {"created", "taken"} for verdicts in found)


WRONG = {
    "secret_hash_invalid": "algorithm = 'sha512'",
    "prefix_shown_invalid": "prefix_shown = 'sk_live'",
    "algorithm_invalid": "algorithm = 'md5'",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_row_is_imported_as_a_whole_or_not_at_all(name: str, database: Database, org: Organisation) -> None:
    ours = "WHERE tenant_id = %s AND app_id = 'shop'"
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        execute(database.admin_url, f"UPDATE identity.app_keys SET {WRONG[name]} {ours}", org.id)
    assert refused.value.diag.constraint_name == name


def test_what_was_imported_goes_when_its_migration_is_taken_back(tmp_path: Path) -> None:
    """Else it would be taken for what was issued here."""
    with new_database(empty=True) as database:
        ids = [id for id in migrate.ids() if id <= "0016_imported_keys"]
        for id in ids:
            for path in migrate.directory("migrations").glob(f"{id}.*"):
                copy(path, tmp_path)
        migrate.apply(database.admin_url, source=tmp_path)
        fill(database.admin_url)
        ours = len(rows(database.admin_url)["app_keys"])
        execute(
            database.admin_url,
            "INSERT INTO identity.app_keys (tenant_id, id, app_id, prefix, secret_hash, algorithm, name)"
            " VALUES ('acme', repeat('i', 22), 'shop', 'isk', sha512('x'), 'sha512', 'imported')",
        )
        assert migrate.rollback(database.admin_url, source=tmp_path) == [ids[-1]]
        assert len(rows(database.admin_url)["app_keys"]) == ours
