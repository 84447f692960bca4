"""/v1/tenants/{tenant_id}/users/{user_id}/sessions"""

from __future__ import annotations

from identity.api.call import Answer, Call
from identity.api.routes import Table
from identity.db import Page
from identity.sessions import Session, SessionFilter, SessionsEnded

table = Table("sessions")

LIST = "/v1/tenants/{tenant_id}/users/{user_id}/sessions"
ONE = f"{LIST}/{{session_id}}"


@table.get(LIST, scope="users:read", answers=Page[Session], where=SessionFilter, by_oneself=True)
async def list_sessions(call: Call[None], tenant_id: str, user_id: str) -> Page[Session]:
    """List where a user is signed in."""
    return await call.stores.sessions.list(tenant_id, user_id, call.where, **call.page)


@table.get(ONE, scope="users:read", answers=Session, by_oneself=True)
async def get_session(call: Call[None], tenant_id: str, user_id: str, session_id: str) -> Session:
    """Get a session."""
    return await call.stores.sessions.get(tenant_id, user_id, session_id)


@table.delete(ONE, scope="users:write", answers=Session, by_oneself=True)
async def end_session(call: Call[None], tenant_id: str, user_id: str, session_id: str) -> Answer:
    """End a session.

    For good: its refresh token is dead at once, and so are its access tokens wherever somebody asks us.
    """
    return call.deleted(await call.stores.sessions.end(tenant_id, user_id, session_id, if_match=call.if_match))


@table.action(
    "/v1/tenants/{tenant_id}/users/{user_id}/end-sessions", scope="users:write", answers=SessionsEnded, by_oneself=True
)
async def end_sessions(call: Call[None], tenant_id: str, user_id: str) -> SessionsEnded:
    """End all sessions of a user.

    Wherever they are signed in they are not any more.
    """
    await call.stores.users.get(tenant_id, user_id)
    return await call.stores.sessions.end_all(tenant_id, user_id)
