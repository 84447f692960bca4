"""Too many failures: what is tried is counted in the database, for all workers together."""

from __future__ import annotations

from typing import Any

import pytest

from identity.settings import Settings
from tests.api.problems import told
from tests.conftest import PASSWORD, Organisation
from tests.people.conftest import People, at, worker
from tests.server import Database, execute

LOCKOUT = {"failures": 3, "window_s": 900, "pause_s": 60}
FAILURES = "SELECT failures, extract(epoch FROM paused_until - clock_timestamp())::int FROM identity.sign_in_failures"
PASSES = "UPDATE identity.sign_in_failures SET paused_until = now() - interval '1 second' WHERE tenant_id = %s"


@pytest.fixture
async def strict(people: People) -> People:
    await people.org.admin.patch(people.org.path, {"settings": {"lockout": LOCKOUT}})
    return people


def counted(database: Database, people: People) -> list[Any]:
    return execute(database.admin_url, f"{FAILURES} WHERE tenant_id = %s", people.org.id)


async def test_guesses_on_two_workers_count_together_by_whichever_name(
    strict: People, settings: Settings, database: Database
) -> None:
    key = strict.org.key.key
    async with worker(settings) as client:
        other = at(strict, client)
        for where, login in ((strict, "ana"), (other, "ANA"), (strict, "ana@example.com")):
            assert told(await where.sign_in("wrong", login)) == (401, "sign_in_failed")
        for where in (strict, other):
            assert told(await where.sign_in()) == (401, "sign_in_failed")
    [(failures, left_s)] = counted(database, strict)
    assert (failures, 55 < left_s <= 60) == (3, True), "what is tried meanwhile makes it no longer"
    assert await strict.session_ids() == [strict.org.signed_in.session.session_id]
    assert (await strict.refresh(strict.org.signed_in.refresh_token)).status_code == 200
    assert (await strict.org.admin.post("/v1/keys/verify", {"key": key})).json()["valid"] is True
    execute(database.admin_url, PASSES, strict.org.id)
    assert (await strict.sign_in()).status_code == 201
    assert counted(database, strict) == []


async def test_each_pause_is_twice_as_long_to_a_day(strict: People, database: Database) -> None:
    lengths = []
    for _ in range(3):
        await strict.sign_in("wrong")
    for _ in range(13):
        [(_, left_s)] = counted(database, strict)
        lengths.append(round(left_s / 60))
        execute(database.admin_url, PASSES, strict.org.id)
        await strict.org.stores.sign_ins.failed(strict.org.id, "ana", **LOCKOUT)
    assert lengths == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440]


async def test_failures_that_lie_far_apart_do_not_add_up(strict: People, database: Database) -> None:
    for _ in range(4):
        await strict.sign_in("wrong")
        old = "UPDATE identity.sign_in_failures SET failed_at = now() - interval '901 seconds' WHERE tenant_id = %s"
        execute(database.admin_url, old, strict.org.id)
    assert [failures for failures, _ in counted(database, strict)] == [1]
    assert (await strict.sign_in()).status_code == 201


async def test_a_name_that_nobody_has_is_counted_and_not_stored(strict: People, database: Database) -> None:
    """People type their passwords there."""
    for _ in range(4):
        await strict.sign_in(login="correct horse battery")
    [(failures, _)] = counted(database, strict)
    assert failures == 3
    [(name,)] = execute(
        database.admin_url, "SELECT name FROM identity.sign_in_failures WHERE tenant_id = %s", strict.org.id
    )
    assert name.startswith("#")
    assert "horse" not in name


async def test_a_new_password_ends_the_pause(strict: People) -> None:
    for _ in range(3):
        await strict.sign_in("wrong")
    await strict.org.admin.put(f"{strict.ana}/password", {"password": PASSWORD})
    assert (await strict.sign_in()).status_code == 201


@pytest.mark.parametrize("by", ["an admin", "the sweep"])
async def test_who_is_given_the_id_of_somebody_who_was_purged_has_none_of_their_failures(
    people: People, database: Database, by: str
) -> None:
    stores, id = people.org.stores, people.org.id
    for name in ("ana", "=ana", "anab"):
        await stores.sign_ins.failed(id, name, failures=1, window_s=900, pause_s=600)
    await stores.users.delete(id, "ana")
    if by == "an admin":
        await stores.users.purge(id, "ana", after_s=0)
    else:
        await stores.users.sweep(after=id[:-1], limit=10, after_s=0, tenants=1)
    names = execute(database.admin_url, "SELECT name FROM identity.sign_in_failures WHERE tenant_id = %s", id)
    assert names == [("anab",)]


async def test_one_address_may_try_so_often_on_all_workers_and_whomever(people: People, settings: Settings) -> None:
    few = settings.model_copy(update={"sign_ins_per_address": 3, "trusted_proxies": ("192.0.2.0/24",)})
    async with worker(few, "192.0.2.7") as one, worker(few, "192.0.2.7") as two:
        seen: dict[str, Any] = {"headers": {"X-Forwarded-For": "2001:db8::1"}}
        nowhere: dict[str, Any] = {"path": "/v1/tenants/nowhere/sessions", **seen}
        statuses = [
            (await at(people, one).sign_in(**seen)).status_code,
            (await at(people, two).sign_in(**nowhere)).status_code,
            (await at(people, one).sign_in("wrong", **seen)).status_code,
        ]
        assert statuses == [201, 401, 401]
        for client, given in ((one, seen), (two, seen), (two, nowhere)):
            answer = await at(people, client).sign_in(**given)
            assert told(answer) == (429, "too_many_requests")
            assert answer.headers["Retry-After"] == "20"
        neighbour: dict[str, Any] = {"headers": {"X-Forwarded-For": "2001:db8:0:0:ffff::1"}}
        assert (await at(people, two).sign_in(**neighbour)).status_code == 429, "of IPv6 it is the network"
        token = {"token": "x", "password": PASSWORD}
        reset = await two.post(f"{people.org.path}/password-reset", json=token, **seen)
        assert reset.status_code == 429, "a token may not be guessed any faster"
        assert (await at(people, two).sign_in(headers={"X-Forwarded-For": "2001:db8:1::1"})).status_code == 201


async def test_one_tenant_is_tried_so_often_and_no_address_uses_that_up_alone(
    people: People, other_org: Organisation, settings: Settings
) -> None:
    few = settings.model_copy(update={"sign_ins_per_address": 2, "sign_ins_per_tenant": 3})
    async with (
        worker(few, "198.51.100.1") as one,
        worker(few, "198.51.100.2") as two,
        worker(few, "198.51.100.3") as three,
    ):
        found = [(await at(people, one).sign_in()).status_code for _ in range(5)]
        found += [(await at(people, two).sign_in()).status_code for _ in range(2)]
        assert found == [201, 201, 429, 429, 429, 201, 429]
        assert (await at(People(other_org), three).sign_in()).status_code == 201
