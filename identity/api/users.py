"""/v1/tenants/{tenant_id}/users"""

from __future__ import annotations

from identity import exports
from identity.api.call import Answer, Call
from identity.api.rank import must_outrank_owner
from identity.api.routes import Table
from identity.auth import must_hold
from identity.db import Page
from identity.exports import UserExport
from identity.users import LeavingUser, NewUser, User, UserChanges, UserFilter

table = Table("users")

LIST = "/v1/tenants/{tenant_id}/users"
ONE = "/v1/tenants/{tenant_id}/users/{user_id}"


@table.get(LIST, scope="users:read", answers=Page[User], where=UserFilter)
async def list_users(call: Call[None], tenant_id: str) -> Page[User]:
    """List users.

    `username` and `email` find in any spelling.
    """
    return await call.stores.users.list(tenant_id, call.where, **call.page)


@table.post(LIST, scope="users:write", takes=NewUser, answers=User)
async def create_user(call: Call[NewUser], tenant_id: str) -> Answer:
    """Create a user.

    Names are shown as given and compared without regard to case and compatible forms (NFKC).
    """
    user = await call.stores.users.create(tenant_id, call.body)
    return Answer(201, user, f"{call.request.url.path}/{user.id}")


@table.get(ONE, scope="users:read", answers=User)
async def get_user(call: Call[None], tenant_id: str, user_id: str) -> User:
    """Get a user."""
    return await call.stores.users.get(tenant_id, user_id)


@table.get(f"{ONE}/export", scope="users:read", answers=UserExport, action=True, by_oneself=True, called="export-one")
async def export_user(call: Call[None], tenant_id: str, user_id: str) -> UserExport:
    """Export all that is held on a user.

    Their record, access, keys, sessions, second factors, and how their keys were used in the last year; no secrets.
    Others than the user themselves need keys:read for it too.
    """
    if not call.principal.is_user(tenant_id, user_id):
        must_hold(call.principal, "keys:read")
    return await exports.export_user(call.stores, tenant_id, user_id)


@table.put(ONE, scope="users:write", takes=NewUser, answers=User, raises=("insufficient_rank",))
async def put_user(call: Call[NewUser], tenant_id: str, user_id: str) -> Answer:
    """Create or replace a user.

    Of a user who owns management keys, the caller must hold all that those may do.
    """
    await must_outrank_owner(call, user_id)
    users = call.stores.users
    return await call.put(
        create=lambda: users.create(tenant_id, call.body),
        replace=lambda if_match: users.replace(tenant_id, call.body, if_match=if_match),
        exists=lambda: users.exists(tenant_id, user_id),
    )


@table.patch(ONE, scope="users:write", takes=UserChanges, answers=User, raises=("insufficient_rank",))
async def update_user(call: Call[UserChanges], tenant_id: str, user_id: str) -> User:
    """Update a user.

    A JSON Merge Patch. To change username or e-mail of a user who owns management keys, the caller must hold all
    that those may do.
    """
    if call.body.model_fields_set & {"username", "email"}:
        await must_outrank_owner(call, user_id)
    return await call.stores.users.update(tenant_id, user_id, call.body, if_match=call.if_match)


@table.delete(ONE, scope="users:write", answers=LeavingUser)
async def delete_user(call: Call[None], tenant_id: str, user_id: str) -> Answer:
    """Delete a user.

    Username and e-mail are free again, their keys are dead at once, and all their sessions end; `receipt` says which.
    They can be restored, with their keys and access, and without any session.
    """
    return call.deleted(await call.stores.users.delete(tenant_id, user_id, if_match=call.if_match))


@table.action(f"{ONE}/suspend", scope="users:write", answers=LeavingUser)
async def suspend_user(call: Call[None], tenant_id: str, user_id: str) -> LeavingUser:
    """Suspend a user.

    From active or locked. Their keys are dead at once, and all their sessions end; `receipt` says which. Once more is
    no error.
    """
    return await call.stores.users.suspend(tenant_id, user_id)


@table.action(f"{ONE}/activate", scope="users:write", answers=User, raises=("insufficient_rank", "status_conflict"))
async def activate_user(call: Call[None], tenant_id: str, user_id: str) -> User:
    """Activate a suspended user.

    Their keys live again; their sessions are over. Once more is no error.
    """
    await must_outrank_owner(call, user_id)
    return await call.stores.users.activate(tenant_id, user_id)


@table.action(f"{ONE}/lock", scope="users:write", answers=User, raises=("status_conflict",))
async def lock_user(call: Call[None], tenant_id: str, user_id: str) -> User:
    """Lock an active user.

    Their keys are dead at once. Once more is no error.
    """
    return await call.stores.users.lock(tenant_id, user_id)


@table.action(f"{ONE}/unlock", scope="users:write", answers=User, raises=("insufficient_rank", "status_conflict"))
async def unlock_user(call: Call[None], tenant_id: str, user_id: str) -> User:
    """Unlock a locked user.

    Their keys live again. Once more is no error.
    """
    await must_outrank_owner(call, user_id)
    return await call.stores.users.unlock(tenant_id, user_id)


@table.action(
    f"{ONE}/restore", scope="users:write", answers=User, reaches_tombstones=True, raises=("insufficient_rank",)
)
async def restore_user(call: Call[None], tenant_id: str, user_id: str) -> User:
    """Restore a deleted user.

    With their grants and keys, without their sessions; refused where username or e-mail are taken meanwhile.
    """
    await must_outrank_owner(call, user_id)
    return await call.stores.users.restore(tenant_id, user_id)


@table.action(
    f"{ONE}/purge",
    scope="users:write",
    answers=None,
    status=204,
    reaches_tombstones=True,
    raises=("status_conflict", "purge_too_early"),
)
async def purge_user(call: Call[None], tenant_id: str, user_id: str) -> Answer:
    """Purge a deleted user.

    For good, with all that is under it; not before the grace is over.
    """
    await call.stores.users.purge(tenant_id, user_id, after_s=call.service.settings.purge_after_s)
    return Answer(204)
