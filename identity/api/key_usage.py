"""/v1/tenants/{tenant_id}/usage, …/apps/{app_id}/usage and …/keys/{key_id}/usage"""

from __future__ import annotations

from identity.api.call import Call
from identity.api.routes import Table
from identity.key_usage import UsageCounts, UsageFilter

table = Table("keys")

OF_TENANT = "/v1/tenants/{tenant_id}"
OF_APP = f"{OF_TENANT}/apps/{{app_id}}"
OF_KEY = f"{OF_APP}/keys/{{key_id}}"


@table.get(f"{OF_TENANT}/usage", scope="keys:read", answers=UsageCounts, where=UsageFilter, called="usage")
async def get_usage_of_tenant(call: Call[None], tenant_id: str) -> UsageCounts:
    """Count how often the keys of a tenant were verified.

    By hour or day, and by what came of it: the verdict's code. The last second or two may not be in yet.
    """
    return await call.stores.key_usage.counts(tenant_id, call.where)


@table.get(f"{OF_APP}/usage", scope="keys:read", answers=UsageCounts, where=UsageFilter, called="usage")
async def get_usage_of_app(call: Call[None], tenant_id: str, app_id: str) -> UsageCounts:
    """Count how often the keys of an app were verified.

    By hour or day, and by what came of it: the verdict's code. Of a deleted key nothing is left.
    """
    return await call.stores.key_usage.counts(tenant_id, call.where, app_id=app_id)


@table.get(f"{OF_KEY}/usage", scope="keys:read", answers=UsageCounts, where=UsageFilter, called="usage")
async def get_usage_of_key(call: Call[None], tenant_id: str, app_id: str, key_id: str) -> UsageCounts:
    """Count how often a key was verified.

    By hour or day, and by what came of it: the verdict's code. A key that was rotated shows here who still uses it.
    """
    return await call.stores.key_usage.counts(tenant_id, call.where, key_id=key_id)
