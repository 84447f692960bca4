"""What the database holds of imported keys by itself, and imports that meet."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from shutil import copy
from typing import Any

import psycopg
import pytest

from identity import migrate
from identity.apps import IDENTITY
from identity.db import Session
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


@dataclass(frozen=True)
class Counting:
    """A session that counts its statements."""

    session: Session
    statements: list[str]

    async def run(self, statement: str, params: dict[str, Any], row_factory: Any) -> list[Any]:
        self.statements.append(statement)
        return await self.session.run(statement, params, row_factory)

    def acting_as(self, scope: Any) -> Counting:
        return self

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Counting]:
        async with self.session.transaction() as session:
            yield Counting(session, self.statements)

    savepoint = transaction


def wrong_news(count: int, **wrong: Any) -> list[NewImportedKey]:
    return [NewImportedKey.model_validate(each.model_dump() | wrong) for each in news(count)]


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize(("noun", "wrong"), [("branch", {"branch_id": "mad"}), ("user", {"user_id": "ana"})])
async def test_a_thousand_without_their_branch_or_user_take_few_statements(
    noun: str, wrong: dict[str, str], dead: bool, org: Organisation
) -> None:
    if dead:
        await (org.stores.branches.delete(org.id, "shop", "mad") if noun == "branch" else _delete_ana(org))
    else:
        wrong = dict.fromkeys(wrong, "nowhere")
    session = Counting(org.stores.session, [])
    given = [*wrong_news(500, **wrong), *news(1), *wrong_news(499, **wrong)]
    found = await Stores(session).key_imports.create_many(org.id, "shop", given)
    assert [each.ordinal for each in found] == list(range(1000))
    assert {each.code for each in found[:500] + found[501:]} == {f"{noun}_not_found"}
    assert found[500].status == "created"
    assert len(session.statements) <= 2


async def _delete_ana(org: Organisation) -> None:
    await org.stores.users.delete(org.id, "ana")


async def test_of_very_many_that_are_wrong_in_themselves_some_are_not_judged(org: Organisation) -> None:
    session = Counting(org.stores.session, [])
    given = wrong_news(1000, type="restricted")
    found = await Stores(session).key_imports.create_many(org.id, "shop", given)
    codes = Counter(each.code for each in found)
    assert codes.keys() == {"restricted_key_too_broad", "not_judged"}
    assert 20 <= codes["restricted_key_too_broad"] <= 40
    assert {each.status for each in found} == {"invalid"}
    assert len(session.statements) <= 100


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
