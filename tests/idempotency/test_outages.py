"""When the database, a connection or the client goes away in the middle, the retry finds one effect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psycopg
import pytest
from pydantic import SecretStr

from identity import embedded
from identity.cli.start import new_secret_key
from identity.settings import Settings
from tests.conftest import Organisation, unique
from tests.idempotency.keyed import calling, is_replayed, new_key, under
from tests.idempotency.stalls import someone_waits, stalled
from tests.idempotency.worker import working
from tests.operation.apps import app, is_unavailable
from tests.operation.test_failures import LOGIN, data_dir, frozen, server
from tests.operation.wire import Client, request
from tests.server import Database, execute

__all__ = ["data_dir", "server"]

POINTS = pytest.mark.parametrize("at", ["effect", "keeping", "commit"])
NAMED = "SELECT count(*) FROM identity.users WHERE username = %s"
KEPT = "SELECT count(*) FROM identity.idempotency_keys WHERE tenant_id = %s"
TERMINATE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'identity'
"""


@pytest.fixture
def away(server: embedded.Server) -> Database:
    """One on a server that may be killed or frozen."""
    return Database("identity", server.url(embedded.SUPERUSER), server.url(LOGIN))


@pytest.fixture
async def org(away: Database) -> AsyncIterator[Organisation]:
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(away.service_url),
        secret_key=SecretStr(new_secret_key()),
        statement_timeout_s=1.5,
    )
    async with app(settings) as found:
        yield found


async def once_at_last(org: Organisation, own: Database, name: str, key: str) -> httpx2.Response:
    """Sent again as a client would, until it is answered: it is there once, and so is its kept answer."""
    for _ in range(50):
        answer = await org.admin.post(f"{org.path}/users", {"username": name}, **under(key))
        if answer.status_code == 201:
            break
        assert answer.headers.get("Retry-After") == "1", answer.text
        await asyncio.sleep(0.1)
    again = await org.admin.post(f"{org.path}/users", {"username": name}, **under(key))
    assert (again.status_code, again.content, is_replayed(again)) == (201, answer.content, True)
    assert execute(own.admin_url, NAMED, name) == [(1,)]
    assert execute(own.admin_url, KEPT, org.id) == [(1,)]
    return answer


@POINTS
async def test_a_connection_that_is_cut_in_the_middle_leaves_nothing(
    at: str, here: Organisation, own: Database
) -> None:
    name, key = unique("user"), new_key()
    execute(own.admin_url, "DELETE FROM identity.idempotency_keys WHERE tenant_id = %s", here.id)
    with stalled(own, at):
        sent = asyncio.create_task(here.admin.post(f"{here.path}/users", {"username": name}, **under(key)))
        await someone_waits(own)
        assert execute(own.admin_url, TERMINATE) == [(True,)]
        assert is_unavailable(await sent)
        assert execute(own.admin_url, NAMED, name) == [(0,)]
    assert not is_replayed(await once_at_last(here, own, name, key))


async def test_a_server_that_dies_in_the_middle_leaves_nothing(
    server: embedded.Server, away: Database, org: Organisation, data_dir: Path
) -> None:
    name, key = unique("user"), new_key()
    with closing(psycopg.connect(away.admin_url)) as gate:
        gate.execute("LOCK TABLE identity.users IN SHARE MODE")
        sent = asyncio.create_task(org.admin.post(f"{org.path}/users", {"username": name}, **under(key)))
        await someone_waits(away)
        server.process.kill()
        server.process.wait()
        assert is_unavailable(await sent)
    with embedded.server(data_dir, embedded.DURABLE):
        assert not is_replayed(await once_at_last(org, away, name, key))


@pytest.mark.parametrize("at", ["effect", "commit"])
async def test_a_server_that_freezes_in_the_middle_has_done_it_once_or_not_at_all(
    at: str, server: embedded.Server, away: Database, org: Organisation
) -> None:
    """Frozen in COMMIT it goes on when it thaws, with nobody at the other end: what was asked is then done."""
    name, key = unique("user"), new_key()
    with stalled(away, at):
        sent = asyncio.create_task(org.admin.post(f"{org.path}/users", {"username": name}, **under(key)))
        await someone_waits(away)
        with frozen(server):
            assert is_unavailable(await sent)
    await once_at_last(org, away, name, key)


@pytest.fixture(scope="module")
def address(here: Organisation, own_settings: Settings) -> Iterator[tuple[str, int]]:
    with working(own_settings) as worker:
        host, _, port = worker.url.removeprefix("http://").partition(":")
        yield host, int(port)


def post(org: Organisation, name: str, key: str) -> str:
    body = json.dumps({"username": name}, separators=(",", ":"))
    headers = (
        f"Authorization: Bearer {org.admin_key.key}",
        f"Idempotency-Key: {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return request(*headers, line=f"POST {org.path}/users HTTP/1.1") + body


@POINTS
async def test_a_client_that_leaves_in_the_middle_finds_it_done(
    at: str, address: tuple[str, int], here: Organisation, own: Database
) -> None:
    name, key = unique("user"), new_key()
    execute(own.admin_url, "DELETE FROM identity.idempotency_keys WHERE tenant_id = %s", here.id)
    with stalled(own, at):
        client = Client(*await asyncio.open_connection(*address))
        await client.send(post(here, name, key))
        await someone_waits(own)
        client.writer.transport.abort()
        await asyncio.sleep(0.1)
    assert is_replayed(await once_at_last(here, own, name, key))


async def test_a_client_that_leaves_before_its_body_is_whole_has_asked_nothing(
    address: tuple[str, int], here: Organisation, own: Database
) -> None:
    name, key = unique("user"), new_key()
    execute(own.admin_url, "DELETE FROM identity.idempotency_keys WHERE tenant_id = %s", here.id)
    client = Client(*await asyncio.open_connection(*address))
    await client.send(post(here, name, key)[:-1])
    await asyncio.sleep(0.1)
    client.writer.transport.abort()
    assert not is_replayed(await once_at_last(here, own, name, key))


async def test_a_worker_that_is_told_to_stop_in_the_middle_answers_first(
    here: Organisation, own: Database, own_settings: Settings
) -> None:
    name, key = unique("user"), new_key()
    execute(own.admin_url, "DELETE FROM identity.idempotency_keys WHERE tenant_id = %s", here.id)
    with working(own_settings) as worker:
        async with calling(worker.url, here.admin_key.key) as api:
            with stalled(own, "effect"):
                sent = asyncio.create_task(api.post(f"{here.path}/users", {"username": name}, **under(key)))
                await someone_waits(own)
                worker.process.terminate()
                await asyncio.sleep(0.2)
            answer = await sent
    assert (answer.status_code, is_replayed(answer)) == (201, False)
    assert (await once_at_last(here, own, name, key)).content == answer.content
