"""Applying and taking back: by several at once, over a kill -9, under a lock, after an edit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from identity import migrate
from identity.errors import StartError
from identity.migrate import steps
from tests.operation.catalog import catalog
from tests.operation.command import identity
from tests.server import Database, execute, new_database

APPLY = "import sys, pathlib, identity.migrate as m; m.apply(sys.argv[1], source=pathlib.Path(sys.argv[2]))"
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^SELECT pg_sleep'"
WAITING = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ '_yoyo_migration'
"""
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('identity.letters_by_letter')"
CONCURRENTLY = """-- transactional: false
CREATE INDEX CONCURRENTLY IF NOT EXISTS letters_by_letter ON identity.letters (letter)"""


@pytest.fixture
def empty() -> Iterator[Database]:
    with new_database(empty=True) as found:
        yield found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory of migrations with one in it."""
    write(tmp_path, "0001_letters", "CREATE TABLE identity.letters (letter text)", "DROP TABLE identity.letters")
    return tmp_path


def held(url: str) -> psycopg.Connection[Any]:
    """For locks that others meet; not for ever, should they wait for ever."""
    return psycopg.connect(url, options="-c idle_in_transaction_session_timeout=8s")


def write(source: Path, id: str, apply: str, rollback: str = "SELECT 1") -> Path:
    (source / f"{id}.rollback.sql").write_text(rollback)
    path = source / f"{id}.sql"
    path.write_text(apply)
    return path


def wait_until(url: str, question: str) -> None:
    until_s = time.monotonic() + 10
    while execute(url, question) != [(1,)]:
        assert time.monotonic() < until_s, question
        time.sleep(0.02)


def killed(url: str, source: Path, when: Callable[[], None]) -> None:
    """An applier that ends by kill -9."""
    process = subprocess.Popen([sys.executable, "-c", APPLY, url, str(source)])
    try:
        when()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_four_appliers_at_once_apply_once(empty: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        started = [pool.submit(identity, "migrate", "apply", migrate_database_url=empty.admin_url) for _ in range(4)]
    finished = [each.result() for each in started]
    assert [each.returncode for each in finished] == [0] * 4, finished
    lines = [line for each in finished for line in each.stdout.splitlines() if line.startswith("applied")]
    assert lines == [f"applied {id}" for id in migrate.ids()]


def test_one_that_was_killed_in_the_middle_is_carried_on(empty: Database, source: Path) -> None:
    slowly = "CREATE TABLE identity.words (word text);\nSELECT pg_sleep(current_setting('test.sleep_s')::float)"
    write(source, "0002_words", slowly)
    killed(f"{empty.admin_url} options='-c test.sleep_s=60'", source, lambda: wait_until(empty.admin_url, SLEEPING))
    again = f"{empty.admin_url} options='-c test.sleep_s=0'"
    assert migrate.apply(again, source=source) == ["0002_words"]


def test_one_that_was_killed_between_a_concurrent_step_and_its_mark_is_carried_on(
    empty: Database, source: Path
) -> None:
    migrate.apply(empty.admin_url, source=source)
    write(source, "0002_index", CONCURRENTLY)
    with held(empty.admin_url) as other:
        other.execute("LOCK TABLE identity._yoyo_migration IN SHARE MODE")
        killed(empty.admin_url, source, lambda: wait_until(empty.admin_url, WAITING))
    assert execute(empty.admin_url, VALID) == [(True,)]
    assert migrate.status(empty.admin_url, source).pending == ["0002_index"]
    assert migrate.apply(empty.admin_url, source=source) == ["0002_index"]


def test_a_concurrent_index_that_stopped_half_way_is_made_anew(
    empty: Database, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.apply(empty.admin_url, source=source)
    write(source, "0002_index", CONCURRENTLY)
    monkeypatch.setitem(steps.OWNER, "lock_timeout", "300ms")
    with held(empty.admin_url) as other:
        other.execute("LOCK TABLE identity.letters IN ROW EXCLUSIVE MODE")
        with pytest.raises(StartError, match="0002_index did not get its lock"):
            migrate.apply(empty.admin_url, source=source)
    assert migrate.apply(empty.admin_url, source=source) == ["0002_index"]
    assert execute(empty.admin_url, VALID) == [(True,)]


@pytest.mark.parametrize("do", [migrate.plan, migrate.apply, migrate.rollback])
def test_an_edited_migration_is_refused_by_name(empty: Database, source: Path, do: Callable[..., object]) -> None:
    migrate.apply(empty.admin_url, source=source)
    write(source, "0001_letters", "CREATE TABLE identity.letters (letter text, sound text)")
    with pytest.raises(StartError, match="0001_letters was edited"):
        do(empty.admin_url, source=source)


@pytest.mark.parametrize("do", [migrate.plan, migrate.apply, migrate.rollback])
def test_a_missing_migration_is_refused_by_name(empty: Database, source: Path, do: Callable[..., object]) -> None:
    write(source, "0002_words", "CREATE TABLE identity.words (word text)")
    migrate.apply(empty.admin_url, source=source)
    (source / "0001_letters.sql").unlink()
    with pytest.raises(StartError, match="0001_letters was applied, but its file is missing"):
        do(empty.admin_url, source=source)


def test_one_that_fails_leaves_nothing_of_itself(empty: Database, source: Path) -> None:
    migrate.apply(empty.admin_url, source=source)
    before = catalog(empty.admin_url)
    write(source, "0002_words", "CREATE TABLE identity.words (word text);\nSELECT 1 / 0")
    with pytest.raises(StartError, match=r"0002_words .*division by zero"):
        migrate.apply(empty.admin_url, source=source)
    assert catalog(empty.admin_url) == before
    assert migrate.status(empty.admin_url, source).pending == ["0002_words"]


def test_a_table_in_use_makes_it_fail_within_seconds_and_change_nothing(empty: Database, source: Path) -> None:
    migrate.apply(empty.admin_url, source=source)
    before = catalog(empty.admin_url)
    write(source, "0002_sound", "CREATE TABLE identity.words ();\nALTER TABLE identity.letters ADD sound text")
    with held(empty.admin_url) as other:
        other.execute("SELECT FROM identity.letters")
        started_s = time.monotonic()
        with pytest.raises(StartError, match=r"0002_sound did not get its lock within 3s.*run it again"):
            migrate.apply(empty.admin_url, source=source)
        assert time.monotonic() - started_s < 5
    assert catalog(empty.admin_url) == before
    assert migrate.apply(empty.admin_url, source=source) == ["0002_sound"]


def test_what_is_applied_is_taken_back_newest_first(empty: Database, source: Path) -> None:
    write(source, "0002_words", "CREATE TABLE identity.words (word text)", "DROP TABLE identity.words")
    migrate.apply(empty.admin_url, source=source)
    assert migrate.rollback(empty.admin_url, 2, source=source) == ["0002_words", "0001_letters"]
    assert migrate.status(empty.admin_url, source).pending == ["0001_letters", "0002_words"]
