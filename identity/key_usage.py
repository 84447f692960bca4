"""Usage: how often a key was verified in each hour, by what came of it. Written by identity.verify alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from identity.db import Row, Store, Swept, sweep_by_tenant
from identity.errors import FieldError, Invalid
from identity.fields import Given, Instant

By = Literal["hour", "day"]

MOST = {"hour": timedelta(days=31), "day": timedelta(days=366)}
USUAL = {"hour": timedelta(hours=23), "day": timedelta(days=29)}
"""With the present hour or day a day, or thirty of them."""


class UsageCount(Row):
    at: datetime
    """When the hour or day began, in UTC."""
    code: str
    count: int


class UsageCounts(BaseModel):
    """Hours or days in their order; those without a verification are left out."""

    model_config = ConfigDict(frozen=True)

    items: list[UsageCount]


class UsageFilter(Given):
    """From the hour or day in which `from` lies to before `to`."""

    from_: Instant | None = Field(default=None, alias="from", description="Default: a day before, by days thirty.")
    to: Instant | None = Field(default=None, description="Default: now.")
    by: By = Field(default="hour", description="Hours, up to 31 days of them; or days in UTC, up to 366.")

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        """Where it begins and ends; Invalid where it is no span, or too long a one."""
        end = self.to or now
        start = (self.from_ or end - USUAL[self.by]).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        start = start.replace(hour=0) if self.by == "day" else start
        if start >= end:
            raise _wrong("must be before `to`")
        if end - start > MOST[self.by] + timedelta(days=1):
            raise _wrong(f"must be at most {MOST[self.by].days} days before `to`")
        return start, end


def _wrong(detail: str) -> Invalid:
    return Invalid("invalid_request", f"The parameter from {detail}.", errors=(FieldError(detail, parameter="from"),))


def _counts(which: str) -> str:
    return f"""
SELECT date_trunc(%(by)s, hour, 'UTC') AS at, code, sum(count)::bigint AS count
  FROM identity.key_usage
 WHERE tenant_id = %(tenant_id)s AND hour >= %(start)s AND hour < %(end)s
   {which}
 GROUP BY at, code
 ORDER BY at, code
"""


# A statement each: after an OR the keys of an app would be looked up again for each count.
COUNTS = _counts("")
COUNTS_OF_KEY = _counts("AND key_id = %(key_id)s")
COUNTS_OF_APP = _counts(
    "AND key_id IN (SELECT id FROM identity.app_keys WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s)"
)
COUNTS_OF_USER = _counts(
    "AND key_id IN (SELECT id FROM identity.app_keys WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s)"
)

SWEEP = sweep_by_tenant(
    "key_usage",
    "tenant_id, key_id, hour, code",
    "hour",
    "days => coalesce((settings ->> 'usage_days')::int, %(days)s)",
)


class KeyUsageStore(Store[UsageCount]):
    row = UsageCount
    noun = "key_usage"

    async def counts(
        self,
        tenant_id: str,
        where: UsageFilter = UsageFilter(),
        *,
        app_id: str | None = None,
        key_id: str | None = None,
    ) -> UsageCounts:
        """Of the tenant, of an app of it, or of a key."""
        start, end = where.span(datetime.now(UTC))
        statement = COUNTS
        if key_id is not None:
            statement = COUNTS_OF_KEY
        elif app_id is not None:
            statement = COUNTS_OF_APP
        found = await self._rows(statement, tenant_id, app_id=app_id, key_id=key_id, by=where.by, start=start, end=end)
        return UsageCounts(items=found)

    async def of_user(self, tenant_id: str, user_id: str, *, since: datetime) -> list[UsageCount]:
        """By days, of all keys that the user owns."""
        now = datetime.now(UTC)
        return await self._rows(COUNTS_OF_USER, tenant_id, user_id=user_id, by="day", start=since, end=now)

    async def sweep(self, *, after: str, limit: int, days: int, tenants: int | None = None) -> Swept:
        """Takes up to that many counts away of tenants after that one, older than the days that each keeps them.
        With a limit of 0 it only tells which tenants are next."""
        return await self._swept_by_tenant(SWEEP, after, tenants, limit=limit, days=days)
