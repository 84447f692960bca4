"""The whole application in process, over a database that a test may take away from it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2

from identity.api import make_app
from identity.settings import Settings
from identity.stores import Stores
from tests.conftest import Api, Organisation, make_organisation

WITHIN_S = 1.5
"""A second, and what a busy machine may add."""


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Organisation]:
    """An organisation in it, and through it the stores and a client of this very application."""
    envelope: Any = make_app(settings)
    async with envelope.app.router.lifespan_context(envelope.app):
        transport = httpx2.ASGITransport(app=envelope)
        async with httpx2.AsyncClient(transport=transport, base_url="http://identity.example.com") as client:
            stores: Stores = envelope.app.state.service.stores
            yield await make_organisation(stores, client)


def requests(org: Organisation) -> list[Any]:
    """One of each kind: a verification, a list, a write."""
    return [
        org.admin.post("/v1/keys/verify", {"key": org.key.key}),
        org.admin.get(f"{org.path}/users"),
        org.admin.patch(f"{org.path}/users/ana", {"full_name": "Ana"}),
    ]


def is_unavailable(answer: httpx2.Response) -> bool:
    return (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started_s = time.monotonic()
    yield
    assert time.monotonic() - started_s < seconds


async def parts(api: Api) -> tuple[int, str, str, str]:
    """What /readyz tells: the status, and of database, migrations and lanes."""
    answer = await api.get("/readyz")
    told = answer.json()
    return answer.status_code, told["database"], told["migrations"], told["lanes"]
