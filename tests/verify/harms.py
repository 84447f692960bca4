"""What may befall a key, and what a verification that is asked afterwards must say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from identity.app_keys import AppKeyChanges, IssuedKey, NewAppKey
from identity.verify import Verdict
from tests.conftest import Organisation

EXPIRES_AFTER_S = 0.4


@dataclass(frozen=True)
class Harm:
    """It is done when `do` returns; from then on `shows` holds of each verdict."""

    do: Callable[[Organisation], Awaitable[object]]
    shows: Callable[[Verdict], bool]


def dead(code: str) -> Callable[[Verdict], bool]:
    return lambda verdict: (verdict.valid, verdict.code) == (False, code)


async def _delete_and_purge_user(org: Organisation) -> None:
    await org.stores.users.delete(org.id, "ana")
    await org.stores.users.purge(org.id, "ana", after_s=0)


async def _delete_and_purge_branch(org: Organisation) -> None:
    await org.stores.branches.delete(org.id, "shop", "mad")
    await org.stores.branches.purge(org.id, "shop", "mad", after_s=0)


async def _delete_and_purge_app(org: Organisation) -> None:
    await org.stores.apps.delete(org.id, "shop")
    await org.stores.apps.purge(org.id, "shop", after_s=0)


async def _delete_and_purge_tenant(org: Organisation) -> None:
    await org.stores.tenants.delete(org.id)
    await org.stores.tenants.purge(org.id, after_s=0)


def _change(changes: AppKeyChanges) -> Callable[[Organisation], Awaitable[object]]:
    return lambda org: org.stores.app_keys.update(org.id, "shop", org.key.id, changes)


HARMS = {
    "key revoked": Harm(lambda org: org.stores.app_keys.revoke(org.id, "shop", org.key.id), dead("revoked")),
    "key rotated": Harm(lambda org: org.stores.key_rotations.rotate(org.id, "shop", org.key.id), dead("revoked")),
    "key disabled": Harm(lambda org: org.stores.app_keys.disable(org.id, "shop", org.key.id), dead("disabled")),
    "key deleted": Harm(lambda org: org.stores.app_keys.delete(org.id, "shop", org.key.id), dead("not_found")),
    "key expired": Harm(lambda org: asyncio.sleep(EXPIRES_AFTER_S), dead("expired")),
    "key renamed": Harm(_change(AppKeyChanges(name="new")), lambda verdict: verdict.name == "new"),
    "scopes taken": Harm(_change(AppKeyChanges(scopes=())), lambda verdict: verdict.scopes == ()),
    "metadata changed": Harm(_change(AppKeyChanges(metadata={"a": 1})), lambda verdict: verdict.metadata == {"a": 1}),
    "tenant suspended": Harm(lambda org: org.stores.tenants.suspend(org.id), dead("tenant_suspended")),
    "tenant deleted": Harm(lambda org: org.stores.tenants.delete(org.id), dead("tenant_deleted")),
    "tenant purged": Harm(_delete_and_purge_tenant, dead("not_found")),
    "app disabled": Harm(lambda org: org.stores.apps.disable(org.id, "shop"), dead("app_disabled")),
    "app deleted": Harm(lambda org: org.stores.apps.delete(org.id, "shop"), dead("app_deleted")),
    "app purged": Harm(_delete_and_purge_app, dead("not_found")),
    "branch disabled": Harm(lambda org: org.stores.branches.disable(org.id, "shop", "mad"), dead("branch_disabled")),
    "branch deleted": Harm(lambda org: org.stores.branches.delete(org.id, "shop", "mad"), dead("branch_deleted")),
    "branch purged": Harm(_delete_and_purge_branch, dead("not_found")),
    "owner suspended": Harm(lambda org: org.stores.users.suspend(org.id, "ana"), dead("user_suspended")),
    "owner locked": Harm(lambda org: org.stores.users.lock(org.id, "ana"), dead("user_locked")),
    "owner deleted": Harm(lambda org: org.stores.users.delete(org.id, "ana"), dead("user_deleted")),
    "owner purged": Harm(_delete_and_purge_user, dead("not_found")),
    "access revoked": Harm(lambda org: org.stores.user_apps.revoke(org.id, "shop", "ana"), dead("access_revoked")),
}


async def victim(org: Organisation, name: str) -> IssuedKey:
    """The key that the harm befalls; that of "key expired" dies by itself."""
    if name != "key expired":
        return org.key
    expires_at = datetime.now(UTC) + timedelta(seconds=EXPIRES_AFTER_S)
    return await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="brief", expires_at=expires_at))
