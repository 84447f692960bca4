"""Resealing: what lies sealed under a secret key that is on its way out is sealed under the one that took its place."""

from __future__ import annotations

from collections.abc import AsyncIterator

from identity.sealing import Resealed
from identity.stores import Stores
from identity.tenants import TenantFilter

TENANTS_AT_ONCE = 500


async def reseal(stores: Stores, secret_keys: tuple[bytes, ...]) -> Resealed:
    """Signing keys, and second factors of all tenants, also of deleted ones: they may come back. The first key seals;
    again, it does nothing more."""
    done = await stores.signing_keys.reseal(secret_keys)
    async for tenant_id in _tenants(stores):
        done += await stores.factors.reseal(tenant_id, secret_keys)
    return done


async def _tenants(stores: Stores) -> AsyncIterator[str]:
    for deleted in (False, True):
        after: str | None = ""
        while after is not None:
            page = await stores.tenants.list(TenantFilter(deleted=deleted), after=after, limit=TENANTS_AT_ONCE)
            for tenant in page.items:
                yield tenant.id
            after = page.next
