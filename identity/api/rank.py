"""The rule of rank by way of other nouns: who wakes what a key of `identity` hangs on, wakes the key."""

from __future__ import annotations

from typing import Any

from identity.api.call import Call
from identity.apps import IDENTITY
from identity.auth import must_outrank
from identity.errors import Forbidden


async def must_outrank_owner(call: Call[Any], user_id: str) -> None:
    """The caller holds all that the user and the user's management keys may do, asleep or not."""
    tenant_id = call.path["tenant_id"]
    must_outrank(call.principal, await call.stores.app_keys.held_scopes(tenant_id, user_id=user_id))
    must_outrank(call.principal, await call.stores.user_apps.held_scopes(tenant_id, user_id))


async def must_be_oneself_or_outrank(call: Call[Any], user_id: str) -> None:
    """Whoever is not that user must outrank them."""
    if not call.principal.is_user(call.path["tenant_id"], user_id):
        await must_outrank_owner(call, user_id)


async def must_be_another_and_outrank(call: Call[Any], user_id: str, instead: str) -> None:
    """Who took somebody's session must not take their account with it: `instead` says how it is done to oneself."""
    if call.principal.is_user(call.path["tenant_id"], user_id):
        raise Forbidden("insufficient_rank", instead)
    await must_outrank_owner(call, user_id)


async def must_outrank_branch(call: Call[Any], app_id: str, branch_id: str) -> None:
    """Likewise for the keys that a branch of `identity` binds."""
    if app_id == IDENTITY:
        must_outrank(
            call.principal, await call.stores.app_keys.held_scopes(call.path["tenant_id"], branch_id=branch_id)
        )
