"""Credits of a key, topped up while it is used."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, model_validator

from identity.app_keys import AppKey, AppKeyStore, shown
from identity.db import Store
from identity.errors import Conflict
from identity.fields import Given, unset
from identity.key_limits import Added, Remaining


class TopUp(Given):
    """Exactly one of the two."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    add: Added = unset()
    set: Remaining = unset()

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("give either add or set")
        return self


TOP_UP = f"""
WITH clock AS (
    SELECT clock_timestamp() AS at
), limits AS (
    UPDATE identity.key_limits AS limits
       SET remaining = coalesce(%(set)s, identity.refilled(credits, remaining, refilled_at, at) + %(add)s),
           refilled_at = identity.last_refill(credits, refilled_at, at)
      FROM identity.app_keys AS key, clock
     WHERE limits.tenant_id = %(tenant_id)s AND key_id = %(id)s AND key.tenant_id = limits.tenant_id AND key.id = key_id
       AND app_id = %(app_id)s AND credits IS NOT NULL
    RETURNING limits.tenant_id, key_id, remaining, refilled_at
)
SELECT {shown("limits")}
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND EXISTS (SELECT FROM limits)
"""


class KeyCredits(Store[AppKey]):
    row = AppKey
    noun = "key"

    async def top_up(self, tenant_id: str, app_id: str, id: str, given: TopUp) -> AppKey:
        """Adds credits to those that remain, or sets them, whatever is taken meanwhile."""
        key = await self._first(TOP_UP, tenant_id, app_id=app_id, id=id, add=given.add, set=given.set)
        if key is None:
            await AppKeyStore(self.session).get(tenant_id, app_id, id)
            raise Conflict("no_credits", "This key takes no credits: change it to have some first.")
        return key
