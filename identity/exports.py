"""Exports: all that is held on a person, for whoever asks what that is. No secret is in it, nor a hash of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from identity.app_keys import AppKey, AppKeyFilter
from identity.db import Page, Row
from identity.factors import Factor
from identity.fields import known_as
from identity.invitations import Invitation, InvitationFilter
from identity.key_usage import UsageCount
from identity.sessions import Session
from identity.sign_ins import SignInFailures
from identity.stores import Stores
from identity.user_apps import UserApp
from identity.users import User

AT_ONCE = 500
USAGE_DAYS = 365


class UserExport(Row):
    exported_at: datetime
    user: User
    password_changed_at: datetime | None
    """None: there is no password."""
    failures: SignInFailures | None
    """Passwords and codes that were wrong, since the last sign-in or change."""
    known_failures: SignInFailures | None
    """Likewise where they were given with a credential."""
    access: tuple[UserApp, ...]
    keys: tuple[AppKey, ...]
    """Those that the user owns."""
    sessions: tuple[Session, ...]
    factors: tuple[Factor, ...]
    invitations: tuple[Invitation, ...]
    """Those that they accepted."""
    usage: tuple[UsageCount, ...]
    """How often those keys were verified, a day and verdict, in the last year."""


async def export_user(stores: Stores, tenant_id: str, user_id: str) -> UserExport:
    """NotFound where there is no such user."""
    async with stores.transaction() as tx:
        user = await tx.users.get(tenant_id, user_id)
        holder = await tx.passwords.find(tenant_id, user_id=user_id)
        now, accepted = datetime.now(UTC), InvitationFilter(accepted_by=user_id)
        return UserExport(
            exported_at=now,
            user=user,
            password_changed_at=holder.changed_at if holder else None,
            failures=await tx.sign_ins.find(tenant_id, user_id),
            known_failures=await tx.sign_ins.find(tenant_id, known_as(user_id)),
            access=await _all(lambda **page: tx.user_apps.list_of_user(tenant_id, user_id, **page)),
            keys=await _all(lambda **page: tx.app_keys.list(tenant_id, AppKeyFilter(user_id=user_id), **page)),
            sessions=await _all(lambda **page: tx.sessions.list(tenant_id, user_id, **page)),
            factors=await _all(lambda **page: tx.factors.list(tenant_id, user_id, **page)),
            invitations=await _all(lambda **page: tx.invitations.list(tenant_id, accepted, **page)),
            usage=tuple(await tx.key_usage.of_user(tenant_id, user_id, since=now - timedelta(days=USAGE_DAYS))),
        )


async def _all(list: Callable[..., Awaitable[Page[Any]]]) -> tuple[Any, ...]:
    """A list whole, page by page."""
    page = await list(limit=AT_ONCE)
    found = page.items
    while page.next is not None:
        page = await list(after=page.next, limit=AT_ONCE)
        found += page.items
    return tuple(found)
