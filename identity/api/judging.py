"""May this call be, and is there what its path names: judged in one order, before anything is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from identity.api.call import Call
from identity.api.routes import ANY_KEY
from identity.auth import must_address, must_be_platform, must_hold
from identity.db import precondition_failed
from identity.errors import FieldError, IdentityError, Invalid, NotFound


async def judge_tenant(call: Call[Any]) -> None:
    tenant_id = call.path.get("tenant_id")
    if tenant_id is None:
        return
    must_address(call.principal, tenant_id)
    if call.route.leaf == "tenant_id" and (call.route.reaches_tombstones or call.route.method == "PUT"):
        return
    if tenant_id != call.principal.tenant_id:
        await call.stores.tenants.get(tenant_id)


def judge_scope(call: Call[Any]) -> None:
    if call.route.by_oneself and call.principal.is_user(call.path["tenant_id"], call.path["user_id"]):
        return
    if call.route.scope == "keys:verify" and call.principal.may_verify_some:
        return
    if call.route.scope != ANY_KEY:
        must_hold(call.principal, call.route.scope)
    if call.route.platform_only:
        must_be_platform(call.principal)


async def judge_parents(call: Call[Any]) -> None:
    """A tombstone above, or nothing at all, makes everything below it not found."""
    for name in call.route.parents:
        await _get(call, name)


async def judge_leaf(call: Call[Any]) -> None:
    """What the path names and If-Match come before the body: so, where the body is wrong, they are looked at first.
    (Where it is right, the statement itself judges them.)"""
    leaf = call.route.leaf
    if leaf is None or call.route.reaches_tombstones:
        return
    try:
        row = await _get(call, leaf)
    except NotFound:
        if not call.route.makes_leaf:
            raise
        if "if-match" in call.request.headers:
            raise precondition_failed() from None
        return
    if call.if_match is not None and row.updated_at not in call.if_match:
        raise precondition_failed()


async def _get(call: Call[Any], name: str) -> Any:
    stores, path = call.stores, call.path
    tenant_id = path["tenant_id"]
    if name == "tenant_id":
        return await stores.tenants.get(tenant_id)
    if name == "app_id":
        return await stores.apps.get(tenant_id, path["app_id"])
    if name == "branch_id":
        return await stores.branches.get(tenant_id, path["app_id"], path["branch_id"])
    if name == "key_id":
        return await stores.app_keys.get(tenant_id, path["app_id"], path["key_id"])
    if name == "invitation_id":
        return await stores.invitations.get(tenant_id, path["invitation_id"])
    if name in ("factor_id", "session_id"):
        of_user: Any = stores.factors if name == "factor_id" else stores.sessions
        return await of_user.get(tenant_id, path["user_id"], path[name])
    user = await stores.users.get(tenant_id, path["user_id"])
    if name != call.route.leaf or "app_id" not in path:
        return user
    return await stores.user_apps.find(tenant_id, path["app_id"], path["user_id"]) or user


def for_caller(error: IdentityError, call: Call[Any]) -> IdentityError:
    """What the body names and is not there is the body's fault: 400; and a constraint's field is pointed at."""
    fields = call.route.takes.model_fields if call.route.takes else {}
    named = error.code.removesuffix("_not_found") + "_id"
    for name in (named, f"{named}s"):
        if isinstance(error, NotFound) and name in fields and name not in call.path:
            return Invalid(error.code, error.detail, errors=(FieldError(error.detail, pointer=f"/{name}"),))
    return point(error, fields)


def point(error: IdentityError, fields: Iterable[str]) -> IdentityError:
    """At that of the body's fields of which the error is, if it is of one."""
    field = next((name for name in fields if name.rstrip("s") in error.code and name != "id"), None)
    if field is None and error.code.endswith("_id_invalid"):
        field = "id"
    if field and not error.errors and error.status in (400, 409):
        error.errors = (FieldError(error.detail, pointer=f"/{field}"),)
    return error
