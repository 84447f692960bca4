"""A lane that is silent, lost, late or of another server keeps nobody waiting and makes nobody believe."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest
from pydantic import SecretStr

from identity import embedded, migrate
from identity.app_keys import NewAppKey
from identity.cli.start import new_secret_key
from identity.errors import Unavailable
from identity.settings import Settings
from identity.stores import Stores, open_stores
from identity.verify import Verification, Verifier, open_verifier, statements
from identity.verify.lane import Lane, Rows
from tests.conftest import Organisation, make_organisation
from tests.server import execute
from tests.verify.stalls import stalled

LOGIN = "identity_service"
BUSY_S = 0.35
"""What a busy machine may add."""


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.Server]:
    """One whose processes may be stopped."""
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    directory.chmod(0o711)
    with embedded.server(directory, embedded.THROW_AWAY) as place:
        migrate.apply(place.url(embedded.SUPERUSER))
        migrate.make_login(place.url(embedded.SUPERUSER), LOGIN, None)
        yield place
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def place(server: embedded.Server) -> Settings:
    url = SecretStr(server.url(LOGIN))
    return Settings(_env_file=None, database_url=url, secret_key=SecretStr(new_secret_key()))


@pytest.fixture(scope="module")
async def its_stores(place: Settings) -> AsyncIterator[Stores]:
    async with open_stores(place) as found:
        yield found


@pytest.fixture
async def worker(place: Settings) -> AsyncIterator[Verifier]:
    async with open_verifier(place) as found:
        yield found


@pytest.fixture
async def its(its_stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    return await make_organisation(its_stores, client)


async def is_valid(verifier: Verifier, org: Organisation) -> bool:
    return (await verifier.verify(Verification(key=org.key.key))).valid


def lanes(verifier: Verifier) -> list[Lane]:
    return list(verifier.lanes._lanes)


def backends(verifier: Verifier) -> list[int]:
    return [lane._pgconn.backend_pid for lane in lanes(verifier)]


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def locked(server: embedded.Server) -> Iterator[None]:
    """No look-up can read the counters meanwhile."""
    with psycopg.connect(server.url(embedded.SUPERUSER)) as connection:
        connection.execute("LOCK TABLE identity.tenant_changes")
        yield


async def until(verifier: Verifier, count: int, *, but: list[Lane], within_s: float = 5) -> None:
    until_s = time.monotonic() + within_s
    while not (len(lanes(verifier)) == count and not set(but) & set(lanes(verifier))):
        assert time.monotonic() < until_s
        await asyncio.sleep(0.01)


async def timed(verifier: Verifier, org: Organisation) -> tuple[float, bool | None]:
    """How long an answer took, and whether it was good; None where there was none."""
    started_s = time.monotonic()
    try:
        good = await is_valid(verifier, org)
    except Unavailable:
        return time.monotonic() - started_s, None
    return time.monotonic() - started_s, good


@pytest.mark.parametrize("warm", [False, True])
async def test_what_a_silent_lane_was_asked_is_asked_again_on_another(
    its: Organisation, worker: Verifier, warm: bool
) -> None:
    if warm:
        assert await is_valid(worker, its)
    before = lanes(worker)
    with stopped(backends(worker)[1:]):
        answers = await asyncio.gather(*(timed(worker, its) for _ in range(20)))
        answers += [await timed(worker, its) for _ in range(20)]
    assert {good for _, good in answers} == {True}
    assert 0.25 <= max(took_s for took_s, _ in answers) < 0.25 + BUSY_S
    assert lanes(worker) == before


async def test_a_lane_that_stays_silent_is_replaced_and_all_is_forgotten(its: Organisation, worker: Verifier) -> None:
    assert await is_valid(worker, its)
    silent, epoch = lanes(worker)[1], worker.memory.epoch
    with stopped([silent._pgconn.backend_pid]):
        started_s = time.monotonic()
        assert await is_valid(worker, its)
        await until(worker, 2, but=[silent])
        assert 1 <= time.monotonic() - started_s < 1 + 2 * BUSY_S
    assert worker.memory.epoch == epoch + 2, "once when it is lost, once when it is replaced"
    assert await is_valid(worker, its)


async def test_when_all_lanes_are_silent_the_answer_is_unavailable_within_a_second(
    its: Organisation, worker: Verifier
) -> None:
    assert await is_valid(worker, its)
    before, fewest = lanes(worker), 2
    with stopped(backends(worker)):
        answers = await asyncio.gather(*(timed(worker, its) for _ in range(20)))
        asked = []
        until_s = time.monotonic() + 5
        while set(before) & set(lanes(worker)):
            fewest = min(fewest, len(lanes(worker)))
            assert time.monotonic() < until_s
            asked.append(asyncio.create_task(timed(worker, its)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*asked)
    assert {good for _, good in answers} == {None}
    assert max(took_s for took_s, _ in answers) < 0.9 + BUSY_S
    assert fewest == 1, "one is replaced at a time"
    await until(worker, 2, but=before)
    assert await is_valid(worker, its)


@pytest.mark.parametrize("how", ["killed", "cut"])
async def test_lanes_that_are_lost_are_replaced_while_their_questions_are_answered(
    server: embedded.Server, its: Organisation, worker: Verifier, how: str
) -> None:
    assert await is_valid(worker, its)
    before, epoch = lanes(worker), worker.memory.epoch
    asked = [asyncio.create_task(timed(worker, its)) for _ in range(50)]
    await asyncio.sleep(0)
    if how == "killed":
        execute(
            server.url(embedded.SUPERUSER),
            "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid",
            backends(worker),
        )
    else:
        for lane in before:
            with socket.fromfd(lane._pgconn.socket, socket.AF_UNIX, socket.SOCK_STREAM) as end:
                end.shutdown(socket.SHUT_RDWR)
    answers = await asyncio.gather(*asked, *(timed(worker, its) for _ in range(50)))
    assert {good for _, good in answers} == {True}
    await until(worker, 2, but=before)
    assert worker.memory.epoch == epoch + 4
    assert await is_valid(worker, its)


async def test_a_statement_that_is_cancelled_is_asked_again_on_a_lane_that_stays(
    server: embedded.Server, its: Organisation, worker: Verifier
) -> None:
    before = lanes(worker)
    with locked(server):
        asked = asyncio.create_task(timed(worker, its))
        await asyncio.sleep(0.1)
        execute(
            server.url(embedded.SUPERUSER),
            "SELECT pg_cancel_backend(pid) FROM unnest(%s::int[]) AS pid",
            backends(worker),
        )
        await asyncio.sleep(0.1)
    assert (await asked)[1] is True
    assert set(lanes(worker)) == set(before)


async def test_a_statement_that_waits_too_long_is_unavailable_and_its_lane_stays(
    server: embedded.Server, its: Organisation, worker: Verifier
) -> None:
    before = lanes(worker)
    with locked(server):
        took_s, good = await timed(worker, its)
    assert good is None
    assert 0.9 <= took_s < 0.9 + BUSY_S
    await asyncio.sleep(0.1)
    assert await is_valid(worker, its)
    assert set(lanes(worker)) == set(before)


async def test_a_proof_and_the_look_up_after_it_take_no_longer_together(
    server: embedded.Server, its: Organisation, worker: Verifier
) -> None:
    assert await is_valid(worker, its)
    with stalled("warm, after the counter is read") as stall:
        asked = asyncio.create_task(timed(worker, its))
        await stall.reached.wait()
        await asyncio.sleep(0.2)
        with locked(server):
            worker.memory.forget_all()
            stall.release()
            took_s, good = await asked
    assert good is None
    assert took_s < 0.9 + BUSY_S / 2


async def test_what_waits_for_a_lane_is_not_asked_twice(
    server: embedded.Server, its: Organisation, worker: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a slow database would be asked for twice as much."""
    asked: list[bytes] = []
    ask = Lane.ask

    async def counted(lane: Lane, name: bytes, *params: bytes) -> Rows:
        asked.append(name)
        return await ask(lane, name, *params)

    monkeypatch.setattr(Lane, "ask", counted)
    worker.lanes._idle, idle = [], worker.lanes._idle
    late = asyncio.create_task(timed(worker, its))
    await asyncio.sleep(0.4)
    worker.lanes._idle = idle
    worker.lanes._kick()
    assert (await late)[1] is True
    await asyncio.sleep(0.1)
    assert asked == [b"live"]


async def test_a_new_lane_ends_those_that_speak_to_a_server_from_before(its: Organisation, worker: Verifier) -> None:
    first, second = before = lanes(worker)
    worker.lanes._lanes[first] = "2001-01-01 00:00:00+00"
    second.lose()
    await until(worker, 2, but=before)
    assert await is_valid(worker, its)


async def test_a_replica_is_no_place_for_look_ups(place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(statements.PREPARED, b"where", "SELECT true, pg_postmaster_start_time()::text")
    with pytest.raises(Exception, match="does not answer"):
        async with open_verifier(place):
            pass


async def test_a_probe_beside_look_ups_costs_no_lane(its: Organisation, worker: Verifier) -> None:
    before, epoch = lanes(worker), worker.memory.epoch
    for _ in range(20):
        await asyncio.gather(is_valid(worker, its), worker.probe(), is_valid(worker, its), worker.probe())
    assert set(lanes(worker)) == set(before)
    assert worker.memory.epoch == epoch


async def test_one_that_leaves_takes_nobody_along(its: Organisation, worker: Verifier) -> None:
    asked = [asyncio.create_task(is_valid(worker, its)) for _ in range(10)]
    await asyncio.sleep(0)
    for each in asked[::2]:
        each.cancel()
    assert all(await asyncio.gather(*asked[1::2]))
    assert all(
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*asked[::2], return_exceptions=True)
    )


async def test_closing_lets_nobody_wait(server: embedded.Server, place: Settings, its: Organisation) -> None:
    async with open_verifier(place) as closing:
        with locked(server):
            asked = [asyncio.create_task(timed(closing, its)) for _ in range(10)]
            await asyncio.sleep(0.05)
            started_s = time.monotonic()
            await closing.lanes.close()
            assert {(await each)[1] for each in asked} == {None}
    assert (await timed(closing, its))[1] is None
    assert time.monotonic() - started_s < BUSY_S


async def test_answers_are_never_swapped(its: Organisation, worker: Verifier) -> None:
    news = [NewAppKey(name=f"n{n}", metadata={"n": n}) for n in range(500)]
    keys = await its.stores.app_keys.issue_many(its.id, "shop", news)
    drawn, wrong = random.Random(500), 0

    async def client() -> None:
        nonlocal wrong
        for _ in range(200):
            n = drawn.randrange(500)
            verdict = await worker.verify(Verification(key=keys[n].key))
            wrong += (verdict.valid, verdict.name, verdict.metadata) != (True, f"n{n}", {"n": n})
            if drawn.random() < 0.01:
                worker.memory.forget_all()

    await asyncio.gather(*(client() for _ in range(100)))
    assert wrong == 0
