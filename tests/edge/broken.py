"""`identity serve` with bugs in it: what fails quotes all that it was given, as careless code does."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import identity.api
from identity.api import ROUTES
from identity.cli import app
from identity.users import UserStore


class BugError(Exception):
    """Quotes everything."""


async def store(self: UserStore, *args: Any, **more: Any) -> Any:
    raise BugError(f"{args} {more}")


async def handler(call: Any, **path: str) -> Any:
    try:
        _fails(f"{call.request.headers} {call.request.url} {call.body} {path}")
    except BugError as error:
        raise ValueError(f"{call.request.headers.raw}") from error


async def forgotten(call: Any) -> Any:
    """An exception that nobody awaits: the loop logs it."""

    async def fails() -> None:
        _fails(str(call.request.headers))

    asyncio.get_running_loop().call_soon(_fails, str(call.request.headers))
    asyncio.ensure_future(fails())  # noqa: RUF006
    await asyncio.sleep(0.01)
    return call.principal.known


def _fails(text: str) -> None:
    raise BugError(text)


def lifespan(settings: Any, seen: Any = None) -> Any:
    raise BugError(f"{settings.main_url} {settings.secret_key.get_secret_value()}")


def put_bugs_in() -> None:
    UserStore.list = store  # type: ignore[method-assign]
    UserStore.create = store  # type: ignore[method-assign]
    for route in ROUTES:
        if route.name in ("verify_key", "list_tenants"):
            object.__setattr__(route, "handler", handler)
        if route.name == "whoami":
            object.__setattr__(route, "handler", forgotten)
    if "IDENTITY_TEST_BROKEN_START" in os.environ:
        identity.api.open_verifier = lifespan  # type: ignore[attr-defined]


if __name__ == "__main__":
    put_bugs_in()
    app()
