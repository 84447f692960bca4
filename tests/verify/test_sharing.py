"""Many share one statement, and each gets the answer to its own question, or none within a second."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from identity import embedded
from identity.app_keys import NewAppKey
from identity.settings import Settings
from identity.verify import Verification, Verifier, open_verifier
from identity.verify.lane import Lane
from tests.conftest import Organisation
from tests.verify.stalls import stalled
from tests.verify.troubles import BUSY_S, is_valid, lanes, locked, timed


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
            asked = []
            for _ in range(4):  # one batch on each lane, and one that is not sent
                asked.append(asyncio.create_task(timed(closing, its)))
                await asyncio.sleep(0.02)
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


async def test_what_waits_for_a_lane_is_not_asked_twice(
    server: embedded.Server, its: Organisation, worker: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a slow database would be asked for twice as much."""
    asked: list[bytes] = []
    send = Lane._send

    def counted(lane: Lane, name: bytes, params: tuple[bytes, ...]) -> None:
        asked.append(name)
        send(lane, name, params)

    monkeypatch.setattr(Lane, "_send", counted)
    worker.lanes._idle, idle = [], worker.lanes._idle
    late = asyncio.create_task(timed(worker, its))
    await asyncio.sleep(0.4)
    worker.lanes._idle = idle
    worker.lanes._kick()
    assert (await late)[1] is True
    await asyncio.sleep(0.1)
    assert asked == [b"live"]


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
