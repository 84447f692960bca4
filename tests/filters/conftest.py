"""A tenant of people as different as people are, and another of the same."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from identity.stores import Stores
from identity.tenants import NewTenant
from identity.users import NewUser
from tests import server
from tests.conftest import unique

METADATA: list[dict[str, Any]] = [
    {},
    {"department": "Sales", "level": 7, "tags": ["vip", "a"], "vip": True},
    {"department": "sales", "level": 7.0, "tags": "vip", "vip": False},
    {"department": ["Sales", "les"], "level": [1, 7.5], "tags": []},
    {"department": None, "level": "7", "tags": [None], "boss": {}},
    {"department": "", "level": -1, "tags": ["", 7, True], "boss": {"id": "u1"}},
    {"department": "straße", "level": 1e20, "tags": {"vip": 1}, "vip": "true"},
    {"department": "%_'\\\"", "Level": 7, "$ref": "a", "so-far_1": 1, "vip": 1},
    {"level": 0, "tags": ["Sales\\", "'"], "nested": [["vip"], ["Sales", 7]], "vip": [True, 0]},
    {"level": 2**53, "tags": ["😀", "é"], "nested": [[]], "department": [{"a": "Sales"}]},
]
NAMES = ["u1", "Sales", "STRASSE", "straße", "Élan", "a%_", "o'neill", "back\\slash", 'quo"te', "😀 vip"]


async def people(stores: Stores) -> str:
    tenant_id = unique()
    await stores.tenants.create(NewTenant(id=tenant_id, name="Acme"))
    news = [
        NewUser(
            id=f"u{n}",
            username=f"{NAMES[n % 10]}{n}" if n > 9 else f"{NAMES[n]}{'' if n != 3 else '!'}",
            email=None if n % 3 == 0 else f"{n}.sales@example.com",
            full_name=None if n % 4 == 0 else NAMES[-n % 10],
            metadata=METADATA[n % 10],
        )
        for n in range(20)
    ]
    await stores.users.create_many(tenant_id, news)
    await stores.users.suspend(tenant_id, "u5")
    return tenant_id


DAYS = """
UPDATE identity.users SET created_at = timestamptz '2026-01-01T00:00:00Z' + make_interval(days => right(id, 1)::int)
 WHERE tenant_id = ANY (%(tenants)s)
"""


@pytest.fixture(scope="session")
async def acme(stores: Stores, database: server.Database) -> str:
    """Whose people are as those of a neighbour, and came one a day."""
    tenants = [await people(stores), await people(stores)]
    with psycopg.connect(database.admin_url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(DAYS.encode(), {"tenants": tenants})
    return tenants[0]
