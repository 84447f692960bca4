"""/v1/tenants"""

from __future__ import annotations

import time
from contextlib import aclosing

from pydantic import Field

from identity.api.call import Answer, Call
from identity.api.routes import Table
from identity.app_keys import IssuedKey
from identity.auth import must_be_platform, must_outrank
from identity.db import Page
from identity.errors import Forbidden
from identity.stores import create_tenant
from identity.tenants import NewTenant, Tenant, TenantChanges, TenantFilter

PURGING_S = 1.0
"""How long a purge is gone on with before it is answered."""

table = Table("tenants")


class TenantWithKey(Tenant):
    """A new tenant, with its first key if one was asked for."""

    admin_key: IssuedKey | None = Field(default=None, exclude_if=lambda key: key is None)


class NewTenantWithKey(NewTenant):
    admin_key: bool = False
    """Whether to make a first key of its app `identity`, with the scope `*`."""


@table.get("/v1/tenants", scope="tenants:read", answers=Page[Tenant], where=TenantFilter)
async def list_tenants(call: Call[None]) -> Page[Tenant]:
    """List tenants.

    All of them for a key of the tenant `platform`; for any other, its own alone.
    """
    if call.principal.is_platform:
        return await call.stores.tenants.list(call.where, **call.page)
    return await call.stores.tenants.list_own(call.principal.tenant_id, call.where, **call.page)


@table.post(
    "/v1/tenants",
    scope="tenants:write",
    takes=NewTenantWithKey,
    answers=TenantWithKey,
    platform_only=True,
    raises=("insufficient_rank",),
)
async def create_a_tenant(call: Call[NewTenantWithKey]) -> Answer:
    """Create a tenant.

    With its app `identity` and, if asked by `admin_key`, a first key of that app with the scope `*`, whose text is
    shown this once.
    """
    if call.body.admin_key:
        must_outrank(call.principal, ["*"])
    new = NewTenant.model_validate(call.body.model_dump(exclude={"admin_key"}, exclude_unset=True))
    tenant, key = await create_tenant(call.stores, new, admin_key=call.body.admin_key)
    return Answer(201, TenantWithKey(**tenant.model_dump(), admin_key=key), f"/v1/tenants/{tenant.id}")


@table.get("/v1/tenants/{tenant_id}", scope="tenants:read", answers=Tenant)
async def get_tenant(call: Call[None], tenant_id: str) -> Tenant:
    """Get a tenant."""
    return await call.stores.tenants.get(tenant_id)


@table.put("/v1/tenants/{tenant_id}", scope="tenants:write", takes=NewTenant, answers=Tenant, raises=("platform_only",))
async def put_tenant(call: Call[NewTenant], tenant_id: str) -> Answer:
    """Create or replace a tenant.

    Only the platform creates. A PUT by others leaves domain, db_dsn, db_schema and the max_* as they are.
    """
    tenants, by_platform = call.stores.tenants, call.principal.is_platform

    async def create() -> Tenant:
        must_be_platform(call.principal)
        return await tenants.create(call.body)

    return await call.put(
        create=create,
        replace=lambda if_match: tenants.replace(call.body, if_match=if_match, by_platform=by_platform),
        exists=lambda: tenants.exists(tenant_id),
    )


@table.patch(
    "/v1/tenants/{tenant_id}", scope="tenants:write", takes=TenantChanges, answers=Tenant, raises=("platform_only",)
)
async def update_tenant(call: Call[TenantChanges], tenant_id: str) -> Tenant:
    """Update a tenant.

    A JSON Merge Patch. Only the platform may name domain, db_dsn, db_schema or the max_*.
    """
    if call.body.is_for_the_platform() and not call.principal.is_platform:
        raise Forbidden(
            "platform_only",
            "Only a key of the tenant platform may change domain, db_dsn, db_schema or max_*.",
        )
    return await call.stores.tenants.update(tenant_id, call.body, if_match=call.if_match)


@table.delete("/v1/tenants/{tenant_id}", scope="tenants:write", answers=Tenant)
async def delete_tenant(call: Call[None], tenant_id: str) -> Answer:
    """Delete a tenant.

    All under it is dead at once; the platform can restore it.
    """
    return call.deleted(await call.stores.tenants.delete(tenant_id, if_match=call.if_match))


@table.action("/v1/tenants/{tenant_id}/suspend", scope="tenants:write", answers=Tenant, platform_only=True)
async def suspend_tenant(call: Call[None], tenant_id: str) -> Tenant:
    """Suspend a tenant.

    Its keys are dead at once, until it is activated. Once more is no error.
    """
    return await call.stores.tenants.suspend(tenant_id)


@table.action("/v1/tenants/{tenant_id}/activate", scope="tenants:write", answers=Tenant, platform_only=True)
async def activate_tenant(call: Call[None], tenant_id: str) -> Tenant:
    """Activate a suspended tenant.

    Its keys live again. Once more is no error.
    """
    return await call.stores.tenants.activate(tenant_id)


@table.action(
    "/v1/tenants/{tenant_id}/restore",
    scope="tenants:write",
    answers=Tenant,
    platform_only=True,
    reaches_tombstones=True,
)
async def restore_tenant(call: Call[None], tenant_id: str) -> Tenant:
    """Restore a deleted tenant.

    With all that was under it; refused where its domain is taken meanwhile.
    """
    return await call.stores.tenants.restore(tenant_id)


@table.action(
    "/v1/tenants/{tenant_id}/purge",
    scope="tenants:write",
    answers=None,
    status=204,
    platform_only=True,
    reaches_tombstones=True,
    raises=("status_conflict", "purge_too_early"),
)
async def purge_tenant(call: Call[None], tenant_id: str) -> Answer:
    """Purge a deleted tenant.

    For good, with all that is under it; not before the grace is over. From the answer on nothing brings it back; what
    there is much of goes in the background, and then the id is free.
    """
    tenants = call.stores.tenants
    await tenants.begin_purge(tenant_id, after_s=call.service.settings.purge_after_s)
    ends_s = time.monotonic() + PURGING_S
    async with aclosing(tenants.purge_steps(tenant_id)) as steps:
        async for rows in steps:
            if not rows or time.monotonic() > ends_s:
                break
    return Answer(204)
