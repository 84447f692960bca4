"""What may befall lanes, and how long an answer takes meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from identity import embedded
from identity.errors import Unavailable
from identity.verify import Verification, Verifier
from identity.verify.lane import Lane
from tests.conftest import Organisation

BUSY_S = 0.35
"""What a busy machine may add."""


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
    asked = asyncio.create_task(is_valid(verifier, org))
    done, _ = await asyncio.wait({asked}, timeout=5)
    assert done, "nobody was told"
    try:
        good = asked.result()
    except Unavailable:
        return time.monotonic() - started_s, None
    return time.monotonic() - started_s, good
