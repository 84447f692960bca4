"""What others do, to show that the proof would see it: a proxy that remembers for a second that a key was good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.load.http import Connection, length_of

REMEMBERED_S = 1.0


class Caching:
    """In front of one worker, with its positive answers by request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._answers: dict[bytes, tuple[float, bytes]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = Connection(self._port)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(behind, head + await reader.readexactly(length_of(head))))
        except (OSError, EOFError):
            pass
        finally:
            behind.close()
            writer.close()

    async def _answer(self, behind: Connection, request: bytes) -> bytes:
        until_s, answer = self._answers.get(request, (0.0, b""))
        if time.monotonic() < until_s:
            return answer
        found = await behind.ask(request)
        answer = b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n" % (found.status, len(found.body)) + found.body
        if found.is_valid:
            self._answers[request] = (time.monotonic() + REMEMBERED_S, answer)
        return answer


@asynccontextmanager
async def caching(port: int) -> AsyncIterator[int]:
    """The port to ask instead."""
    server = await asyncio.start_server(Caching(port).serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
