"""Sign-ins: how many may be tried, by whom and for whom. Counted in the database, for all workers together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from identity.db import Row, Store, columns, sweep

LONGEST_PAUSE_S = 86_400


@dataclass(frozen=True)
class Rate:
    """So many in a minute, and as many at once."""

    subject: bytes
    a_minute: int


class SignInFailures(Row):
    """How often in a row no password was right for somebody."""

    tenant_id: str
    name: str
    failures: int
    paused_until: datetime | None


# The tenant's allowance is touched only where the address has some: or one address could use up everybody's.
_TAKE = """
    INSERT INTO identity.sign_in_limits AS held (subject, paid_until)
    SELECT %({who}_subject)s, clock_timestamp() + make_interval(secs => %({who}_s)s) {where}
        ON CONFLICT (subject) DO UPDATE
       SET paid_until = greatest(held.paid_until, clock_timestamp()) + make_interval(secs => %({who}_s)s)
     WHERE held.paid_until <= clock_timestamp() + make_interval(secs => 60 - %({who}_s)s)
    RETURNING subject
"""

TAKE = f"""
WITH of_address AS ({_TAKE.format(who="address", where="")}),
     of_tenant AS ({_TAKE.format(who="tenant", where="WHERE EXISTS (SELECT FROM of_address)")})
SELECT subject FROM of_tenant
"""

# The pause doubles with each failure after it. What is tried during a pause does not make it longer, and is written all
# the same: it must not be known by the time it takes.
FAILED = """
INSERT INTO identity.sign_in_failures AS known (tenant_id, name, failures, paused_until)
SELECT id, %(name)s, 1, CASE WHEN %(failures)s = 1 THEN clock_timestamp() + make_interval(secs => %(pause_s)s) END
  FROM identity.tenants WHERE id = %(tenant_id)s
    ON CONFLICT (tenant_id, name) DO UPDATE
   SET (failures, failed_at, paused_until) = (
           SELECT n,
                  CASE WHEN is_paused THEN known.failed_at ELSE clock_timestamp() END,
                  CASE WHEN is_paused THEN known.paused_until
                       WHEN n >= %(failures)s THEN clock_timestamp() + make_interval(
                           secs => least(%(longest_s)s, %(pause_s)s * 2 ^ least(n - %(failures)s, 20))) END
             FROM (SELECT is_paused,
                          CASE WHEN is_paused THEN known.failures
                               WHEN greatest(known.failed_at, known.paused_until)
                                    < clock_timestamp() - make_interval(secs => %(window_s)s) THEN 1
                               ELSE known.failures + 1 END AS n
                     FROM (SELECT coalesce(known.paused_until > clock_timestamp(), false) AS is_paused) AS now
                  ) AS counted)
RETURNING tenant_id, name, failures, paused_until
"""

SWEEP = sweep("sign_in_failures", "tenant_id, name", "greatest(failed_at, paused_until)", kept="1 day")

SWEEP_LIMITS = sweep("sign_in_limits", "subject", "paid_until")

FIND = f"""
SELECT {columns(SignInFailures)}
  FROM identity.sign_in_failures
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s
"""


class SignInStore(Store[SignInFailures]):
    row = SignInFailures
    noun = "sign_in"

    async def find(self, tenant_id: str, name: str) -> SignInFailures | None:
        """None where the last password was right."""
        return await self._first(FIND, tenant_id, name=name)

    async def take(self, address: Rate, tenant: Rate) -> bool:
        """One of what an address, and then of what a tenant may try; False where either has none left."""
        given = {
            "address_subject": address.subject,
            "address_s": 60 / address.a_minute,
            "tenant_subject": tenant.subject,
            "tenant_s": 60 / tenant.a_minute,
        }
        return bool(await self._run(TAKE, "", role="identity_platform", **given))

    async def failed(self, tenant_id: str, name: str, *, failures: int, window_s: int, pause_s: int) -> None:
        """One more for that name. From so many on, each within the window after the last, there is a pause."""
        given: dict[str, Any] = {
            "failures": failures,
            "window_s": window_s,
            "pause_s": pause_s,
            "longest_s": LONGEST_PAUSE_S,
        }
        await self._run(FAILED, tenant_id, name=name, **given)

    async def sweep(self, *, limit: int) -> int:
        """Takes up to that many failures of all tenants away that no lockout asks for any more; how many it took."""
        return await self._swept(SWEEP, limit)

    async def sweep_limits(self, *, limit: int) -> int:
        """Likewise allowances that are whole again."""
        return await self._swept(SWEEP_LIMITS, limit)
