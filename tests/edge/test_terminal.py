"""Where a person watches, the log is for a person; where a machine reads, it is JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from identity.cli.start import new_secret_key
from tests.edge.process import END_S, Service
from tests.operation.command import environment
from tests.operation.http import get, wait_until_ready
from tests.running import free_port
from tests.server import Database


@contextmanager
def watched(database: Database, port: int, **more: str) -> Iterator[list[str]]:
    """`identity serve` in a terminal, and what it shows."""
    ours, its = pty.openpty()
    env = environment(database_url=database.service_url, secret_key=new_secret_key()) | more
    command = [sys.executable, "-m", "identity", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=env, stdout=its, stderr=its)
    os.close(its)
    shown: list[str] = []
    reading = threading.Thread(target=_read, args=(ours, shown))
    reading.start()
    try:
        wait_until_ready(port)
        yield shown
    finally:
        process.terminate()
        process.wait(END_S)
        reading.join(END_S)
        os.close(ours)


def _read(terminal: int, shown: list[str]) -> None:
    try:
        while data := os.read(terminal, 4096):
            shown.append(data.decode())
    except OSError:  # of a terminal whose last user has gone
        return


@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}])
def test_in_a_terminal_lines_are_short_and_coloured_unless_unwanted(more: dict[str, str], database: Database) -> None:
    port = free_port()
    with watched(database, port, **more) as shown:
        assert get(port, "/nowhere").status_code == 404
        assert get(port, "/v1/keys/whoami").status_code == 401
    lines = [line for line in "".join(shown).splitlines() if "404" in line or "401" in line]
    assert len(lines) == 2
    assert all(("\033[33m" in line) == (not more) for line in lines)
    assert "/v1/keys/whoami" in lines[1]
    assert "{" not in "".join(lines)


def test_elsewhere_each_line_is_json(service: Service) -> None:
    assert httpx2.get(f"{service.url}/nowhere", headers={"X-Request-Id": "machine"}).status_code == 404
    until_s = time.monotonic() + 5
    while '"machine"' not in service.output and time.monotonic() < until_s:
        time.sleep(0.01)  # what is said of a request is said after its answer
    (line,) = [each for each in map(json.loads, service.output.splitlines()) if each.get("request_id") == "machine"]
    assert list(line) == [
        "time", "request_id", "method", "route", "status", "duration_ms", "tenant", "principal", "address",
    ]  # fmt: skip
