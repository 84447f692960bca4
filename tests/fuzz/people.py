"""What people do, in the model: they sign in, refresh, change their passwords, are locked out, leave and come back."""

from __future__ import annotations

from identity.sessions import LOST_ANSWER_S
from identity.sign_ins import LONGEST_PAUSE_S
from tests.fuzz.model import App, Failures, Fields, Record, Refused, Session, Tenant, World, folded, living

LOCKOUT = {"failures": 10, "window_s": 900, "pause_s": 60}
NOBODY = Refused(404, "user_not_found")


def sign_in(world: World, tenant_id: str, login: str, password: str, app_id: str, told: Fields) -> Session:
    """Whatever is wrong is told alike, and counts for whoever it was meant for."""
    failed = Refused(401, "sign_in_failed")
    tenant = living(world.tenants, tenant_id)
    user = named(tenant, login) if isinstance(tenant, Tenant) else None
    if not isinstance(tenant, Tenant) or user is None:
        raise failed
    is_right = tenant.passwords.get(user.id) == password and not is_paused(tenant, user.id)
    if not is_right or not may_use(tenant, app_id, user.id):
        count_failure(tenant, user.id)
        raise failed
    tenant.failures.pop(user.id, None)
    ids = {name: str(told.get(name)) for name in ("session_id", "refresh_token", "access_token")}
    session = Session(ids["session_id"], tenant_id, app_id, user.id, [ids["refresh_token"]], [ids["access_token"]])
    tenant.apps[app_id].sessions[session.id] = session
    return session


def named(tenant: Tenant, login: str) -> Record | None:
    """Whose username it is, else whose e-mail address."""
    users = [user for user in tenant.users.values() if not user.is_deleted]
    for name in ("username", "email"):
        for user in users:
            if user.fields[name] is not None and folded(user.fields[name]) == folded(login):
                return user
    return None


def may_use(tenant: Tenant, app_id: str, user_id: str) -> bool:
    app, user = living(tenant.apps, app_id), living(tenant.users, user_id)
    access = app.access.get(user_id) if isinstance(app, App) else None
    links = (None if tenant.is_deleted else tenant, app, user, access)
    return all(link is not None and link.status == "active" for link in links)


def with_credential(user_id: str) -> str:
    """By which name failures count of who calls for that user with one: apart from those of whoever signs in."""
    return f"{user_id}, with a credential"


def is_paused(tenant: Tenant, name: str) -> bool:
    known = tenant.failures.get(name)
    return known is not None and known.paused_until_s > tenant.now_s


def count_failure(tenant: Tenant, name: str) -> None:
    """Not during a pause, and not together with those that lie further back than the window."""
    if is_paused(tenant, name):
        return
    lockout = tenant.fields["settings"].get("lockout", LOCKOUT)
    known, now_s = tenant.failures.get(name), tenant.now_s
    is_old = known is None or known.last_s < now_s - lockout["window_s"]
    n = 1 if is_old or known is None else known.n + 1
    pause_s = min(LONGEST_PAUSE_S, lockout["pause_s"] * 2 ** max(0, n - lockout["failures"]))
    tenant.failures[name] = Failures(n, now_s, now_s + pause_s if n >= lockout["failures"] else 0.0)


def find_session(world: World, session: Session) -> App | None:
    """The app in which it has not ended."""
    tenant = world.tenants.get(session.tenant_id)
    app = tenant.apps.get(session.app_id) if tenant else None
    return app if app is not None and app.sessions.get(session.id) is session else None


def is_live(world: World, session: Session) -> bool:
    """That it has not ended is not enough."""
    tenant = world.tenants.get(session.tenant_id)
    is_there = tenant is not None and find_session(world, session) is not None
    return is_there and may_use(world.tenants[session.tenant_id], session.app_id, session.user_id)


def refresh(world: World, session: Session, text: str, app_id: str, told: Fields) -> str | None:
    """The successor that must be told: none yet known, where the token is the present one."""
    refused = Refused(400, "invalid_grant")
    if app_id != session.app_id or not is_live(world, session):
        raise refused
    now_s, successors = world.tenants[session.tenant_id].now_s, session.successors(text)
    if not successors:
        session.refresh_tokens.append(str(told.get("refresh_token")))
        session.refreshed_at_s = now_s
    elif len(successors) > 1 or now_s - session.refreshed_at_s > LOST_ANSWER_S:
        end(world, session)
        raise refused
    session.access_tokens.append(str(told.get("access_token")))
    return successors[0] if successors else None


def end(world: World, session: Session) -> None:
    app = find_session(world, session)
    if app is not None:
        del app.sessions[session.id]


def sessions_of(tenant: Tenant, user_id: str, app_id: str | None = None) -> list[Session]:
    """Those that have not ended, in the order of their ids."""
    apps = [app for app in tenant.apps.values() if app_id in (None, app.id)]
    found = [each for app in apps for each in app.sessions.values() if each.user_id == user_id]
    return sorted(found, key=lambda session: session.id)


def end_all(tenant: Tenant, user_id: str, app_id: str | None = None) -> list[str]:
    """For good."""
    ended = sessions_of(tenant, user_id, app_id)
    for session in ended:
        del tenant.apps[session.app_id].sessions[session.id]
    return [session.id for session in ended]


def leave(tenant: Tenant, user_id: str) -> None:
    end_all(tenant, user_id)
    tenant.resets.pop(user_id, None)


def set_password(tenant: Tenant, user_id: str, password: str) -> list[str]:
    """Ends the sessions that it answers."""
    if living(tenant.users, user_id) is None:
        raise NOBODY
    tenant.passwords[user_id] = password
    tenant.resets.pop(user_id, None)
    for name in (user_id, with_credential(user_id)):
        tenant.failures.pop(name, None)
    return end_all(tenant, user_id)


def change_password(tenant: Tenant, user_id: str, old: str, password: str) -> list[str]:
    if living(tenant.users, user_id) is None:
        raise NOBODY
    name = with_credential(user_id)
    if tenant.passwords.get(user_id) != old or is_paused(tenant, name):
        count_failure(tenant, name)
        raise Refused(403, "old_password_wrong")
    return set_password(tenant, user_id, password)


def redeem(world: World, tenant_id: str, token: str, password: str) -> None:
    tenant = world.tenants.get(tenant_id)
    whose = [id for id, text in tenant.resets.items() if text == token] if tenant else []
    if tenant is None or tenant.is_deleted or tenant.status != "active" or not whose:
        raise Refused(400, "reset_not_good")
    set_password(tenant, whose[0], password)


def is_ambiguous(tenant: Tenant) -> bool:
    """Whether something ends within a second, so that nobody could say which came first."""
    ends = [each.refreshed_at_s + LOST_ANSWER_S for app in tenant.apps.values() for each in app.sessions.values()]
    window_s = tenant.fields["settings"].get("lockout", LOCKOUT)["window_s"]
    for failures in tenant.failures.values():
        ends += [failures.paused_until_s, failures.last_s + window_s]
    return any(abs(end - tenant.now_s) < 1.0 for end in ends)
