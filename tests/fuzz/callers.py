"""Who calls, what for, and whether they may: judged in the order of the design."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fuzz.model import Key, Refused, World, living, may_manage


@dataclass(frozen=True)
class Caller:
    """The platform, or whoever holds a key of a tenant."""

    key: Key | None

    @property
    def is_platform(self) -> bool:
        return self.key is None

    def may(self, scope: str) -> bool:
        if self.key is None:
            return True
        held = self.key.scopes if self.key.app_id == "identity" else []
        return may_manage(held, scope)

    def may_verify_some(self) -> bool:
        return self.may("keys:verify") or any(self.may(f"keys:verify/{app_id}") for app_id in ("shop", "till"))


@dataclass(frozen=True)
class Target:
    """What a call is aimed at, as far as it decides whether the call may be."""

    scope: str
    tenant_id: str | None = None
    app_id: str | None = None
    """Above what the path names."""
    platform_only: bool = False
    reaches_tombstone: bool = False
    """Of the tenant itself."""


def judge(world: World, by: Caller, target: Target) -> None:
    """Credential, tenant, scope, what stands above: in this order."""
    judge_credential(world, by)
    tenant = world.tenants.get(target.tenant_id or "")
    if target.tenant_id is not None:
        is_there = target.reaches_tombstone or (tenant is not None and not tenant.is_deleted)
        if not is_there or (by.key is not None and by.key.tenant_id != target.tenant_id):
            raise Refused(404, "tenant_not_found")
    if not by.may(target.scope):
        raise Refused(403, "insufficient_scope")
    if target.platform_only and not by.is_platform:
        raise Refused(403, "platform_only")
    if target.app_id is not None and (tenant is None or living(tenant.apps, target.app_id) is None):
        raise Refused(404, "app_not_found")


def judge_credential(world: World, by: Caller) -> None:
    if by.key is not None:
        code = world.verdict(by.key, {})
        if code != "valid":
            raise Refused(401, "invalid_token" if code == "not_found" else code)


def judge_verifier(world: World, by: Caller) -> None:
    judge_credential(world, by)
    if not by.may_verify_some():
        raise Refused(403, "insufficient_scope")
