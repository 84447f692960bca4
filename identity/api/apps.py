"""/v1/tenants/{tenant_id}/apps"""

from __future__ import annotations

from identity.api.call import Answer, Call
from identity.api.routes import Table
from identity.apps import App, AppChanges, AppFilter, NewApp
from identity.db import Page

table = Table("apps")

LIST = "/v1/tenants/{tenant_id}/apps"
ONE = "/v1/tenants/{tenant_id}/apps/{app_id}"


@table.get(LIST, scope="apps:read", answers=Page[App], where=AppFilter)
async def list_apps(call: Call[None], tenant_id: str) -> Page[App]:
    """List apps."""
    return await call.stores.apps.list(tenant_id, call.where, **call.page)


@table.post(LIST, scope="apps:write", takes=NewApp, answers=App)
async def create_app(call: Call[NewApp], tenant_id: str) -> Answer:
    """Create an app."""
    app = await call.stores.apps.create(tenant_id, call.body)
    return Answer(201, app, f"{call.request.url.path}/{app.id}")


@table.get(ONE, scope="apps:read", answers=App)
async def get_app(call: Call[None], tenant_id: str, app_id: str) -> App:
    """Get an app."""
    return await call.stores.apps.get(tenant_id, app_id)


@table.put(ONE, scope="apps:write", takes=NewApp, answers=App)
async def put_app(call: Call[NewApp], tenant_id: str, app_id: str) -> Answer:
    """Create or replace an app."""
    apps = call.stores.apps
    return await call.put(
        create=lambda: apps.create(tenant_id, call.body),
        replace=lambda if_match: apps.replace(tenant_id, call.body, if_match=if_match),
        exists=lambda: apps.exists(tenant_id, app_id),
    )


@table.patch(ONE, scope="apps:write", takes=AppChanges, answers=App)
async def update_app(call: Call[AppChanges], tenant_id: str, app_id: str) -> App:
    """Update an app.

    A JSON Merge Patch. Scopes that keys hold already are not judged anew by a narrower `allowed_scopes`.
    """
    return await call.stores.apps.update(tenant_id, app_id, call.body, if_match=call.if_match)


@table.delete(ONE, scope="apps:write", answers=App)
async def delete_app(call: Call[None], tenant_id: str, app_id: str) -> Answer:
    """Delete an app.

    Its name is free again, its keys are dead at once; it can be restored.
    """
    return call.deleted(await call.stores.apps.delete(tenant_id, app_id, if_match=call.if_match))


@table.action(f"{ONE}/disable", scope="apps:write", answers=App)
async def disable_app(call: Call[None], tenant_id: str, app_id: str) -> App:
    """Disable an app.

    Its keys are dead at once, until it is enabled. Once more is no error.
    """
    return await call.stores.apps.disable(tenant_id, app_id)


@table.action(f"{ONE}/enable", scope="apps:write", answers=App)
async def enable_app(call: Call[None], tenant_id: str, app_id: str) -> App:
    """Enable a disabled app.

    Its keys live again. Once more is no error.
    """
    return await call.stores.apps.enable(tenant_id, app_id)


@table.action(f"{ONE}/restore", scope="apps:write", answers=App, reaches_tombstones=True)
async def restore_app(call: Call[None], tenant_id: str, app_id: str) -> App:
    """Restore a deleted app.

    With its branches, grants and keys; refused where its name is taken meanwhile.
    """
    return await call.stores.apps.restore(tenant_id, app_id)


@table.action(
    f"{ONE}/purge",
    scope="apps:write",
    answers=None,
    status=204,
    reaches_tombstones=True,
    raises=("status_conflict", "purge_too_early"),
)
async def purge_app(call: Call[None], tenant_id: str, app_id: str) -> Answer:
    """Purge a deleted app.

    For good, with all that is under it; not before the grace is over.
    """
    await call.stores.apps.purge(tenant_id, app_id, after_s=call.service.settings.purge_after_s)
    return Answer(204)
