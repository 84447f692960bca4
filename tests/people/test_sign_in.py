"""Signing in: who has the password gets tokens, and nobody else is told why not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import pytest

from identity.db import sessions
from identity.db.sessions import in_scope
from identity.passwords import FIND
from identity.sessions import NewSession
from identity.sign_ins import FAILED, TAKE
from identity.stores import LIFETIMES
from identity.user_apps import Grant
from identity.users import NewUser, UserChanges
from tests.api.problems import told
from tests.conftest import PASSWORD, password_hash
from tests.people.conftest import People, waits
from tests.server import Database, execute


@pytest.mark.parametrize("login", ["ana", "ANA", "ana@example.com", "Ana@Example.COM", "\uff41na"])
async def test_any_spelling_of_a_name_will_do(people: People, login: str) -> None:
    found = await people.signed_in(login=login)
    assert (found["token_type"], found["expires_in"]) == ("Bearer", 300)
    claims = found["access_token"].split(".")
    assert len(claims) == 3


async def test_when_somebody_signed_in_last_moves_nothing_else_of_them(people: People) -> None:
    before = await people.org.admin.get(people.ana)
    await people.signed_in()
    after = await people.org.admin.get(people.ana)
    assert after.headers["ETag"] == before.headers["ETag"]
    moved = {name for name, value in after.json().items() if value != before.json()[name]}
    assert moved == {"last_login_at"}


SCOPES = [
    (None, "orders:* stock:read"),
    ("", ""),
    ("orders:read", "orders:read"),
    ("users:write orders:write stock:read stock:write", "orders:write stock:read"),
    ("*", ""),
    ("orders:*", "orders:*"),
]


@pytest.mark.parametrize(("asked", "granted"), SCOPES)
async def test_a_token_carries_what_was_asked_and_is_granted(people: People, asked: str | None, granted: str) -> None:
    more = {} if asked is None else {"scope": asked}
    assert (await people.signed_in(**more))["scope"] == granted


async def test_management_scopes_cover_one_another_as_they_do_for_keys(people: People) -> None:
    await people.org.stores.user_apps.grant(
        people.org.id, "identity", "ana", Grant(scopes=("users:write", "keys:verify"))
    )
    found = await people.signed_in(app_id="identity", scope="users:read keys:verify/shop keys:read")
    assert found["scope"] == "users:read keys:verify/shop"


async def test_a_username_that_is_anothers_address_is_still_a_username(people: People) -> None:
    """Whoever takes it gets into no account but their own."""
    stores, id = people.org.stores, people.org.id
    await stores.users.create(id, NewUser(id="eve", username="ana@example.com"))
    await stores.user_apps.grant(id, "shop", "eve")
    await stores.passwords.set(id, "eve", password_hash())
    found = await people.signed_in(login="ana@example.com")
    assert [each.id for each in (await stores.sessions.list(id, "eve")).items] == [found["session_id"]]


Prepare = Callable[[People, Database], Awaitable[Any]]
RIGHT: dict[str, Any] = {"password": PASSWORD}


async def _pause(people: People, database: Database) -> None:
    await people.org.stores.sign_ins.failed(people.org.id, "ana", failures=1, window_s=900, pause_s=600)


async def _without_password(people: People, database: Database) -> None:
    execute(database.admin_url, "DELETE FROM identity.passwords WHERE tenant_id = %s", people.org.id)


WRONG: dict[str, tuple[Prepare | None, dict[str, Any]]] = {
    "an unknown user": (None, RIGHT | {"login": "nobody"}),
    "another's password": (None, {"password": "another password altogether"}),
    "no such app": (None, RIGHT | {"app_id": "nowhere"}),
    "no such tenant": (None, RIGHT | {"path": "/v1/tenants/nowhere/sessions"}),
    "what can be no tenant": (None, RIGHT | {"path": "/v1/tenants/%27%00;/sessions"}),
    "an id in place of a name": (
        lambda p, _: p.org.stores.users.update(p.org.id, "ana", UserChanges(username="other", email=None)),
        RIGHT,
    ),
    "suspended": (lambda p, _: p.org.stores.users.suspend(p.org.id, "ana"), RIGHT),
    "locked by an admin": (lambda p, _: p.org.stores.users.lock(p.org.id, "ana"), RIGHT),
    "deleted": (lambda p, _: p.org.stores.users.delete(p.org.id, "ana"), RIGHT),
    "without access": (None, RIGHT | {"app_id": "identity"}),
    "access revoked": (lambda p, _: p.org.stores.user_apps.revoke(p.org.id, "shop", "ana"), RIGHT),
    "without a password": (_without_password, RIGHT),
    "app disabled": (lambda p, _: p.org.stores.apps.disable(p.org.id, "shop"), RIGHT),
    "app deleted": (lambda p, _: p.org.stores.apps.delete(p.org.id, "shop"), RIGHT),
    "tenant suspended": (lambda p, _: p.org.stores.tenants.suspend(p.org.id), RIGHT),
    "tenant deleted": (lambda p, _: p.org.stores.tenants.delete(p.org.id), RIGHT),
    "too many failures": (_pause, RIGHT),
}


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this test has run; and whether it wrote what it should."""
    ran: list[str] = []
    mine = ContextVar[bool]("mine", default=False)
    mine.set(True)
    execute = sessions._execute

    async def recording(connection: Any, statement: str, *given: Any) -> list[Any]:
        found = await execute(connection, statement, *given)
        if mine.get():  # sweeps go on beside it
            ran.append(statement)
            assert found or statement == in_scope(FIND)
        return found

    monkeypatch.setattr(sessions, "_execute", recording)
    return ran


@pytest.mark.parametrize("what", WRONG)
async def test_whatever_is_wrong_the_answer_is_the_same_and_comes_of_the_same_statements(
    people: People, platform_key: str, database: Database, statements: list[str], what: str
) -> None:
    """In the same order: by how long it took nobody should tell either."""
    wrong = await people.sign_in("wrong")
    assert statements == [in_scope(TAKE, role="identity_platform"), in_scope(FIND), in_scope(FAILED)]
    prepare, given = WRONG[what]
    if prepare:
        await prepare(people, database)
    ran = statements[:3]
    statements.clear()
    answer = await people.sign_in(**given)
    assert told(answer) == (401, "sign_in_failed")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (answer.content, answer.headers) == (wrong.content, wrong.headers)
    assert statements == ran


async def test_of_tenants_that_there_are_not_no_more_is_kept_than_of_a_few_names(
    people: People, platform_key: str, database: Database
) -> None:
    await people.sign_in(path="/v1/tenants/nowhere/sessions")
    names = execute(database.admin_url, "SELECT name FROM identity.sign_in_failures WHERE tenant_id = 'platform'")
    assert names
    assert all(re.fullmatch("#[0-9a-f]{4}", name) for (name,) in names)


@pytest.mark.parametrize("body", [{}, {"login": 1}, {"totp": "1"}, {"password": "x" * 257}, {"scope": "a  b"}])
async def test_a_body_of_another_shape_is_no_failed_sign_in(people: People, body: dict[str, Any]) -> None:
    given = {"login": "ana", "password": PASSWORD, "app_id": "shop"} if body else {}
    answer = await people.api.post(f"{people.org.path}/sessions", given | body)
    assert told(answer) == (400, "invalid_request")
    assert PASSWORD not in answer.text


async def begin(people: People, **more: Any) -> Any:
    stores, id = more.pop("stores", people.org.stores), people.org.id
    holder = await people.org.stores.passwords.find(id, user_id="ana")
    assert holder is not None
    given = {"user_id": "ana", "app_id": "shop", "scopes": None, "address": "", "user_agent": ""}
    new = NewSession(**given | {"if_changed_at": holder.changed_at} | more)
    return await stores.sessions.create(id, holder.ref, new, LIFETIMES)


async def test_what_changed_while_the_password_was_hashed_is_judged_again(people: People, database: Database) -> None:
    """By the statement that makes the session."""
    assert await begin(people) is not None
    assert await begin(people, if_changed_at=datetime(2026, 1, 5, tzinfo=UTC)) is None
    for what in ("suspended", "deleted", "access revoked", "app disabled", "tenant suspended", "too many failures"):
        prepare, _ = WRONG[what]
        assert prepare is not None
        await prepare(people, database)
        assert await begin(people) is None, what
        undo = "UPDATE identity.users SET status = 'active', deleted_at = NULL WHERE tenant_id = %s"
        execute(database.admin_url, undo, people.org.id)
        await people.org.stores.user_apps.grant(people.org.id, "shop", "ana")
        await people.org.stores.apps.enable(people.org.id, "shop")
        await people.org.stores.tenants.activate(people.org.id)


ENDS: dict[str, Callable[[People, Any], Awaitable[Any]]] = {
    "another password": lambda p, s: s.passwords.set(p.org.id, "ana", password_hash()),
    "an imported password": lambda p, s: s.passwords.set_many(p.org.id, {"ana": password_hash()}),
    "suspended": lambda p, s: s.users.suspend(p.org.id, "ana"),
    "deleted": lambda p, s: s.users.delete(p.org.id, "ana"),
    "access revoked": lambda p, s: s.user_apps.revoke(p.org.id, "shop", "ana"),
}
BACK: dict[str, Callable[[People], Awaitable[Any]]] = {
    "suspended": lambda p: p.org.stores.users.activate(p.org.id, "ana"),
    "deleted": lambda p: p.org.stores.users.restore(p.org.id, "ana"),
    "access revoked": lambda p: p.org.stores.user_apps.grant(p.org.id, "shop", "ana"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_sign_in_under_way_does_not_outlive_what_ends_it(people: People, end: str) -> None:
    """Whichever is first: who ends it waits for the sign-in and then sees its session, or the sign-in for that."""
    stores = people.org.stores

    async def ending() -> Any:
        async with stores.transaction() as tx:
            return await ENDS[end](people, tx)

    async with stores.transaction() as tx:
        begun = await begin(people, stores=tx)
        task = asyncio.ensure_future(ending())
        assert await waits(task), "for the sign-in"
    ended = await task
    if end in BACK:
        assert ended.receipt.sessions_ended[-1] == begun.session.session_id, "the receipt has it too"
        await BACK[end](people)
    assert await people.session_ids() == []
    async with stores.transaction() as tx:
        await ENDS[end](people, tx)
        late = asyncio.ensure_future(begin(people))
        assert await waits(late), "for the end"
    assert await late is None
    if end in BACK:
        await BACK[end](people)
    assert await people.session_ids() == []
