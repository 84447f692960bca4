"""The statements by which rows go out and come in, whichever table's they are: the database makes JSON of them, and
rows of JSON, so that nothing of them changes on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator

from identity.copies.tables import Table
from identity.db import Store
from identity.tenants import Tenant

ROWS_AT_ONCE = 500

SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
NOT_JUDGED_AGAIN = "SET LOCAL identity.copying = 'on'"

FETCH = f"FETCH {ROWS_AT_ONCE} FROM copied"
CLOSE = "CLOSE copied"


def select(table: Table) -> str:
    """A cursor, so that nobody has to hold all rows."""
    return f"""
DECLARE copied NO SCROLL CURSOR FOR
SELECT (SELECT row_to_json(shown) FROM (SELECT {table.shown}) AS shown)::text AS row,
       (SELECT row_to_json(hidden) FROM (SELECT {table.secret}) AS hidden)::text AS secrets
  FROM identity.{table.name}
 WHERE {_tenant(table)} = %(tenant_id)s
 ORDER BY {table.key}
"""


def insert(table: Table, columns: list[str]) -> str:
    """Into those columns that the copy has: of an older version there are fewer, and the others get their defaults."""
    names = ", ".join(columns)
    return f"""
INSERT INTO identity.{table.name} ({_tenant(table)}, {names})
SELECT %(tenant_id)s, {names} FROM json_populate_recordset(NULL::identity.{table.name}, %(rows)s::json)
"""


def _tenant(table: Table) -> str:
    return "id" if table.name == "tenants" else "tenant_id"


class CopyStore(Store[Tenant]):
    """All tables of one tenant, inside one transaction."""

    row = Tenant
    noun = "tenant"

    async def hold_still(self, tenant_id: str) -> None:
        """The first statement: what all others read is one moment's."""
        await self._run(SNAPSHOT, tenant_id)

    async def rows(self, tenant_id: str, table: Table) -> AsyncIterator[tuple[bytes, bytes]]:
        """Each row, and its secrets, in the order of their keys."""
        await self._run(select(table), tenant_id)
        while found := await self._run(FETCH, tenant_id):
            for each in found:
                yield each["row"].encode(), each["secrets"].encode()
        await self._run(CLOSE, tenant_id)

    async def take_as_it_is(self, tenant_id: str) -> None:
        await self._run(NOT_JUDGED_AGAIN, tenant_id)

    async def write(self, tenant_id: str, table: Table, columns: list[str], rows: bytes) -> None:
        """Rows as a JSON array."""
        await self._run(insert(table, columns), tenant_id, role=table.role, rows=rows.decode())
