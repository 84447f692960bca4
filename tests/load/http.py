"""HTTP as little as it takes, on one connection that is kept: what is measured is not the client."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 10.0
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and by one clock when the question went and the answer came."""

    status: int
    body: bytes
    sent_ns: int
    got_ns: int

    @property
    def is_good(self) -> bool:
        return self.status // 100 == 2

    @property
    def is_valid(self) -> bool:
        return self.status == 200 and bool(json.loads(self.body)["valid"])


def request(method: str, path: str, key: str | None, body: Any = None) -> bytes:
    """The bytes of one request."""
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    credential = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credential}"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def length_of(head: bytes) -> int:
    found = LENGTH.search(head)
    return int(found[1]) if found else 0


class Connection:
    """To one port of this machine; opened when it is needed, and anew after an error, which is an OSError."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Sent once; whoever wants it sent again sends it again."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._ask(request)
        except BaseException as error:
            self.close()
            if isinstance(error, EOFError):
                raise ConnectionResetError("closed before the answer") from error
            raise

    async def _ask(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        sent_ns = time.monotonic_ns()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(length_of(head))
        return Answer(int(head[9:12]), body, sent_ns, time.monotonic_ns())

    def close(self) -> None:
        if self._streams is not None:
            with suppress(OSError, RuntimeError):
                self._streams[1].close()
            self._streams = None
