"""Answers kept so that a POST that makes or adds something can be sent again: sealed, and for 24 hours."""

from __future__ import annotations

from datetime import datetime

from identity.db import Row, Store, columns


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

# Of all tenants: which rows are old enough to go is the policy's to say. By now(), since no index knows a clock that
# runs; and by one worker at a time: two that take overlapping rows, in steps of different sizes, die of deadlock.
SWEEP = """
DELETE FROM identity.idempotency_keys
 WHERE (SELECT pg_try_advisory_xact_lock(hashtextextended('sweep idempotency_keys', 0)))
   AND (tenant_id, caller, id) IN (
       SELECT tenant_id, caller, id FROM identity.idempotency_keys
        WHERE created_at < now() - interval '24 hours'
        ORDER BY created_at
        LIMIT %(limit)s)
RETURNING created_at
"""


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
        return len(await self._run(SWEEP, "", role="identity_platform", limit=limit))
