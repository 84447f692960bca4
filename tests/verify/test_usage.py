"""Uses are counted once: over several workers, over cut connections, beside keys that go, and while the database is
away."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx2
import psycopg
import pytest

from identity.app_keys import NewAppKey
from identity.settings import Settings
from identity.stores import open_stores
from identity.verify import usage as module
from identity.verify.usage import AT_ONCE, LOCK_S, Usage, open_usage
from tests.conftest import Organisation, make_organisation, settings_for
from tests.idempotency.test_sweeping import shut
from tests.server import Database, execute, new_database
from tests.verify.troubles import BUSY_S, stopped

Name = tuple[str, str, str]

COUNTS = "SELECT tenant_id, key_id, code, sum(count)::int FROM identity.key_usage WHERE tenant_id = %s GROUP BY 1, 2, 3"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
HOLD = "SELECT FROM identity.key_usage WHERE tenant_id = %s FOR UPDATE"


@pytest.fixture
async def usage(settings: Settings) -> AsyncIterator[Usage]:
    with of_workers(settings, 1) as [found]:
        yield found


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[Usage]:
    with of_workers(settings, 1) as [found]:
        yield found


@contextmanager
def of_workers(settings: Settings, count: int) -> Iterator[list[Usage]]:
    """What nobody writes but by hand."""
    usages = [Usage(settings.lanes_url) for _ in range(count)]
    yield usages
    for usage in usages:
        usage._disconnect()


def counted(database: Database, org: Organisation) -> Counter[Name]:
    return Counter({(a, b, code): n for a, b, code, n in execute(database.admin_url, COUNTS, org.id)})


def count(usage: Usage, org: Organisation, code: str = "valid", times: int = 1) -> Counter[Name]:
    for _ in range(times):
        usage.count(org.id, org.key.id, code)
    return Counter({(org.id, org.key.id, code): times})


async def last_use(org: Organisation) -> datetime | None:
    return (await org.stores.app_keys.get(org.id, "shop", org.key.id)).last_used_at


async def test_each_verification_of_each_worker_is_counted_once(
    org: Organisation, other_org: Organisation, settings: Settings, database: Database
) -> None:
    deadlocks = execute(database.admin_url, DEADLOCKS)
    keys = await org.stores.app_keys.issue_many(org.id, "shop", [NewAppKey(name="k") for _ in range(400)])
    names = [(org.id, key.id, code) for key in keys for code in ("valid", "insufficient_scope")]
    names.append((other_org.id, other_org.key.id, "revoked"))
    expected: Counter[Name] = Counter()
    with of_workers(settings, 4) as usages:
        for _ in range(5):
            for usage in usages:
                chosen = random.choices(names, k=3000)
                expected.update(chosen)
                for name in chosen:
                    usage.count(*name)
            assert all(await asyncio.gather(*(usage.flush() for usage in usages)))
    assert counted(database, org) + counted(database, other_org) == expected
    assert execute(database.admin_url, DEADLOCKS) == deadlocks


async def test_workers_that_write_the_same_counts_do_not_wait_for_each_other_in_a_circle(
    org: Organisation, settings: Settings, database: Database
) -> None:
    codes = [f"code{n}" for n in range(AT_ONCE)]
    with of_workers(settings, 6) as usages:
        for _ in range(10):
            for usage in usages:
                for code in random.sample(codes, len(codes)):
                    usage.count(org.id, org.key.id, code)
            assert all(await asyncio.gather(*(usage.flush() for usage in usages)))
    assert set(counted(database, org).values()) == {60}


async def test_what_was_sent_and_never_answered_is_not_counted_twice(
    org: Organisation, usage: Usage, database: Database
) -> None:
    """Its connection is cut while the statement runs: the server notices only when it has committed."""
    expected = count(usage, org)
    assert await usage.flush()
    with psycopg.connect(database.admin_url) as holder:
        holder.execute(HOLD, [org.id])
        expected += count(usage, org, times=3)
        flush = asyncio.create_task(usage.flush())
        await asyncio.sleep(0.1)
        cut(usage)
        assert await flush is False
        expected += count(usage, org, times=5)
        again = asyncio.create_task(usage.flush())  # while the first still waits
        await asyncio.sleep(0.1)
        assert not again.done()
    assert await again
    assert await usage.flush()
    assert counted(database, org) == expected


@pytest.mark.parametrize("wait_s", [0.0, 0.2])
async def test_what_was_cut_off_is_counted_once_whether_or_not_it_had_been_done(
    org: Organisation, usage: Usage, database: Database, wait_s: float
) -> None:
    expected: Counter[Name] = Counter()
    for n in range(20):
        expected += count(usage, org, times=n + 1)
        flush = asyncio.create_task(usage.flush())
        await asyncio.sleep(wait_s / 20 + random.random() / 500)
        if usage._connection is not None and not flush.done():
            cut(usage)
        await flush
    assert await usage.flush()
    assert counted(database, org) == expected


def cut(usage: Usage) -> None:
    assert usage._connection is not None
    with suppress(psycopg.OperationalError):  # it may be gone already
        number = usage._connection.pgconn.socket
        end = socket.fromfd(number, socket.AF_UNIX, socket.SOCK_STREAM)
        end.shutdown(socket.SHUT_RDWR)
        end.close()


async def test_a_key_that_is_gone_takes_no_other_count_along(
    org: Organisation, other_org: Organisation, usage: Usage, database: Database
) -> None:
    gone = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="gone"))
    for round in range(2):
        usage.count(org.id, gone.id, "valid")
        count(usage, org)
        count(usage, other_org)
        assert await usage.flush()
        if round == 0:
            await org.stores.app_keys.delete(org.id, "shop", gone.id)
    assert counted(database, org) == {(org.id, org.key.id, "valid"): 2}
    assert counted(database, other_org) == {(other_org.id, other_org.key.id, "valid"): 2}


async def test_who_takes_a_key_away_meanwhile_goes_first(org: Organisation, usage: Usage, database: Database) -> None:
    """A flush that waits for a lock gives way before the server would have to choose between the two."""
    count(usage, org)
    assert await usage.flush()
    count(usage, org)
    with psycopg.connect(database.admin_url) as holder:
        holder.execute(HOLD, [org.id])
        started_s = time.monotonic()
        assert await usage.flush() is False
        assert LOCK_S <= time.monotonic() - started_s < LOCK_S + BUSY_S
    assert await usage.flush()
    assert sum(counted(database, org).values()) == 2


async def test_a_last_use_is_written_at_most_once_a_minute(
    org: Organisation, usage: Usage, other: Usage, database: Database
) -> None:
    assert await last_use(org) is None
    count(usage, org)
    assert await usage.flush()
    first = await last_use(org)
    assert first is not None
    assert abs((datetime.now(UTC) - first).total_seconds()) < 5
    for each in (usage, other):
        count(each, org)
        assert await each.flush()
        assert await last_use(org) == first
    execute(
        database.admin_url,
        "UPDATE identity.key_last_uses SET last_used_at = last_used_at - interval '1 minute' WHERE tenant_id = %s",
        org.id,
    )
    other._used_at_s.clear()
    count(usage, org)
    count(other, org)
    assert await usage.flush()
    earlier = await last_use(org)
    assert earlier is not None
    assert earlier < first, "it remembers by itself, and does not even ask"
    assert await other.flush()
    later = await last_use(org)
    assert later is not None
    assert later > first


async def test_a_refused_key_was_not_used(org: Organisation, usage: Usage, database: Database) -> None:
    expected = count(usage, org, "revoked") + count(usage, org, "insufficient_scope", 2)
    assert await usage.flush()
    assert await last_use(org) is None
    assert counted(database, org) == expected


@pytest.fixture
def own() -> Iterator[Database]:
    """One that a test may shut."""
    with new_database() as found:
        yield found


@pytest.fixture
async def here(own: Database, client: httpx2.AsyncClient) -> Organisation:
    async with open_stores(settings_for(own)) as stores:
        return await make_organisation(stores, client)


async def test_while_the_database_is_away_counts_are_kept_with_their_hour(
    own: Database, here: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = datetime(2026, 1, 5, 9, 59, tzinfo=UTC)
    usage = Usage(own.service_url)
    with shut(own):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=then.timestamp, monotonic=time.monotonic))
        for times in (1, 2, 3):
            count(usage, here, times=times)
            assert await usage.flush() is False
        monkeypatch.setattr(module, "time", time)
        count(usage, here, times=4)
        assert await usage.flush() is False
    assert await usage.flush()
    usage._disconnect()
    hours = execute(
        own.admin_url, "SELECT hour, count FROM identity.key_usage WHERE tenant_id = %s ORDER BY 1", here.id
    )
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert hours == [(then.replace(minute=0), 6), (this_hour, 4)]
    [(used_at,)] = execute(own.admin_url, "SELECT last_used_at FROM identity.key_last_uses")
    assert used_at <= then.replace(hour=10, minute=0)


async def test_what_waits_is_bounded_and_what_is_lost_is_known(
    org: Organisation, usage: Usage, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    monkeypatch.setattr(usage, "_conninfo", usage._conninfo + " port=1")
    for n in range(3):
        for code in range(5 * n, 5 * n + 6):
            usage.count(org.id, org.key.id, f"code{code}")
        usage._gather()
    assert ([len(each) for each in usage._waiting.values()], usage.lost) == ([10], 7)
    count(usage, org, "code3")
    usage._gather()
    assert usage.lost == 7, "what waits already goes on counting"
    assert await usage.flush() is False


async def test_what_was_in_doubt_for_an_hour_is_given_up(
    org: Organisation, usage: Usage, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that could tell whether it is in may be swept: rather not counted than twice."""
    assert await usage.flush()
    await usage._connect()
    count(usage, org, times=3)
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("LOCK TABLE identity.usage_workers")
        assert await usage.flush() is False
    assert usage._part is not None
    assert usage._part.sent_at_s is not None
    usage._part.sent_at_s -= module.GIVE_UP_S + 1
    expected = count(usage, org, times=2)
    assert await usage.flush()
    assert counted(database, org) == expected
    assert usage.lost == 3


async def test_rows_of_workers_that_are_long_gone_are_swept_by_those_who_come(
    org: Organisation, usage: Usage, database: Database
) -> None:
    rows = "SELECT id, now() - make_interval(hours => hours) FROM (VALUES ('young', 23), ('old', 25)) AS v (id, hours)"
    execute(
        database.admin_url,
        f"INSERT INTO identity.usage_workers (id, sequence, updated_at) SELECT id, 1, at FROM ({rows}) AS r (id, at)",
    )
    count(usage, org)
    assert await usage.flush()
    left = {id for [id] in execute(database.admin_url, "SELECT id FROM identity.usage_workers")}
    assert left >= {"young", usage._worker}
    assert "old" not in left


async def test_it_connects_when_there_is_something_to_write_and_not_before(org: Organisation, usage: Usage) -> None:
    assert await usage.flush()
    assert usage._connection is None
    count(usage, org)
    assert await usage.flush()
    assert usage._connection is not None


async def test_each_second_is_written_by_itself_and_the_last_at_the_end(
    org: Organisation, settings: Settings, database: Database
) -> None:
    async with open_usage(settings) as usage:
        expected = count(usage, org)
        await asyncio.sleep(1.5)
        assert counted(database, org) == expected
        expected += count(usage, org)
    assert counted(database, org) == expected


async def test_a_database_that_does_not_answer_holds_the_end_up_for_no_longer_than_it_may(
    its: Organisation, place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.5)
    usage = Usage(place.lanes_url)
    writing = asyncio.create_task(usage.write_each_second())
    count(usage, its)
    assert await usage.flush()
    assert usage._connection is not None
    with stopped([usage._connection.pgconn.backend_pid]):
        count(usage, its)
        started_s = time.monotonic()
        await usage.close(writing)
        assert 0.5 <= time.monotonic() - started_s < 0.5 + BUSY_S


async def test_that_they_cannot_be_written_is_told_once(
    org: Organisation, usage: Usage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(usage, "_conninfo", usage._conninfo + " port=1")
        for _ in range(3):
            count(usage, org)
            assert await usage.flush() is False
    assert len([message for message in caplog.messages if "Counts of use" in message]) == 1
    assert await usage.flush()
