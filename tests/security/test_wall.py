"""Inside one tenant's scope there is no other tenant: no row of it is seen, changed, removed or made."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from identity.apps import NewApp
from identity.branches import NewBranch
from identity.users import NewUser
from tests.conftest import Organisation
from tests.security.wall import DENIED, Connection, acting_as, attempt, enter, of_table, rows_of, tables, use_everything
from tests.server import Database

FOREIGN_KEY_VIOLATION = "23503"
SEEN = "SELECT FROM {table} WHERE {tenant_id} = %s"


@pytest.fixture
def mine(database: Database, org: Organisation) -> str:
    use_everything(database, org)
    return org.id


@pytest.fixture
def theirs(database: Database, other_org: Organisation) -> str:
    use_everything(database, other_org)
    return other_org.id


@pytest.fixture
def trusted(database: Database, mine: str) -> Iterator[Connection]:
    """In my scope, and with every right on every table, so that only the policies stand in between."""
    with acting_as(database.admin_url, None) as connection:
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA identity TO identity_app")
        enter(connection, "identity_app", mine)
        yield connection


@pytest.mark.parametrize("scope", [None, "", "nobody", "*", "%"])
def test_without_a_tenants_scope_there_is_no_row(database: Database, mine: str, theirs: str, scope: str | None) -> None:
    with acting_as(database.service_url, "identity_app", scope) as connection:
        for table in tables(database):
            assert attempt(connection, of_table("SELECT FROM {table}", table)) in (0, DENIED), table


def test_in_a_tenants_scope_there_are_its_rows_alone(database: Database, mine: str, theirs: str) -> None:
    with acting_as(database.service_url, "identity_app", mine) as connection:
        for table in tables(database):
            own = attempt(connection, of_table(SEEN, table), mine)
            assert own != 0, f"{table} is empty, so this proves nothing"
            assert attempt(connection, of_table("SELECT FROM {table}", table)) == own, table


@pytest.mark.parametrize(
    "statement",
    [
        SEEN,
        SEEN + " FOR UPDATE",
        "UPDATE {table} SET created_at = now() WHERE {tenant_id} = %s",
        "DELETE FROM {table} WHERE {tenant_id} = %s",
    ],
)
def test_another_tenants_rows_are_out_of_reach(
    database: Database, trusted: Connection, mine: str, theirs: str, statement: str
) -> None:
    for table in tables(database):
        stays = table == "key_usage" and statement.startswith("DELETE")  # until the tenant is purged
        assert (attempt(trusted, of_table(statement, table), mine) == 0) == stays, f"{table}: this proves nothing"
        assert attempt(trusted, of_table(statement, table), theirs) == 0, table


def test_a_row_cannot_be_moved_to_another_tenant(
    database: Database, trusted: Connection, mine: str, theirs: str
) -> None:
    move = "UPDATE {table} SET {tenant_id} = %s WHERE {tenant_id} = %s"
    for table in tables(database):
        assert attempt(trusted, of_table(move, table), theirs, mine) == DENIED, table


def test_a_row_cannot_be_made_for_another_tenant(
    database: Database, trusted: Connection, mine: str, theirs: str
) -> None:
    copy = "INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s)"
    with psycopg.connect(database.admin_url) as admin:
        rows = {table: rows_of(admin, table, theirs) for table in tables(database)}
    for table, found in rows.items():
        assert attempt(trusted, of_table(copy, table), Jsonb(found)) == DENIED, table
        moved = [row | {"id" if table == "tenants" else "tenant_id": mine} for row in found]
        assert attempt(trusted, of_table(copy, table), Jsonb(moved)) != DENIED, f"{table}: this proves nothing"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("branches", "app_id"),
        ("user_apps", "app_id"),
        ("user_apps", "user_id"),
        ("app_keys", "app_id"),
        ("app_keys", "branch_id"),
        ("app_keys", "user_id"),
        ("key_last_uses", "key_id"),
    ],
)
async def test_a_foreign_key_cannot_point_into_another_tenant(
    database: Database, mine: str, other_org: Organisation, table: str, column: str
) -> None:
    stores, theirs = other_org.stores, other_org.id
    await stores.apps.create(theirs, NewApp(id="theirs", name="Theirs", type="web"))
    await stores.branches.create(theirs, "shop", NewBranch(id="theirs", code="T", name="Theirs", type="store"))
    await stores.users.create(theirs, NewUser(id="theirs", username="theirs"))
    id = other_org.key.id if column == "key_id" else "theirs"
    move = sql.SQL("UPDATE {} SET {} = %s WHERE tenant_id = %s")
    with psycopg.connect(database.admin_url) as admin:
        statement = move.format(sql.Identifier("identity", table), sql.Identifier(column))
        assert attempt(admin, statement, id, mine) == FOREIGN_KEY_VIOLATION
