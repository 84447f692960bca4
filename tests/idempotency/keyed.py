"""Requests under an Idempotency-Key, and what came of them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.conftest import Api


def new_key() -> str:
    return secrets.token_urlsafe(16)


def under(key: str, **more: Any) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": key}, **more}


def is_replayed(answer: httpx2.Response) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


@asynccontextmanager
async def calling(url: str, key: str, timeout_s: float = 15) -> AsyncIterator[Api]:
    """The service at this address as the bearer of that key sees it."""
    async with httpx2.AsyncClient(base_url=url, timeout=timeout_s) as client:
        yield Api(client, key)
