"""Equal requests that truly meet, over two workers: one does it, the others wait and hold nothing meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from identity.errors import Conflict
from identity.idempotency import IdempotencyStore
from identity.settings import Settings
from identity.users import NewUser
from tests.api.problems import told
from tests.conftest import Api, Organisation, unique
from tests.idempotency.keyed import calling, is_replayed, new_key, under
from tests.idempotency.stalls import someone_waits, stalled
from tests.idempotency.worker import working
from tests.server import Database, execute

EACH = 10
"""Requests to each of two workers, whose pools have two connections."""
WAIT_S = 2.0
SLACK_S = 1.0
STEADY = 1.2
"""Seconds in which all that has nothing to do with them is answered."""
OF_EACH_ANSWER = {"date", "x-request-id", "idempotent-replayed"}
USERS_NAMED = "SELECT count(*) FROM identity.users WHERE username = %s"


@pytest.fixture(scope="module")
async def workers(here: Organisation, own_settings: Settings) -> AsyncIterator[list[Api]]:
    """The tenant's admin, at each of two processes with patience for a machine with much to do."""
    patient = own_settings.model_copy(update={"checkout_timeout_s": 10.0, "verify_timeout_s": 10.0})
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            worker = stack.enter_context(working(patient))
            found.append(await stack.enter_async_context(calling(worker.url, here.admin_key.key)))
        assert [(await api.get("/v1/keys/whoami")).status_code for api in found] == [200, 200]
        yield found


def posting(
    workers: list[Api], path: str, body: Any, key: str, each: int = EACH
) -> list[asyncio.Task[httpx2.Response]]:
    return [asyncio.create_task(api.post(path, body, **under(key))) for _ in range(each) for api in workers]


@pytest.mark.parametrize("at", ["looking", "effect", "keeping", "commit"])
async def test_wherever_the_first_is_held_up_all_get_its_answer(
    at: str, workers: list[Api], here: Organisation, own: Database
) -> None:
    name, key = unique("user"), new_key()
    with stalled(own, at):
        sent = posting(workers, f"{here.path}/users", {"username": name}, key)
        await someone_waits(own)
        await asyncio.sleep(0.2)
        assert not any(each.done() for each in sent)
        assert execute(own.admin_url, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)]
    answers = await asyncio.gather(*sent)
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert len({frozenset(lasting(answer).items()) for answer in answers}) == 1
    assert lasting(answers[0])["cache-control"] == "no-store"
    assert Counter(map(is_replayed, answers)) == {False: 1, True: 2 * EACH - 1}
    assert execute(own.admin_url, USERS_NAMED, name) == [(1,)]


def lasting(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_EACH_ANSWER}


async def slowest(calls: list[Awaitable[httpx2.Response]]) -> float:
    started_s = time.monotonic()
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} <= {200, 201}
    return time.monotonic() - started_s


def others(api: Api, here: Organisation) -> list[Awaitable[httpx2.Response]]:
    """A verification, a list, a write, and another's keyed POST."""
    return [
        api.post("/v1/keys/verify", {"key": here.key.key}),
        api.get(f"{here.path}/users"),
        api.patch(f"{here.path}/users/ana", {"full_name": "Ana"}),
        api.post(f"{here.path}/apps/shop/keys", {"name": "other"}, **under(new_key())),
    ]


async def test_who_waits_too_long_is_told_so_and_meanwhile_holds_no_connection(
    workers: list[Api], here: Organisation, own: Database
) -> None:
    name, key, path = unique("user"), new_key(), f"{here.path}/users"
    started_s = time.monotonic()
    with stalled(own, "effect"):
        sent = posting(workers, path, {"username": name}, key)
        await someone_waits(own)
        while time.monotonic() - started_s < WAIT_S - 0.3:
            assert await slowest([call for api in workers for call in others(api, here)]) < STEADY
        done, [first] = await asyncio.wait(sent, timeout=WAIT_S, return_when=asyncio.ALL_COMPLETED)
        assert time.monotonic() - started_s < 2 * WAIT_S + 1
        refusals = [each.result() for each in done]
        assert {told(answer) for answer in refusals} == {(409, "idempotency_in_progress")}
        assert {answer.headers["Retry-After"] for answer in refusals} == {"1"}
        assert max(answer.elapsed.total_seconds() for answer in refusals) < WAIT_S + SLACK_S
    made = await first
    assert (made.status_code, is_replayed(made)) == (201, False)
    answers = await asyncio.gather(*posting(workers, path, {"username": name}, key))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, made.content)}
    assert execute(own.admin_url, USERS_NAMED, name) == [(1,)]


async def test_another_caller_or_path_does_not_wait_for_it(
    workers: list[Api], here: Organisation, own: Database
) -> None:
    key, held_up, path = new_key(), unique("stalled"), f"{here.path}/users"
    first, second = workers[0], Api(workers[1].client, (await here.holding("*")).key)
    with stalled(own, "effect", "NEW.username LIKE 'stalled%'"):
        sent = asyncio.create_task(first.post(path, {"username": held_up}, **under(key)))
        await someone_waits(own)
        for caller, to, body in (
            (second, path, {"username": unique("free")}),
            (first, f"{here.path}/apps/shop/keys", {"name": "free"}),
            (second, f"{here.path}/apps/shop/keys", {"name": "free"}),
        ):
            assert (await caller.post(to, body, **under(key))).status_code == 201
    assert (await sent).status_code == 201


async def test_were_two_to_hold_one_key_the_row_of_the_first_would_undo_what_the_second_did(
    here: Organisation, own: Database
) -> None:
    id, names = new_key().encode(), [unique("user") for _ in range(2)]

    async def act(name: str) -> str:
        try:
            async with here.stores.transaction() as tx:
                await tx.users.create(here.id, NewUser(username=name))
                await tx.idempotency.keep(here.id, "key:k", id, b"hash", 201, b"sealed")
        except Conflict as error:
            return error.code
        return "done"

    assert Counter(await asyncio.gather(*map(act, names))) == {"done": 1, "idempotency_key_taken": 1}
    assert sum(execute(own.admin_url, USERS_NAMED, name)[0][0] for name in names) == 1


async def test_of_those_who_wait_in_one_worker_one_asks_the_database(
    here: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def held_elsewhere(store: IdempotencyStore, tenant_id: str, id: bytes) -> bool:
        asked.append(tenant_id)
        return False

    monkeypatch.setattr(IdempotencyStore, "hold", held_elsewhere)
    answers = await asyncio.gather(*posting([here.admin], f"{here.path}/users", {"username": "bo"}, new_key(), 50))
    assert {told(answer) for answer in answers} == {(409, "idempotency_in_progress")}
    assert len(asked) < 2 * 50, "who never got a turn may ask once, at the end"
