"""/v1/tenants/{tenant_id}/apps/{app_id}/keys and /v1/tenants/{tenant_id}/keys"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import ValidationError

from identity.api.call import Answer, Call
from identity.api.problems import invalid
from identity.api.routes import Table
from identity.app_keys import AppKey, AppKeyChanges, AppKeyFilter, IssuedKey, NewAppKey, Revocation
from identity.apps import IDENTITY
from identity.auth import must_outrank
from identity.db import Page
from identity.errors import Conflict
from identity.key_credits import TopUp
from identity.key_imports import ImportVerdict, ImportVerdicts, KeyImport, NewImportedKey
from identity.key_rotations import Rotation
from identity.stores import Stores

table = Table("keys")

OF_TENANT = "/v1/tenants/{tenant_id}/keys"
OF_APP = "/v1/tenants/{tenant_id}/apps/{app_id}/keys"
ONE = f"{OF_APP}/{{key_id}}"

SELF_ROTATION_GRACE_S = 60
"""A key that rotates itself and loses the answer must be able to try again."""


@asynccontextmanager
async def outranked(call: Call[AppKeyChanges] | Call[Rotation] | Call[TopUp] | Call[None]) -> AsyncIterator[Stores]:
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
    """List the keys of a tenant.

    Without their texts, which nobody can ask for again.
    """
    return await call.stores.app_keys.list(tenant_id, call.where, **call.page)


@table.get(OF_APP, scope="keys:read", answers=Page[AppKey], where=AppKeyFilter)
async def list_keys_of_app(call: Call[None], tenant_id: str, app_id: str) -> Page[AppKey]:
    """List the keys of an app.

    Without their texts, which nobody can ask for again.
    """
    if call.where.app_id not in (None, app_id):
        return Page([], None)
    where = call.where.model_copy(update={"app_id": app_id})
    return await call.stores.app_keys.list(tenant_id, where, **call.page)


@table.post(OF_APP, scope="keys:write", takes=NewAppKey, answers=IssuedKey, raises=("insufficient_rank",))
async def issue_key(call: Call[NewAppKey], tenant_id: str, app_id: str) -> Answer:
    """Issue a key.

    The answer holds its text as `key`, this once. The scopes must be among the app's `allowed_scopes`; of the app
    `identity`, management scopes that the caller holds too.
    """
    if app_id == IDENTITY:
        must_outrank(call.principal, call.body.scopes)
    key = await call.stores.app_keys.issue(tenant_id, app_id, call.body)
    return Answer(201, key, f"{call.request.url.path}/{key.id}")


@table.post(
    f"{OF_APP}/import",
    scope="keys:write",
    takes=KeyImport,
    answers=ImportVerdicts,
    status=200,
    raises=("protected",),
)
async def import_keys(call: Call[KeyImport], tenant_id: str, app_id: str) -> ImportVerdicts:
    """Import keys of another system.

    By the hashes of their texts, up to 1,000, with a verdict for each: one that is wrong does not spoil the others.
    Who holds such a key goes on using it: it is verified like any other, and rotating it makes a key of ours. Never
    into the app `identity`.
    """
    if app_id == IDENTITY:
        raise Conflict("protected", "Keys of the app identity are issued here alone.")
    good: dict[int, NewImportedKey] = {}
    found: dict[int, ImportVerdict] = {}
    for ordinal, given in enumerate(call.body.keys):
        try:
            good[ordinal] = NewImportedKey.model_validate_json(json.dumps(given), strict=True, extra="forbid")
        except ValidationError as error:
            found[ordinal] = _invalid(ordinal, error)
    verdicts = await call.stores.key_imports.create_many(
        tenant_id, app_id, list(good.values()), dry_run=call.body.dry_run
    )
    found |= {n: verdict.model_copy(update={"ordinal": n}) for n, verdict in zip(good, verdicts, strict=True)}
    return ImportVerdicts(items=tuple(found[n] for n in sorted(found)))


def _invalid(ordinal: int, error: ValidationError) -> ImportVerdict:
    wrong = "; ".join(
        f"{each.pointer.lstrip('/')}: {each.detail}" if each.pointer else each.detail for each in invalid(error).errors
    )
    return ImportVerdict(
        ordinal=ordinal, status="invalid", code="invalid_request", detail=f"Not as it should be: {wrong}."
    )


@table.get(ONE, scope="keys:read", answers=AppKey)
async def get_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    """Get a key."""
    return await call.stores.app_keys.get(tenant_id, app_id, key_id)


@table.patch(ONE, scope="keys:write", takes=AppKeyChanges, answers=AppKey, raises=("insufficient_rank",))
async def update_key(call: Call[AppKeyChanges], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    """Update a key.

    A JSON Merge Patch. Type, environment, branch and owner stay as they were issued.
    """
    async with outranked(call) as stores:
        if app_id == IDENTITY and "scopes" in call.body.model_fields_set:
            must_outrank(call.principal, call.body.scopes)
        return await stores.app_keys.update(tenant_id, app_id, key_id, call.body, if_match=call.if_match)


@table.delete(ONE, scope="keys:write", answers=AppKey)
async def delete_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> Answer:
    """Delete a key.

    For good: a key has no tombstone.
    """
    return call.deleted(await call.stores.app_keys.delete(tenant_id, app_id, key_id, if_match=call.if_match))


@table.action(
    f"{ONE}/rotate",
    scope="keys:write",
    takes=Rotation,
    answers=IssuedKey,
    status=201,
    raises=("insufficient_rank", "already_rotated", "key_not_live", "scope_not_allowed"),
)
async def rotate_key(call: Call[Rotation], tenant_id: str, app_id: str, key_id: str) -> Answer:
    """Rotate a key.

    A successor with all that the old key had, its text shown as `key`, this once; the old key lives on for
    `grace_s`. A key that rotates itself lives on for a minute at least. PATCH `expires_at` of the old key to end its
    grace or to prolong it. To revoke the successor while the old key lives is the way back: the old one can be rotated
    again, as if for the first time, and until then keeps its `expires_at`. With a grace both keys have a copy of what
    remains of credits and rate limits, so until it ends both may be spent.
    """
    grace_s = call.body.grace_s
    if call.principal.key_id == key_id:
        grace_s = max(grace_s, SELF_ROTATION_GRACE_S)
    async with outranked(call) as stores:
        key = await stores.key_rotations.rotate(tenant_id, app_id, key_id, grace_s=grace_s)
    return Answer(201, key, f"/v1/tenants/{tenant_id}/apps/{app_id}/keys/{key.id}")


@table.post(
    f"{ONE}/credits",
    scope="keys:write",
    takes=TopUp,
    answers=AppKey,
    status=200,
    action=True,
    adds=True,
    raises=("insufficient_rank", "no_credits", "credits_max_reached"),
    called="top-up",
)
async def top_up_key(call: Call[TopUp], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    """Top up a key's credits.

    Adds to what remains, or sets it, without a race against what is taken meanwhile. Moves neither `updated_at` nor
    the ETag. Under an Idempotency-Key it may be sent again, and is added once.
    """
    async with outranked(call) as stores:
        return await stores.key_credits.top_up(tenant_id, app_id, key_id, call.body)


@table.action(f"{ONE}/revoke", scope="keys:write", takes=Revocation, answers=AppKey)
async def revoke_key(call: Call[Revocation], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    """Revoke a key.

    For good. When this returns, the key is dead everywhere. Once more is no error.
    """
    return await call.stores.app_keys.revoke(tenant_id, app_id, key_id, reason=call.body.reason)


@table.action(f"{ONE}/disable", scope="keys:write", answers=AppKey, raises=("status_conflict",))
async def disable_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    """Disable a key.

    It is dead at once, until it is enabled. Once more is no error.
    """
    return await call.stores.app_keys.disable(tenant_id, app_id, key_id)


@table.action(f"{ONE}/enable", scope="keys:write", answers=AppKey, raises=("insufficient_rank", "status_conflict"))
async def enable_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> AppKey:
    """Enable a disabled key.

    It lives again. Once more is no error.
    """
    async with outranked(call) as stores:
        return await stores.app_keys.enable(tenant_id, app_id, key_id)
