"""A lane that is silent, lost, late or of another server keeps nobody waiting and makes nobody believe."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from identity import embedded
from identity.db import Connection
from identity.errors import Unavailable
from identity.settings import Settings
from identity.verify import Verifier, open_verifier, opening
from identity.verify.opening import CONNECT_S, connect
from tests.conftest import Organisation
from tests.server import execute
from tests.verify.troubles import BUSY_S, backends, is_valid, lanes, locked, stopped, timed, until


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
    before, counts = lanes(worker), {2}

    async def count() -> None:
        while True:  # at each turn of the loop: a lane may be replaced within a few milliseconds
            counts.add(len(lanes(worker)))
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    with stopped(backends(worker)):
        answers = await asyncio.gather(*(timed(worker, its) for _ in range(20)))
        asked = []
        until_s = time.monotonic() + 5
        while set(before) & set(lanes(worker)):
            assert time.monotonic() < until_s
            asked.append(asyncio.create_task(timed(worker, its)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*asked)
    counting.cancel()
    assert {good for _, good in answers} == {None}
    assert max(took_s for took_s, _ in answers) < 0.9 + BUSY_S
    assert counts == {1, 2}, "one is replaced at a time"
    await until(worker, 2, but=before)
    assert await is_valid(worker, its)


async def test_while_the_whole_server_is_silent_one_lane_is_given_up_and_no_other(
    server: embedded.Server, its: Organisation, worker: Verifier
) -> None:
    """A checkpoint that takes its time must not start a storm of connections."""
    assert await is_valid(worker, its)
    with stopped([server.process.pid, *backends(worker)]):
        answers = await asyncio.gather(*(timed(worker, its) for _ in range(20)))
        await asyncio.gather(*(timed(worker, its) for _ in range(2)))
        assert len(lanes(worker)) == 1
    assert {good for _, good in answers} == {None}
    await until(worker, 2, but=[])
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


async def test_a_new_lane_ends_those_that_speak_to_a_server_from_before(its: Organisation, worker: Verifier) -> None:
    first, second = before = lanes(worker)
    worker.lanes._lanes[first] = "2001-01-01 00:00:00+00"
    second.lose()
    await until(worker, 2, but=before)
    assert await is_valid(worker, its)


async def test_a_replica_is_no_place_for_look_ups(place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "WHERE_WE_ARE", "SELECT true, pg_postmaster_start_time()::text")
    with pytest.raises(Exception, match="does not answer"):
        async with open_verifier(place):
            pass


async def test_a_server_that_falls_silent_while_a_lane_is_made_ready_is_not_waited_for(
    server: embedded.Server, place: Settings
) -> None:
    """Cancelled, psycopg would ask the server first, and wait for ten seconds."""

    async def falls_silent(connection: Connection) -> None:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            await connection.execute("SELECT 1")
        finally:
            os.kill(backend, signal.SIGCONT)

    with pytest.raises(Unavailable):
        async with asyncio.timeout(CONNECT_S + 2 * BUSY_S):
            await connect(place.lanes_url, falls_silent)
