"""A database that is busy or away, another import beside this one, a file that breaks off: nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from identity.cli.tables.importer import BATCH_ROWS, Import, Wanted
from identity.cli.tables.nouns import Users
from identity.cli.tables.reading import open_source
from identity.cli.tables.tabular import Row
from identity.errors import StartError, Unavailable
from identity.stores import open_stores
from identity.users import UserFilter
from tests import server
from tests.cli.files import SKIP, counts, imported, of_users, written
from tests.conftest import Organisation, settings_for

LOCK = "BEGIN; LOCK TABLE identity.users"


CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'identity' AND wait_event_type = 'Lock'
"""


async def test_a_dry_run_is_judged_by_the_database_and_nothing_of_it_stays(org: Organisation, file: Path) -> None:
    before = (await org.stores.users.list(org.id)).items
    text = "username,email\nana,new@example.com\nben,7@example.com\nyan,7@example.com\n"
    assert await of_users(org, file, text, on_error=SKIP, dry_run=True) == (1, 1, 0, 1)
    assert (await org.stores.users.list(org.id)).items == before


async def test_a_dry_run_keeps_nobody_waiting(org: Organisation, file: Path) -> None:
    written(file, "username,full_name\n" + "".join(f"user{n},User {n}\n" for n in range(6 * BATCH_ROWS)))
    await imported(org.stores, Users(org.id), file)
    written(file, "username,full_name\n" + "".join(f"user{n},Other {n}\n" for n in range(6 * BATCH_ROWS)))
    trying = asyncio.ensure_future(imported(org.stores, Users(org.id), file, dry_run=True))
    first = (await org.stores.users.find(org.id, UserFilter(username="user0"))) or pytest.fail("it is there")
    waits = []
    while not trying.done():
        started_s = time.monotonic()
        await org.stores.users.suspend(org.id, first.id)
        await org.stores.users.activate(org.id, first.id)
        waits.append(time.monotonic() - started_s)
    assert len(waits) > 3, "or hardly anything was tried beside it"


async def test_a_file_that_breaks_off_leaves_what_came_before(org: Organisation, file: Path) -> None:
    rows = "".join(f"user{n}\n" for n in range(BATCH_ROWS))
    with pytest.raises(StartError, match=f"From line {BATCH_ROWS + 2} on"):
        await of_users(org, file, f'username\n{rows}"zoe\n')
    assert await of_users(org, file, f"username\n{rows}zoe\n") == (1, 0, BATCH_ROWS, 0)


async def test_two_imports_of_one_file_at_once_make_each_user_once(org: Organisation, file: Path) -> None:
    written(file, "username,metadata.n\n" + "".join(f"user{n % 400},{n}\n" for n in range(700)))
    one, other = await asyncio.gather(*(imported(org.stores, Users(org.id), file) for _ in range(2)))
    assert one.outcomes["created"] + other.outcomes["created"] == 400
    assert one.refused + other.refused == 0
    assert one.rows == other.rows == 700


async def test_it_waits_for_a_database_that_is_busy(org: Organisation, file: Path, database: server.Database) -> None:
    written(file, "username\nben\n")
    async with open_stores(settings_for(database, statement_timeout_s=0.3)) as stores:
        with psycopg.connect(database.admin_url, autocommit=True) as blocker:
            blocker.execute(LOCK)
            asyncio.get_running_loop().call_later(1.0, blocker.execute, "ROLLBACK")
            assert counts(await imported(stores, Users(org.id), file)) == (1, 0, 0, 0)


async def test_it_gives_up_on_a_database_that_stays_away_and_knows_how_far_it_came(
    org: Organisation, file: Path, database: server.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity.cli.tables.importer.PAUSES_S", (0.01, 0.01, 0.01))
    written(file, "username\n" + "".join(f"user{n}\n" for n in range(BATCH_ROWS + 1)))
    with psycopg.connect(database.admin_url, autocommit=True) as blocker, open_source(str(file)) as source:
        done = Import(Users(org.id), replace(source, rows=locking(source.rows, blocker)), Wanted(str(file)))
        async with open_stores(settings_for(database, statement_timeout_s=0.5)) as stores:
            with pytest.raises(Unavailable):
                await done.run(stores)
    assert (done.summary.last_line, done.summary.outcomes["created"]) == (BATCH_ROWS + 1, BATCH_ROWS)
    assert counts(await imported(org.stores, Users(org.id), file)) == (1, 0, BATCH_ROWS, 0)


async def test_a_connection_that_is_lost_within_a_batch_costs_nothing(
    org: Organisation, file: Path, database: server.Database
) -> None:
    written(file, "username,email\n" + "".join(f"user{n},{n}@example.com\n" for n in range(BATCH_ROWS)))
    with psycopg.connect(database.admin_url, autocommit=True) as blocker:
        blocker.execute(LOCK)
        running = asyncio.ensure_future(imported(org.stores, Users(org.id), file))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if blocker.execute(CUT).fetchall():
                break
        blocker.execute("ROLLBACK")
        assert counts(await running) == (BATCH_ROWS, 0, 0, 0)


def locking(rows: Iterator[Row], blocker: psycopg.Connection[Any]) -> Iterator[Row]:
    """The rows; and when those of the second batch come, nobody else reaches the table."""
    for n, row in enumerate(rows):
        if n == BATCH_ROWS:
            blocker.execute(LOCK)
        yield row
