"""What the API would do, done here: the same judgement and the same handlers, over the database and with full rank."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr
from starlette.requests import Request

from identity.api import open_service, wire
from identity.api.call import Service
from identity.api.reading import MAX_LIMIT
from identity.api.routes import Route
from identity.auth import of_full_rank
from identity.cli.start import cli_scope, database, must_have_secret_key, new_secret_key, read_settings
from identity.settings import Settings

Record = dict[str, Any]

PATIENCE_S = 3.0
"""A person waits longer for a connection than a request may."""


def perform(
    route: Route, path: dict[str, str], body: Record | None, *, query: Record | None = None, purge_now: bool = False
) -> Record | None:
    """The record that the API would answer; None where it would answer 204."""

    async def once(settings: Settings) -> Record | None:
        async with open_at_hand(settings) as service:
            return await _answer(service, route, path, query=query, body=body)

    with database(read_settings()) as settings:
        if route.needs_secret_key:
            must_have_secret_key(settings)
        return asyncio.run(once(settings.model_copy(update={"purge_after_s": 0}) if purge_now else settings))


def perform_list(route: Route, path: dict[str, str], where: Record, limit: int | None) -> Record:
    """`{"items", "next"}` as the API answers it; more pages than one where the limit asks for them."""

    async def pages(settings: Settings) -> Record:
        items: list[Record] = []
        counted: Record = {}
        asked = dict(where)
        page: Record = {"next": None}
        async with open_at_hand(settings) as service:
            while not items or (page["next"] is not None and (limit is None or len(items) < limit)):
                size = MAX_LIMIT if limit is None else min(MAX_LIMIT, limit - len(items))
                query = {**asked, "limit": size, **({"cursor": page["next"]} if page["next"] else {})}
                page = await _answer(service, route, path, query=query) or {"items": [], "next": None}
                items += page["items"]
                counted = counted or {name: page[name] for name in ("count",) if name in page}
                asked.pop("count", None)
                if page["next"] is None:
                    break
        return {**counted, "items": items, "next": page["next"]}

    with database(read_settings()) as settings:
        return asyncio.run(pages(settings))


@asynccontextmanager
async def open_at_hand(settings: Settings) -> AsyncIterator[Service]:
    """The service without its server. BehindMigrations where the database lacks what this program needs."""
    key = settings.secret_key or SecretStr(new_secret_key())  # signs nothing that outlives the command
    patient = {"checkout_timeout_s": PATIENCE_S, "verify_timeout_s": PATIENCE_S}
    small = {"secret_key": key, "pool_min": 0, "verify_connections": 1, **patient}
    async with open_service(settings.model_copy(update=small)) as service:
        yield service


async def _answer(
    service: Service, route: Route, path: dict[str, str], *, query: Record | None = None, body: Record | None = None
) -> Record | None:
    raw = b"" if body is None else json.dumps(body).encode()
    request = _request(route, path, urlencode({name: _text(value) for name, value in (query or {}).items()}))
    response = await wire.perform(service, route, request, of_full_rank(cli_scope().actor), raw)
    found: Record | None = json.loads(bytes(response.body)) if response.body else None
    return found


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _request(route: Route, path: dict[str, str], query: str) -> Request:
    headers = [(b"content-type", b"application/json"), (b"prefer", b"return=representation")]
    return Request(
        {
            "type": "http",
            "method": route.method,
            "path": route.path.format(**path),
            "path_params": path,
            "query_string": query.encode(),
            "headers": headers,
            "server": None,
            "state": {"request_id": uuid.uuid4().hex, "address": ""},
        }
    )
