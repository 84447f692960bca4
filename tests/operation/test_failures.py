"""Without its database the service says so within a second, and is back by itself when the database is."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from identity import embedded, migrate
from identity.cli.start import new_secret_key
from identity.settings import Settings
from tests.conftest import Api, Organisation
from tests.operation.apps import WITHIN_S, app, is_unavailable, parts, requests, within

LOGIN = "identity_service"
READY = (200, "ok", "ok", "ok")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server(data_dir: Path) -> Iterator[embedded.Server]:
    """A server that this test may kill."""
    with embedded.server(data_dir, embedded.DURABLE) as place:
        migrate.apply(place.url(embedded.SUPERUSER))
        migrate.make_login(place.url(embedded.SUPERUSER), LOGIN, None)
        yield place


@pytest.fixture
async def org(server: embedded.Server) -> AsyncIterator[Organisation]:
    url = SecretStr(server.url(LOGIN))
    settings = Settings(_env_file=None, database_url=url, secret_key=SecretStr(new_secret_key()))
    async with app(settings) as found:
        assert await parts(Api(found.client, None)) == READY
        yield found


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


@contextmanager
def frozen(server: embedded.Server) -> Iterator[None]:
    """Connections stay open, and nothing answers: as when a machine swaps, or a network drops packets. Not for ever,
    so that what would wait for ever fails."""
    pids = family(server.process.pid)

    def send(number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):  # it was leaving already
                os.kill(pid, number)

    send(signal.SIGSTOP)
    thaw = threading.Timer(15, send, [signal.SIGCONT])
    thaw.start()
    try:
        yield
    finally:
        thaw.cancel()
        send(signal.SIGCONT)


async def all_unavailable(org: Organisation, times: int = 1) -> bool:
    with within(WITHIN_S):
        answers = await asyncio.gather(*(each for _ in range(times) for each in requests(org)))
    return all(map(is_unavailable, answers))


async def comes_back(org: Organisation, within_s: float = 5) -> bool:
    until_s = time.monotonic() + within_s
    while any(each.status_code != 200 for each in await asyncio.gather(*requests(org))):
        assert time.monotonic() < until_s
        await asyncio.sleep(0.1)
    return await parts(Api(org.client, None)) == READY


async def test_a_server_that_dies_is_503_at_once_and_back_when_it_is(
    server: embedded.Server, org: Organisation, data_dir: Path
) -> None:
    server.process.kill()
    server.process.wait()
    for _ in range(3):
        assert await all_unavailable(org)
    assert await all_unavailable(org, times=10)
    assert (await Api(org.client, None).get("/healthz")).status_code == 200
    with within(2 * WITHIN_S):
        assert await parts(Api(org.client, None)) == (503, "unavailable", "unknown", "unavailable")
    with embedded.server(data_dir, embedded.DURABLE):
        assert await comes_back(org)


async def test_a_server_that_freezes_is_503_at_once_and_back_when_it_is(
    server: embedded.Server, org: Organisation
) -> None:
    with frozen(server):
        for _ in range(3):
            assert await all_unavailable(org)
        assert await all_unavailable(org, times=10)
    assert await comes_back(org)


async def test_a_server_that_freezes_does_not_keep_readyz_from_answering(
    server: embedded.Server, org: Organisation
) -> None:
    with frozen(server), within(2 * WITHIN_S):
        assert await parts(Api(org.client, None)) == (503, "unavailable", "unknown", "unavailable")
