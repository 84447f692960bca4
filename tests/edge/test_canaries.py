"""No secret that was sent anywhere stands in anything that the service says, or in any problem."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from identity.api import ROUTES
from identity.api.routes import Route
from identity.stores import create_platform, open_stores
from tests.api.samples import bodies, forms, path_of
from tests.conftest import Organisation, make_organisation, settings_for
from tests.edge.canaries import found_in, new_key, spellings
from tests.edge.process import Service, password_of, serving
from tests.edge.wire import connected, get, request
from tests.server import Database, drop, new_database

HEADERS = ("X-Request-Id", "Idempotency-Key", "If-Match", "If-None-Match", "User-Agent", "Prefer", "Cookie", "Referer")
PLACES = ("bearer", "basic", "path", "query", "body", *HEADERS, "Content-Type", "X-Forwarded-For", "Host")


def test_each_spelling_is_found() -> None:
    key = new_key()
    for text in (key, key[-40:], f'"{key}"', quote(key), key.encode().hex(), f"{key!r}"):
        assert found_in(f"… {text} …", [key]) == [key]
    for before in ("", "a", "ab", "Bearer "):
        assert found_in(base64.b64encode(f"{before}{key}".encode()).decode(), [key]) == [key]
    assert found_in(new_key(), [key]) == []
    assert min(map(len, spellings(key[-40:]))) > 30


@pytest.fixture
def own() -> Iterator[Database]:
    with new_database() as found:
        yield found


@pytest.fixture
async def org(own: Database) -> AsyncIterator[Organisation]:
    """In a database of its own, which may go away."""
    async with open_stores(settings_for(own)) as stores, httpx2.AsyncClient() as client:
        yield await make_organisation(stores, client)


async def platform_key_of(org: Organisation) -> str:
    key = await create_platform(org.stores)
    assert key is not None
    return key.key


class Sender:
    """Puts canaries into requests, and keeps the problems that come back."""

    def __init__(self, service: Service, credential: str) -> None:
        self.service = service
        self.credential = credential
        self.canaries: list[str] = [credential, service.secret_key]
        self.problems: list[str] = []

    def canary(self) -> str:
        self.canaries.append(new_key())
        return self.canaries[-1]

    async def send(self, client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> None:
        headers = {"Authorization": f"Bearer {self.credential}", **more.pop("headers", {})}
        answer = await client.request(method, f"{self.service.url}{path}", headers=headers, **more)
        if answer.status_code >= 400:
            self.problems.append(f"{answer.headers} {answer.text}")

    async def everywhere(self, client: httpx2.AsyncClient, route: Route, org: Organisation, *places: str) -> None:
        path, body = path_of(route, org), (bodies(org) | forms(org)).get(route.name)
        kind = "data" if route.form else "json"
        for place in places:
            asked, more = path, {} if body is None else {kind: body}
            if place == "bearer":
                more["headers"] = {"Authorization": f"Bearer {self.canary()}"}
            elif place == "basic":
                more["headers"] = {"Authorization": self.canary()}
            elif place == "path":
                for name in route.params:
                    await self.send(client, route.method, path_of(route, org, **{name: self.canary()}), **more)
                asked = f"{path}/{self.canary()}"
            elif place == "query":
                more["params"] = {"token": self.canary(), "limit": self.canary(), "cursor": self.canary()}
            elif place == "body" and body is not None:
                more[kind] = self.full_of_canaries(body)
                more_of_them = {kind: self.full_of_canaries(body) | {"x": self.canary()}}
                await self.send(client, route.method, path, **more_of_them)
                await self.send(client, route.method, path, content=f'{{"key": "{self.canary()}')
            else:
                more["headers"] = {place: self.canary()}
            await self.send(client, route.method, asked, **more)

    def full_of_canaries(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.full_of_canaries(each) for name, each in value.items()}
        return self.canary() if isinstance(value, str) else value

    def judge(self, *more: str) -> None:
        assert self.problems
        assert all(json.loads(line).keys() & {"status", "error", "logger"} for line in self.service.output.splitlines())
        assert found_in("\n".join(self.problems), [*self.canaries, *more]) == []
        assert found_in(self.service.output, [*self.canaries, *more]) == []


async def test_no_canary_comes_back_from_any_place_of_any_route(own: Database, org: Organisation) -> None:
    last = [route for route in ROUTES if route.method == "DELETE" or route.name.startswith("purge")]
    with serving(own) as service:
        sender = Sender(service, await platform_key_of(org))
        async with httpx2.AsyncClient(timeout=20) as client:
            for route in [*(route for route in ROUTES if route not in last), *last]:
                await sender.everywhere(client, route, org, *PLACES)
        assert len(sender.canaries) > len(ROUTES) * len(PLACES)
        assert service.output.count('"status"') > len(ROUTES) * 10
        sender.judge(password_of(own), org.admin_key.key, org.key.key)


async def test_nor_from_what_is_no_request(own: Database, org: Organisation) -> None:
    with serving(own, receive_timeout_s="0.3") as service:
        sender = Sender(service, new_key())
        for broken in (
            get(f"/{sender.canary()}", f"X-Request-Id: {sender.canary()}", "Y: y", f"{sender.canary()} : x"),
            get("/", f"Authorization: Bearer {sender.canary()}", f"X: {sender.canary()}\0"),
            get("/", f"Authorization: Bearer {sender.canary()}" + "x" * 20_000),
            request(f"X-Request-Id: {sender.canary()}", line=f"{sender.canary()[:30]} /healthz HTTP/1.1"),
            request("Content-Length: 100", f"Cookie: {sender.canary()}", line="POST /v1/keys/verify HTTP/1.1"),
            f"{sender.canary()}\r\n\r\n",
            f"GET http://user:{sender.canary()}@x HTTP/1.1\r\n\r\n",
        ):
            async with connected(service.port) as client:
                await client.send(broken)
                answer = await client.answer()
                sender.problems.append(f"{answer.headers} {answer.body.decode()}")
        sender.judge()


async def test_nor_when_the_database_is_gone(own: Database, org: Organisation) -> None:
    with serving(own) as service:
        sender = Sender(service, await platform_key_of(org))
        drop(own.admin_url.replace(own.name, "postgres"), own.name)
        async with httpx2.AsyncClient(timeout=20) as client:
            chosen = [route for route in ROUTES if route.name in ("whoami", "verify_key", "readyz", "put_user")]
            await asyncio.gather(
                *(sender.everywhere(client, route, org, place) for route in chosen for place in PLACES[:8])
            )
        assert '"status": 503' in service.output
        sender.judge(password_of(own))


async def test_nor_from_a_bug_that_quotes_all_that_it_was_given(own: Database, org: Organisation) -> None:
    broken = ("list_tenants", "verify_key", "whoami", "list_users", "create_user")
    with serving(own, module="tests.edge.broken") as service:
        sender = Sender(service, await platform_key_of(org))
        async with httpx2.AsyncClient(timeout=20) as client:
            for route in (route for route in ROUTES if route.name in broken):
                await sender.everywhere(client, route, org, *PLACES)
                await sender.send(client, route.method, path_of(route, org), json=bodies(org).get(route.name))
        assert service.output.count('"status": 500') > 20
        for said in ('"ValueError"', '"BugError"', "handler (broken.py", "store (broken.py", '"logger": "asyncio"'):
            assert said in service.output
        assert "Traceback" not in service.output
        sender.judge(password_of(own), org.admin_key.key, org.key.key)
