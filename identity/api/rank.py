"""The rule of rank by way of other nouns: who wakes what a key of `identity` hangs on, wakes the key."""

from __future__ import annotations

from typing import Any

from identity.api.call import Call
from identity.apps import IDENTITY
from identity.auth import must_outrank


async def must_outrank_owner(call: Call[Any], user_id: str) -> None:
    """The caller holds all that the user and the user's management keys may do, asleep or not."""
    tenant_id = call.path["tenant_id"]
    must_outrank(call.principal, await call.stores.app_keys.held_scopes(tenant_id, user_id=user_id))
    must_outrank(call.principal, await call.stores.user_apps.held_scopes(tenant_id, user_id))


async def must_outrank_branch(call: Call[Any], app_id: str, branch_id: str) -> None:
    """Likewise for the keys that a branch of `identity` binds."""
    if app_id == IDENTITY:
        must_outrank(
            call.principal, await call.stores.app_keys.held_scopes(call.path["tenant_id"], branch_id=branch_id)
        )
