"""Passwords and tokens are told to nobody but whom they are for: not to logs, problems, or who reads the database."""

from __future__ import annotations

import logging

import pytest

from identity.user_apps import Grant
from tests.edge.canaries import found_in
from tests.people.conftest import People
from tests.people.test_invitations import accept, invited
from tests.people.test_passwords import redeem, reset
from tests.server import Database, execute

OLD, NEW, WRONG = "Canary kites over old Ghent", "Canary boats under new Ghent", "Canary that was mistyped"
TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'identity'::regnamespace AND relkind = 'r' AND relname !~ 'yoyo|migr'
"""


async def test_they_are_in_no_log_no_problem_and_no_dump(
    people: People, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await people.org.stores.user_apps.grant(people.org.id, "identity", "ana", Grant(scopes=("users:read",)))
    await people.org.admin.put(f"{people.ana}/password", {"password": OLD})
    began = await people.signed_in(password=OLD)
    went_on = (await people.refresh(began["refresh_token"])).json()
    await people.refresh(began["refresh_token"])
    first, last = await reset(people), await reset(people)
    taken, free = [(await invited(people))["token"] for _ in "12"]
    await accept(people, taken, password=NEW)
    problems = [
        await people.sign_in(WRONG),
        await people.sign_in(WRONG, login=WRONG),
        await people.sign_in(WRONG, extra=WRONG),
        await people.api.post(f"{people.org.path}/sessions", {"password": [WRONG], "login": {WRONG: WRONG}}),
        await people.org.admin.post(f"{people.ana}/password", {"old_password": WRONG, "password": NEW}),
        await people.org.admin.put(f"{people.ana}/password", {"password": NEW[:6]}),
        await redeem(people, first, NEW),
        await accept(people, taken, "dee", password=NEW),
        await accept(people, free, "ana", password=NEW),
        await people.refresh(went_on["refresh_token"] + "x"),
    ]
    secrets = [OLD, NEW, WRONG, first, last, taken, free]
    secrets += [found[name] for found in (began, went_on) for name in ("access_token", "refresh_token")]
    assert [answer.status_code >= 400 for answer in problems] == [True] * len(problems)
    assert found_in("".join(answer.text + str(answer.headers) for answer in problems), secrets) == []
    tables = [name for (name,) in execute(database.admin_url, TABLES)]
    dump = [str(execute(database.admin_url, f"SELECT to_jsonb(t)::text FROM identity.{name} AS t")) for name in tables]
    assert found_in("".join(dump), secrets) == []
    assert found_in(caplog.text, secrets) == []
    assert (await redeem(people, last, NEW)).status_code == 204
