"""/v1/tenants/{tenant_id}/apps/{app_id}/users and /v1/tenants/{tenant_id}/users/{user_id}/apps: access."""

from __future__ import annotations

from identity.api.call import Answer, Call
from identity.api.rank import must_outrank_owner
from identity.api.routes import Table
from identity.apps import IDENTITY
from identity.auth import must_outrank
from identity.db import Page
from identity.user_apps import Grant, RevokedUserApp, UserApp, UserAppFilter

table = Table("access")

OF_APP = "/v1/tenants/{tenant_id}/apps/{app_id}/users"
OF_USER = "/v1/tenants/{tenant_id}/users/{user_id}/apps"
ONE = f"{OF_APP}/{{user_id}}"


@table.get(OF_APP, scope="users:read", answers=Page[UserApp], where=UserAppFilter)
async def list_users_of_app(call: Call[None], tenant_id: str, app_id: str) -> Page[UserApp]:
    """List who may use an app.

    Those whose access was revoked too; `status` tells.
    """
    return await call.stores.user_apps.list_of_app(tenant_id, app_id, call.where, **call.page)


@table.get(OF_USER, scope="users:read", answers=Page[UserApp], where=UserAppFilter, called="apps")
async def list_apps_of_user(call: Call[None], tenant_id: str, user_id: str) -> Page[UserApp]:
    """List what a user may use.

    Where access was revoked too; `status` tells.
    """
    return await call.stores.user_apps.list_of_user(tenant_id, user_id, call.where, **call.page)


@table.get(ONE, scope="users:read", answers=UserApp)
async def get_access(call: Call[None], tenant_id: str, app_id: str, user_id: str) -> UserApp:
    """Get a user's access to an app.

    404 where it was never granted; once revoked, its status says so.
    """
    return await call.stores.user_apps.get(tenant_id, app_id, user_id)


@table.put(
    ONE,
    scope="users:write",
    takes=Grant,
    answers=UserApp,
    body_optional=True,
    raises=("insufficient_rank", "scope_not_allowed", "not_a_management_scope"),
)
async def grant_access(call: Call[Grant], tenant_id: str, app_id: str, user_id: str) -> Answer:
    """Grant a user access to an app.

    With `scopes`, what they may do there; left out, those that they have stay, also where access had been revoked. Of
    the app `identity` these are management scopes, and the caller must hold them all, and all that the user has. Once
    more is no error.
    """
    if app_id == IDENTITY:
        await must_outrank_owner(call, user_id)
        must_outrank(call.principal, call.body.scopes or ())
    user_apps = call.stores.user_apps

    async def create() -> UserApp:
        return (await user_apps.grant(tenant_id, app_id, user_id, call.body))[0]

    async def exists() -> bool:
        await call.stores.users.get(tenant_id, user_id)  # whom the path names comes before any condition
        return await user_apps.exists(tenant_id, app_id, user_id)

    return await call.put(
        create=create,
        replace=lambda if_match: user_apps.grant(tenant_id, app_id, user_id, call.body, if_match=if_match),
        exists=exists,
    )


@table.delete(ONE, scope="users:write", answers=RevokedUserApp)
async def revoke_access(call: Call[None], tenant_id: str, app_id: str, user_id: str) -> Answer:
    """Revoke a user's access to an app.

    The user's keys of this app are dead at once, and their sessions there end; `receipt` says which. The access stays,
    as revoked. Once more is no error.
    """
    return call.deleted(await call.stores.user_apps.revoke(tenant_id, app_id, user_id, if_match=call.if_match))
