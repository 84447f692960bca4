"""/v1/tenants/{tenant_id}/apps/{app_id}/branches"""

from __future__ import annotations

from identity.api.call import Answer, Call
from identity.api.rank import must_outrank_branch
from identity.api.routes import Table
from identity.branches import Branch, BranchChanges, BranchFilter, NewBranch
from identity.db import Page

table = Table("branches")

LIST = "/v1/tenants/{tenant_id}/apps/{app_id}/branches"
ONE = "/v1/tenants/{tenant_id}/apps/{app_id}/branches/{branch_id}"


@table.get(LIST, scope="branches:read", answers=Page[Branch], where=BranchFilter)
async def list_branches(call: Call[None], tenant_id: str, app_id: str) -> Page[Branch]:
    """List the branches of an app."""
    return await call.stores.branches.list(tenant_id, app_id, call.where, **call.page)


@table.post(LIST, scope="branches:write", takes=NewBranch, answers=Branch)
async def create_branch(call: Call[NewBranch], tenant_id: str, app_id: str) -> Answer:
    """Create a branch."""
    branch = await call.stores.branches.create(tenant_id, app_id, call.body)
    return Answer(201, branch, f"{call.request.url.path}/{branch.id}")


@table.get(ONE, scope="branches:read", answers=Branch)
async def get_branch(call: Call[None], tenant_id: str, app_id: str, branch_id: str) -> Branch:
    """Get a branch."""
    return await call.stores.branches.get(tenant_id, app_id, branch_id)


@table.put(ONE, scope="branches:write", takes=NewBranch, answers=Branch)
async def put_branch(call: Call[NewBranch], tenant_id: str, app_id: str, branch_id: str) -> Answer:
    """Create or replace a branch."""
    branches = call.stores.branches
    return await call.put(
        create=lambda: branches.create(tenant_id, app_id, call.body),
        replace=lambda if_match: branches.replace(tenant_id, app_id, call.body, if_match=if_match),
        exists=lambda: branches.exists(tenant_id, app_id, branch_id),
    )


@table.patch(ONE, scope="branches:write", takes=BranchChanges, answers=Branch)
async def update_branch(call: Call[BranchChanges], tenant_id: str, app_id: str, branch_id: str) -> Branch:
    """Update a branch.

    A JSON Merge Patch.
    """
    return await call.stores.branches.update(tenant_id, app_id, branch_id, call.body, if_match=call.if_match)


@table.delete(ONE, scope="branches:write", answers=Branch)
async def delete_branch(call: Call[None], tenant_id: str, app_id: str, branch_id: str) -> Answer:
    """Delete a branch.

    Its code is free again, its keys are dead at once; it can be restored.
    """
    return call.deleted(await call.stores.branches.delete(tenant_id, app_id, branch_id, if_match=call.if_match))


@table.action(f"{ONE}/disable", scope="branches:write", answers=Branch)
async def disable_branch(call: Call[None], tenant_id: str, app_id: str, branch_id: str) -> Branch:
    """Disable a branch.

    The keys that it binds are dead at once, until it is enabled. Once more is no error.
    """
    return await call.stores.branches.disable(tenant_id, app_id, branch_id)


@table.action(f"{ONE}/enable", scope="branches:write", answers=Branch, raises=("insufficient_rank",))
async def enable_branch(call: Call[None], tenant_id: str, app_id: str, branch_id: str) -> Branch:
    """Enable a disabled branch.

    The keys that it binds live again. Once more is no error.
    """
    await must_outrank_branch(call, app_id, branch_id)
    return await call.stores.branches.enable(tenant_id, app_id, branch_id)


@table.action(
    f"{ONE}/restore", scope="branches:write", answers=Branch, reaches_tombstones=True, raises=("insufficient_rank",)
)
async def restore_branch(call: Call[None], tenant_id: str, app_id: str, branch_id: str) -> Branch:
    """Restore a deleted branch.

    With the keys that it binds; refused where its code is taken meanwhile.
    """
    await must_outrank_branch(call, app_id, branch_id)
    return await call.stores.branches.restore(tenant_id, app_id, branch_id)


@table.action(
    f"{ONE}/purge",
    scope="branches:write",
    answers=None,
    status=204,
    reaches_tombstones=True,
    raises=("status_conflict", "purge_too_early"),
)
async def purge_branch(call: Call[None], tenant_id: str, app_id: str, branch_id: str) -> Answer:
    """Purge a deleted branch.

    For good, with all that is under it; not before the grace is over.
    """
    await call.stores.branches.purge(tenant_id, app_id, branch_id, after_s=call.service.settings.purge_after_s)
    return Answer(204)
