"""What is taken from a key's limits: never more than there is, on any number of workers, and never twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from identity import embedded
from identity.app_keys import AppKeyChanges, IssuedKey, NewAppKey
from identity.db import Connection, settings_of
from identity.errors import Unavailable
from identity.key_credits import TopUp
from identity.settings import Settings
from identity.stores import Stores
from identity.verify import Seen, Verification, open_verifier
from identity.verify.lane import Lane
from identity.verify.lanes import Lanes, open_lanes
from identity.verify.limits import MAX_TURNS, Ask, Limits, Room, Taken
from identity.verify.statements import SLOTS, TAKE
from tests.conftest import Organisation
from tests.server import Database
from tests.verify.troubles import BUSY_S, stopped, timed

BURST: dict[str, Any] = {"name": "burst", "limit": 10, "window_s": 20}
SLOW: dict[str, Any] = {"name": "slow", "limit": 15, "window_s": 60}
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


async def nothing(_: Connection) -> None:
    pass


@asynccontextmanager
async def worker(settings: Settings, size: int = 2) -> AsyncIterator[tuple[Lanes, Limits]]:
    url, timeout_s = settings.lanes_url, settings.verify_timeout_s
    async with open_lanes(
        url, size=size, timeout_s=timeout_s, on_lost=lambda: None, seen=Seen(), check=nothing
    ) as lanes:
        yield lanes, Limits(lanes)


@pytest.fixture
async def limits(settings: Settings) -> AsyncIterator[Limits]:
    async with worker(settings, size=1) as (_, found):
        yield found


async def issued(org: Organisation, **limits: Any) -> IssuedKey:
    return await org.stores.app_keys.issue(org.id, "shop", NewAppKey.model_validate({"name": "limited"} | limits))


async def take(limits: Limits, key: IssuedKey, cost: int = 1, **costs: int) -> Taken:
    ask = Ask(key.tenant_id, key.id, cost, tuple(sorted(costs.items())))
    return await limits.take(ask, limits._lanes.now_s)


async def codes(*taking: Any) -> dict[str, int]:
    return dict(Counter(taken.code for taken in await asyncio.gather(*taking)))


async def remaining(stores: Stores, key: IssuedKey) -> int:
    credits = (await stores.app_keys.get(key.tenant_id, "shop", key.id)).credits
    assert credits is not None
    return credits.remaining


async def test_of_400_at_once_on_two_workers_exactly_100_pass(org: Organisation, settings: Settings) -> None:
    key = await issued(org, credits={"remaining": 100})
    async with worker(settings) as (_, one), worker(settings) as (_, other):
        found = await codes(*(take(limits, key) for _ in range(200) for limits in (one, other)))
    assert found == {"valid": 100, "credits_exhausted": 300}
    assert await remaining(org.stores, key) == 0


async def test_a_rate_limit_is_exact_on_two_workers_too(org: Organisation, settings: Settings) -> None:
    key = await issued(org, rate_limits=[BURST, SLOW], credits={"remaining": 100})
    async with worker(settings) as (_, one), worker(settings) as (_, other):
        found = await codes(*(take(limits, key) for _ in range(100) for limits in (one, other)))
    assert found == {"valid": 10, "rate_limited": 190}
    assert await remaining(org.stores, key) == 90, "all limits or none"


async def test_each_of_those_who_ask_at_once_is_told_what_is_left_after_it(org: Organisation, limits: Limits) -> None:
    key = await issued(org, credits={"remaining": 7}, rate_limits=[SLOW])
    found = await asyncio.gather(*(take(limits, key, 2) for _ in range(5)))
    assert [taken.credits for taken in found] == [5, 3, 1, 1, 1]
    assert [taken.rate_limits[0]["remaining"] for taken in found] == [13, 11, 9, 9, 9]
    assert [taken.code for taken in found] == ["valid"] * 3 + ["credits_exhausted"] * 2


async def test_those_who_ask_otherwise_come_one_after_the_other(org: Organisation, limits: Limits) -> None:
    key = await issued(org, credits={"remaining": 100})
    found = await asyncio.gather(*(take(limits, key, cost) for cost in (1, 2, 3, 4) for _ in range(5)))
    assert {taken.code for taken in found} == {"valid"}
    assert await remaining(org.stores, key) == 100 - 5 * (1 + 2 + 3 + 4)


async def test_a_named_cost_is_that_limits_alone(org: Organisation, limits: Limits) -> None:
    key = await issued(org, credits={"remaining": 100}, rate_limits=[BURST, SLOW])
    taken = await take(limits, key, 1, burst=10, unknown=99)
    assert (taken.code, taken.credits) == ("valid", 99)
    assert {each["name"]: each["remaining"] for each in taken.rate_limits} == {"burst": 0, "slow": 14}
    assert (await take(limits, key, 1)).code == "rate_limited"
    assert (await take(limits, key, 1, burst=0)).code == "valid"


async def test_a_look_takes_nothing_and_passes_where_nothing_is_left(org: Organisation, limits: Limits) -> None:
    key = await issued(org, credits={"remaining": 0}, rate_limits=[BURST])
    looked = await take(limits, key, 0)
    burst = {"name": "burst", "limit": 10, "remaining": 10, "reset_s": 0}
    assert looked == Taken("valid", 0, (burst,))
    assert (await take(limits, key)).code == "credits_exhausted"


async def test_too_little_room_is_told_before_too_little_credit(org: Organisation, limits: Limits) -> None:
    key = await issued(org, credits={"remaining": 3}, rate_limits=[BURST])
    assert [(await take(limits, key, cost)).code for cost in (11, 10, 3)] == [
        "rate_limited",
        "credits_exhausted",
        "valid",
    ]


async def test_a_key_without_limits_takes_nothing(org: Organisation, limits: Limits) -> None:
    assert await take(limits, org.key) == Taken("valid")


async def test_a_limit_that_is_lowered_below_what_was_taken_refuses(org: Organisation, limits: Limits) -> None:
    key = await issued(org, rate_limits=[BURST])
    assert (await take(limits, key, 8)).code == "valid"
    lower = AppKeyChanges.model_validate({"rate_limits": [BURST | {"limit": 5}]})
    await org.stores.app_keys.update(org.id, "shop", key.id, lower)
    taken = await take(limits, key)
    assert (taken.code, taken.rate_limits[0]["remaining"]) == ("rate_limited", 0)
    assert (await take(limits, key, 0)).code == "valid"


async def test_taking_moves_neither_the_etag_nor_the_change_counter(
    org: Organisation, limits: Limits, database: Database
) -> None:
    key = await issued(org, credits={"remaining": 9}, rate_limits=[BURST])
    with psycopg.connect(database.admin_url) as connection:
        count = "SELECT n FROM identity.tenant_changes WHERE tenant_id = %s"
        before = connection.execute(count, [org.id]).fetchone()
        assert (await take(limits, key)).code == "valid"
        assert connection.execute(count, [org.id]).fetchone() == before
    assert (await org.stores.app_keys.get(org.id, "shop", key.id)).updated_at == key.updated_at


async def test_only_what_is_taken_from_is_written(org: Organisation, limits: Limits, database: Database) -> None:
    key = await issued(org, credits={"remaining": 1})
    row = "SELECT xmin, ctid FROM identity.key_limits WHERE key_id = %s"
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        assert (await take(limits, key)).code == "valid"
        before = connection.execute(row, [key.id]).fetchone()
        assert await codes(take(limits, key), take(limits, key, 0)) == {"credits_exhausted": 1, "valid": 1}
        assert connection.execute(row, [key.id]).fetchone() == before


async def test_topping_up_and_taking_at_once_lose_nothing(org: Organisation, settings: Settings) -> None:
    key = await issued(org, credits={"remaining": 100})
    add = TopUp(add=1)
    async with worker(settings) as (_, one), worker(settings) as (_, other):
        topping = [org.stores.key_credits.top_up(org.id, "shop", key.id, add) for _ in range(50)]
        taking = [take(limits, key) for _ in range(60) for limits in (one, other)]
        found, _ = await asyncio.gather(codes(*taking), asyncio.gather(*topping))
    assert await remaining(org.stores, key) + found["valid"] == 150


async def test_workers_that_take_the_same_keys_in_opposite_orders_do_not_deadlock(
    org: Organisation, settings: Settings
) -> None:
    news = [NewAppKey.model_validate({"name": "k", "credits": {"remaining": 1000}}) for _ in range(40)]
    keys = await org.stores.app_keys.issue_many(org.id, "shop", news)
    async with worker(settings) as (_, one), worker(settings) as (_, other):
        for _ in range(10):
            there, back = [take(one, key) for key in keys], [take(other, key) for key in reversed(keys)]
            assert await codes(*there, *back) == {"valid": 80}
    assert {await remaining(org.stores, key) for key in keys} == {980}


async def test_a_key_that_somebody_holds_keeps_no_other_waiting(
    org: Organisation, limits: Limits, database: Database
) -> None:
    held, free = [await issued(org, credits={"remaining": 100}) for _ in range(2)]
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SELECT FROM identity.key_limits WHERE key_id = %s FOR UPDATE", [held.id])
        waiting = [asyncio.create_task(take(limits, held)) for _ in range(4)]
        started_s = time.monotonic()
        for _ in range(50):
            assert (await take(limits, free)).code == "valid"
        assert time.monotonic() - started_s < 0.7 + BUSY_S
        for each in waiting[:2]:
            with pytest.raises(Unavailable):
                await each
    assert await remaining(org.stores, held) == 100
    assert (await take(limits, held)).code == "valid"


async def test_on_a_silent_lane_nothing_is_taken_twice(
    its: Organisation, place: Settings, server: embedded.Server
) -> None:
    key = await issued(its, credits={"remaining": 100})
    async with worker(place) as (lanes, limits):
        silent = lanes._idle[-1]
        with stopped([silent._pgconn.backend_pid]):
            started_s = time.monotonic()
            with pytest.raises(Unavailable):
                await take(limits, key)
            assert 0.9 <= time.monotonic() - started_s < 0.9 + BUSY_S
        await asyncio.sleep(0.1)
        assert await remaining(its.stores, key) in (99, 100)


async def test_what_a_lost_lane_was_to_take_is_not_asked_again(its: Organisation, place: Settings) -> None:
    key = await issued(its, credits={"remaining": 100})
    async with worker(place) as (lanes, limits):
        lane = lanes._idle[-1]
        with stopped([lane._pgconn.backend_pid]):
            asked = asyncio.create_task(take(limits, key))
            await asyncio.sleep(0.05)
            lane.lose()
            with pytest.raises(Unavailable):
                await asked
        await asyncio.sleep(0.1)
        assert await remaining(its.stores, key) in (99, 100)


async def test_who_was_told_503_meanwhile_takes_nothing(
    org: Organisation, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Different costs of one key come one after the other; the first of them takes too long, and yet not so long that
    its lane is given up."""
    key, hasty = await issued(org, credits={"remaining": 1000}), settings.model_copy(update={"verify_timeout_s": 0.3})
    deliver, held = Lane._deliver, set[asyncio.TimerHandle]()

    def late(lane: Lane, rows: Any) -> None:
        if held:
            deliver(lane, rows)
        else:
            held.add(asyncio.get_running_loop().call_later(0.6, deliver, lane, rows))

    async with worker(hasty, size=1) as (lanes, limits):
        monkeypatch.setattr(Lane, "_deliver", late)
        lanes._last_size = 3  # or the first of them would go alone
        asked = [take(limits, key, cost) for cost in (1, 10, 100)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(each, Unavailable) for each in found)
        assert not lanes._idle, "it is not answered yet"
        until_s = time.monotonic() + 5
        while not lanes._idle:
            assert time.monotonic() < until_s
            await asyncio.sleep(0.02)
        assert await remaining(org.stores, key) == 999


async def test_nobody_keeps_others_waiting_by_many_costs(
    org: Organisation, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, sent, send = await issued(org, credits={"remaining": 10_000}), list[int](), Lane._send
    other = await issued(org, credits={"remaining": 1})

    def counted(lane: Lane, name: bytes, params: tuple[bytes, ...]) -> None:
        sent.append(len(json.loads(params[0])))
        send(lane, name, params)

    monkeypatch.setattr(Lane, "_send", counted)
    many = [asyncio.create_task(take(limits, key, cost)) for cost in range(1, 31)]
    await asyncio.sleep(0)
    one = asyncio.create_task(take(limits, other))
    assert (await one).code == "valid"
    assert len(sent) <= 2 * MAX_TURNS
    assert {(await each).code for each in many} == {"valid"}
    assert await remaining(org.stores, key) == 10_000 - sum(range(1, 31))


async def test_while_nothing_can_be_taken_all_other_keys_are_verified(its: Organisation, place: Settings) -> None:
    """As when the disk stalls, or a synchronous replica is gone: whoever commits waits then, and who reads does not."""
    key = await issued(its, credits={"remaining": 100})
    async with open_verifier(place) as verifier:
        [taking] = verifier.limits._lanes._lanes
        with stopped([taking._pgconn.backend_pid]):
            waiting = [asyncio.create_task(verifier.verify(Verification(key=key.key))) for _ in range(20)]
            for _ in range(20):
                took_s, good = await timed(verifier, its)
                assert good
                assert took_s < BUSY_S
            for each in waiting:
                with pytest.raises(Unavailable):
                    await each
        assert (await verifier.verify(Verification(key=key.key, cost=0))).valid


class Model:
    """The limits in so many words: each thing that was taken, and when."""

    def __init__(self, credits: int | None, refill: tuple[int, int] | None) -> None:
        self.remaining = credits
        self.refill = refill
        self.refilled_s = 0.0
        self.taken: dict[str, list[tuple[float, int]]] = {"burst": [], "slow": []}

    def look(self, at_s: float) -> None:
        while self.refill and self.remaining is not None and at_s - self.refilled_s >= self.refill[1]:
            self.remaining += self.refill[0]
            self.refilled_s += self.refill[1]

    def within(self, limit: dict[str, Any], at_s: float, span_s: float) -> int:
        return sum(n for when_s, n in self.taken[limit["name"]] if when_s > at_s - span_s)

    def fits(self, limit: dict[str, Any], at_s: float, cost: int, span_s: float) -> bool:
        return cost == 0 or self.within(limit, at_s, span_s) + cost <= limit["limit"]


COSTS = st.integers(0, 6)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0.01, 4), st.sampled_from([1.0, 3.0, 19.0, 20.0, 21.0, 60.0, 63.5])),
        COSTS,
        st.dictionaries(st.sampled_from(["burst", "slow"]), COSTS),
        st.integers(1, 4),
    ),
    max_size=25,
)


@pytest.fixture
async def statement(org: Organisation, database: Database) -> AsyncIterator[Any]:
    """The statement by a clock of ours, on a key with such limits."""
    key = await issued(org, rate_limits=[BURST, SLOW], credits={"remaining": 0})
    text = TAKE.replace("%", "%%").replace("$1", "%(asked)s").replace("clock_timestamp()", "%(at)s::timestamptz")
    lane = settings_of(database.service_url, role="identity_verifier")
    with (
        psycopg.connect(lane, autocommit=True) as connection,
        psycopg.connect(database.admin_url, autocommit=True) as admin,
    ):

        def begin(credits: int | None, refill: tuple[int, int] | None) -> Any:
            given = {"refill_amount": refill[0], "refill_interval_s": refill[1]} if refill else {}
            config = None if credits is None else json.dumps(given)
            admin.execute("UPDATE identity.app_keys SET credits = %s WHERE id = %s", [config, key.id])
            reset = "UPDATE identity.key_limits SET remaining = %s, refilled_at = %s, counts = '{}' WHERE key_id = %s"
            admin.execute(reset, [credits or 0, BEGIN, key.id])

            def run(at_s: float, cost: int, costs: dict[str, int], times: int) -> list[Taken]:
                ask = Ask(org.id, key.id, cost, tuple(sorted(costs.items())))
                params = {"asked": json.dumps([ask.row(times)]), "at": BEGIN + timedelta(seconds=at_s)}
                [row] = connection.execute(text.encode(), params).fetchall()
                room = Room.of((*row[:4], json.dumps(row[4]), row[5]))
                return [room.deal(ask, nth) for nth in range(times)]

            return run

        yield begin


async def test_it_takes_as_the_model_does(statement: Any) -> None:
    @hypothesis_settings(deadline=None, max_examples=100)
    @given(
        st.one_of(st.none(), st.integers(0, 60)),
        st.one_of(st.none(), st.tuples(COSTS.map(lambda n: n + 1), st.integers(1, 30))),
        STEPS,
    )
    def check(credits: int | None, refill: tuple[int, int] | None, steps: Any) -> None:
        model, run, at_s = Model(credits, refill), statement(credits, refill), 0.0
        for after_s, cost, costs, times in steps:
            at_s = round(at_s + after_s, 3)
            for taken in run(at_s, cost, costs, times):
                judge(model, at_s, cost, costs, taken)

    check()


def judge(model: Model, at_s: float, cost: int, costs: dict[str, int], taken: Taken) -> None:
    model.look(at_s)
    prices = {limit["name"]: costs.get(limit["name"], cost) for limit in (BURST, SLOW)}
    strict = all(model.fits(each, at_s, prices[each["name"]], each["window_s"]) for each in (BURST, SLOW))
    late = all(
        model.fits(each, at_s, prices[each["name"]], each["window_s"] * (1 + 1 / SLOTS)) for each in (BURST, SLOW)
    )
    paid = model.remaining is None or cost == 0 or model.remaining >= cost
    if taken.code == "rate_limited":
        assert not late, "there was room, a slot ago already"
    else:
        assert strict, "more than the limit within its window"
        assert taken.code == ("valid" if paid else "credits_exhausted")
    if taken.code == "valid":
        model.remaining = None if model.remaining is None else model.remaining - cost
        for name, price in prices.items():
            model.taken[name].append((at_s, price))
    assert taken.credits == model.remaining
    for limit, told in zip((BURST, SLOW), taken.rate_limits, strict=True):
        assert told["remaining"] <= limit["limit"] - model.within(limit, at_s, limit["window_s"])
        assert 0 <= told["reset_s"] <= limit["window_s"] * (1 + 1 / SLOTS) + 1


async def test_once_it_is_closed_nobody_waits(settings: Settings) -> None:
    told: list[Taken | None] = []
    async with worker(settings, size=1) as (_, limits):
        pass
    limits.take_then(Ask("acme", "key", 1, ()), 0, told.append)
    assert told == [None]
