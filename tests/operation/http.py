"""Requests to a service that runs as a process."""

from __future__ import annotations

import time

import httpx2


def get(port: int, path: str, key: str | None = None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=5)


def wait_until_ready(port: int, within_s: float = 15) -> None:
    until_s = time.monotonic() + within_s
    while status(port) != 200:
        assert time.monotonic() < until_s, "not ready in time"
        time.sleep(0.05)


def status(port: int) -> int:
    """Of /readyz; 0 where nobody listens."""
    try:
        return get(port, "/readyz").status_code
    except httpx2.TransportError:
        return 0
