"""/v1/tenants/{tenant_id}/apps/{app_id}/keys and /v1/tenants/{tenant_id}/keys"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from identity.api.call import Answer, Call
from identity.api.routes import Table
from identity.app_keys import AppKey, AppKeyChanges, AppKeyFilter, IssuedKey, NewAppKey, Revocation, Rotation
from identity.apps import IDENTITY
from identity.auth import must_outrank
from identity.db import Page
from identity.stores import Stores

table = Table("keys")

OF_TENANT = "/v1/tenants/{tenant_id}/keys"
OF_APP = "/v1/tenants/{tenant_id}/apps/{app_id}/keys"
ONE = f"{OF_APP}/{{key_id}}"

SELF_ROTATION_GRACE_S = 60
"""A key that rotates itself and loses the answer must be able to try again."""


@asynccontextmanager
async def outranked(call: Call[AppKeyChanges] | Call[Rotation] | Call[None]) -> AsyncIterator[Stores]:
    """Stores in which the caller acts on a key of `identity` that holds no more than the caller: held for as long as it
    takes, or it could gain rank in between."""
    tenant_id, app_id, key_id = (call.path[name] for name in ("tenant_id", "app_id", "key_id"))
    if app_id != IDENTITY:
        yield call.stores
        return
    async with call.stores.transaction() as tx:
        held = await tx.app_keys.hold(tenant_id, app_id, key_id)
        must_outrank(call.principal, held.scopes)
        yield tx


@table.get(OF_TENANT, scope="keys:read", answers=Page[AppKey], where=AppKeyFilter)
async def list_keys_of_tenant(call: Call[None], tenant_id: str) -> Page[AppKey]:
    return await call.stores.app_keys.list(tenant_id, call.where, **call.page)


@table.get(OF_APP, scope="keys:read", answers=Page[AppKey], where=AppKeyFilter)
async def list_keys_of_app(call: Call[None], tenant_id: str, app_id: str) -> Page[AppKey]:
    if call.where.app_id not in (None, app_id):
        return Page([], None)
    where = call.where.model_copy(update={"app_id": app_id})
    return await call.stores.app_keys.list(tenant_id, where, **call.page)


@table.post(OF_APP, scope="keys:write", takes=NewAppKey, answers=IssuedKey)
async def issue_key(call: Call[NewAppKey], tenant_id: str, app_id: str) -> Answer:
    """The key with its text, which is shown this once."""
    if app_id == IDENTITY:
        must_outrank(call.principal, call.body.scopes)
    key = await call.stores.app_keys.issue(tenant_id, app_id, call.body)
    return Answer(201, key, f"{call.request.url.path}/{key.id}")


@table.get(ONE, scope="keys:read", answers=AppKey)
async def get_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    return await call.stores.app_keys.get(tenant_id, app_id, key_id)


@table.patch(ONE, scope="keys:write", takes=AppKeyChanges, answers=AppKey)
async def update_key(call: Call[AppKeyChanges], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    async with outranked(call) as stores:
        if app_id == IDENTITY and "scopes" in call.body.model_fields_set:
            must_outrank(call.principal, call.body.scopes)
        return await stores.app_keys.update(tenant_id, app_id, key_id, call.body, if_match=call.if_match)


@table.delete(ONE, scope="keys:write", answers=AppKey)
async def delete_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> Answer:
    """For good: a key has no tombstone."""
    return call.deleted(await call.stores.app_keys.delete(tenant_id, app_id, key_id, if_match=call.if_match))


@table.action(f"{ONE}/rotate", scope="keys:write", takes=Rotation, answers=IssuedKey, status=201)
async def rotate_key(call: Call[Rotation], tenant_id: str, app_id: str, key_id: str) -> Answer:
    """A successor with its text; the old key lives on for grace_s."""
    grace_s = call.body.grace_s
    if call.principal.key_id == key_id:
        grace_s = max(grace_s, SELF_ROTATION_GRACE_S)
    async with outranked(call) as stores:
        key = await stores.app_keys.rotate(tenant_id, app_id, key_id, grace_s=grace_s)
    return Answer(201, key, f"/v1/tenants/{tenant_id}/apps/{app_id}/keys/{key.id}")


@table.action(f"{ONE}/revoke", scope="keys:write", takes=Revocation, answers=AppKey)
async def revoke_key(call: Call[Revocation], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    """For good. When this returns, the key is dead everywhere."""
    return await call.stores.app_keys.revoke(tenant_id, app_id, key_id, reason=call.body.reason)


@table.action(f"{ONE}/disable", scope="keys:write", answers=AppKey)
async def disable_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    return await call.stores.app_keys.disable(tenant_id, app_id, key_id)


@table.action(f"{ONE}/enable", scope="keys:write", answers=AppKey)
async def enable_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    async with outranked(call) as stores:
        return await stores.app_keys.enable(tenant_id, app_id, key_id)
