"""Answers kept so that a POST that makes or adds something can be sent again: sealed, and for 24 hours."""

from __future__ import annotations

from datetime import datetime

from identity.db import Row, Store, columns, sweep


class KeptAnswer(Row):
    tenant_id: str
    caller: str
    id: bytes
    request_hash: bytes
    status: int
    answer: bytes
    created_at: datetime
    updated_at: datetime


COLUMNS = columns(KeptAnswer)

# Tried, not awaited: whoever waits must not hold a connection meanwhile.
HOLD = "SELECT pg_try_advisory_xact_lock(%(lock)s) AS held"

FIND = f"""
SELECT {COLUMNS}
  FROM identity.idempotency_keys
 WHERE tenant_id = %(tenant_id)s AND caller = %(caller)s AND id = %(id)s
"""

KEEP = f"""
INSERT INTO identity.idempotency_keys (tenant_id, caller, id, request_hash, status, answer)
VALUES (%(tenant_id)s, %(caller)s, %(id)s, %(request_hash)s, %(status)s, %(answer)s)
RETURNING {COLUMNS}
"""

SWEEP = sweep("idempotency_keys", "tenant_id, caller, id", "created_at", kept="24 hours")


class IdempotencyStore(Store[KeptAnswer]):
    row = KeptAnswer
    noun = "idempotency_key"

    async def hold(self, tenant_id: str, id: bytes) -> bool:
        """Whether this transaction is the one that may act on this key, until its end."""
        lock = int.from_bytes(id[:8], signed=True)
        return bool((await self._run(HOLD, tenant_id, lock=lock))[0]["held"])

    async def find(self, tenant_id: str, caller: str, id: bytes) -> KeptAnswer | None:
        return await self._first(FIND, tenant_id, caller=caller, id=id)

    async def keep(
        self, tenant_id: str, caller: str, id: bytes, request_hash: bytes, status: int, answer: bytes
    ) -> None:
        """Conflict where there is one already: what was done in this transaction is then undone with it."""
        await self._one(KEEP, tenant_id, caller=caller, id=id, request_hash=request_hash, status=status, answer=answer)

    async def sweep(self, *, limit: int) -> int:
        """Takes up to that many rows of all tenants away that are older than 24 hours; how many it took: none also
        while another worker is at it."""
        return await self._swept(SWEEP, limit)
