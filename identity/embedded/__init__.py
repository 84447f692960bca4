"""PostgreSQL without installing one: the binaries come from a wheel, the life cycle is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import psycopg

from identity.embedded.place import DATABASE, Place, hold, place
from identity.embedded.process import STOP_S, become, binary, is_postgres_of, run, signal_on_parents_death, stop
from identity.errors import StartError

__all__ = [
    "DURABLE",
    "SUPERUSER",
    "THROW_AWAY",
    "Place",
    "Server",
    "hold",
    "is_running",
    "place",
    "server",
    "signal_on_parents_death",
]

START_S = 60.0
SUPERUSER = "postgres"

DURABLE: Mapping[str, str] = {"max_connections": "200"}
THROW_AWAY: Mapping[str, str] = {
    "max_connections": "400",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


def is_running(data_dir: Path) -> bool:
    """Whether somebody holds the data directory and its server answers."""
    try:
        with hold(data_dir):
            return False
    except StartError:
        return _answers(place(data_dir))


@dataclass(frozen=True)
class Server(Place):
    """A place where PostgreSQL runs."""

    process: subprocess.Popen[bytes]


@contextmanager
def server(data_dir: Path, settings: Mapping[str, str] = DURABLE) -> Iterator[Server]:
    """A running PostgreSQL in a data directory that the caller holds; stopped at the end, whatever happens."""
    found = place(data_dir)
    _make_home(found)
    _stop_orphan(found)
    if not (found.cluster / "PG_VERSION").exists():
        _initdb(found)
    with _log(found) as log:
        process = subprocess.Popen(
            [binary(found, "postgres"), "-D", str(found.cluster), "-k", str(found.home), *_flags(settings)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(become, found, signal.SIGINT, os.getpid()),
        )
        try:
            _wait_until_it_answers(found, process)
            _make_database(found)
            yield Server(found.data_dir, found.home, found.owner, process)
        finally:
            stop(process)


def _flags(settings: Mapping[str, str]) -> list[str]:
    return [flag for name, value in {"listen_addresses": "", **settings}.items() for flag in ("-c", f"{name}={value}")]


def _make_home(found: Place) -> None:
    try:
        found.home.parent.mkdir(parents=True, exist_ok=True)
        found.home.mkdir(mode=0o700, exist_ok=True)
        found.home.chmod(0o700)
        if found.owner is not None:
            os.chown(found.home, found.owner.pw_uid, found.owner.pw_gid)
    except OSError as error:
        raise StartError(
            f"The directory {found.home} cannot be written ({error.strerror}): set IDENTITY_DATA_DIR to one that can."
        ) from None


def _initdb(found: Place) -> None:
    """Into a directory beside, then renamed: one that was killed half-way is not taken for a cluster."""
    unfinished = found.home / "unfinished"
    run(found, "rm", "-rf", str(unfinished))
    run(
        found,
        binary(found, "initdb"),
        "-D",
        str(unfinished),
        "-U",
        SUPERUSER,
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    )
    unfinished.rename(found.cluster)


@contextmanager
def _log(found: Place) -> Iterator[IO[bytes]]:
    with found.log.open("ab") as log:
        yield log


def _answers(found: Place) -> bool:
    try:
        psycopg.connect(found.url(SUPERUSER, "postgres"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _wait_until_it_answers(found: Place, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while not _answers(found):
        if process.poll() is not None:
            raise StartError(f"PostgreSQL did not start: {_last_line(found.log)} (see {found.log}).")
        if time.monotonic() > until_s:
            raise StartError(f"PostgreSQL did not answer within {START_S:.0f} s: see {found.log}.")
        time.sleep(0.02)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _make_database(found: Place) -> None:
    with psycopg.connect(found.url(SUPERUSER, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())


def _stop_orphan(found: Place) -> None:
    """We hold the data directory, so a server that still runs in it was left by a process that was killed."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
        pid = int((found.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        until_s = time.monotonic() + STOP_S
        while is_postgres_of(found, pid) and time.monotonic() < until_s:
            os.kill(pid, signal.SIGINT)
            time.sleep(0.1)
