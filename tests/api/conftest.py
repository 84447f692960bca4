"""Two organisations that requests are aimed at in vain, and a look at all rows of one past the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.auth import SCOPES
from identity.stores import Stores
from identity.tenants import PLATFORM
from tests.conftest import Api, Organisation, make_organisation
from tests.server import Database

Rows = Callable[[str], list[Any]]

# Use of a key is written down later, by nobody's request: it is no change.
OF_TENANTS = """
SELECT relname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
 WHERE relnamespace = 'identity'::regnamespace AND relkind = 'r' AND attname = 'tenant_id'
   AND relname NOT IN ('key_last_uses', 'key_usage')
 ORDER BY relname
"""
DUMP = "SELECT to_jsonb(t) FROM identity.{} AS t WHERE starts_with({}, %(tenant_id)s) ORDER BY to_jsonb(t)"


@pytest.fixture(scope="session")
def rows(database: Database) -> Iterator[Rows]:
    """All that there is of the tenants whose ids begin so, in whichever table."""
    with psycopg.connect(database.admin_url, autocommit=True, options="-c role=identity_owner") as connection:
        columns = [("tenants", "id"), *((name, "tenant_id") for (name,) in connection.execute(OF_TENANTS))]
        dumps = [sql.SQL(DUMP).format(sql.Identifier(table), sql.Identifier(column)) for table, column in columns]
        yield lambda tenant_id: [connection.execute(dump, {"tenant_id": tenant_id}).fetchall() for dump in dumps]


@pytest.fixture(scope="session")
async def target(stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    """Shared by all tests whose requests are refused."""
    return await make_organisation(stores, client)


@pytest.fixture(scope="session")
async def stranger(stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    return await make_organisation(stores, client)


@pytest.fixture(scope="session")
async def holders(target: Organisation, stores: Stores, platform: Api) -> dict[tuple[str, str], Api]:
    """By tenant and scope: a management key that holds just that one scope."""
    found = {}
    for scope in (*SCOPES, "keys:verify/shop"):
        found[target.id, scope] = await target.holding(scope)
        key = await stores.app_keys.issue(PLATFORM, IDENTITY, NewAppKey(name="limited", scopes=(scope,)))
        found[PLATFORM, scope] = Api(target.client, key.key)
    return found


@pytest.fixture
def unchanged(rows: Rows, target: Organisation, holders: object) -> Iterator[None]:
    """Not one row of the target is another after the test than before."""
    before = rows(target.id)
    yield
    assert rows(target.id) == before
