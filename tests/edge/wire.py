"""A socket on which anything can be said, and what every answer to it must be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.api.problems import MEMBERS

PATIENCE_S = 5.0
VERIFY = "POST /v1/keys/verify HTTP/1.1"


@dataclass(frozen=True)
class Answer:
    """One answer, as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one of that name; an AssertionError where there are more."""
        found = [value for each, value in self.headers if each == name.lower()]
        assert len(found) <= 1, found
        return found[0] if found else None

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.content["code"])

    @property
    def told(self) -> tuple[int, str]:
        return self.status, self.code


def judged(answer: Answer, *, head: bool = False) -> Answer:
    """Whoever gave it, and whatever it says: it is not sniffed, not kept, can be found again, and is a problem where
    it is an error."""
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Cache-Control") == "no-store"
    id = answer.header("X-Request-Id")
    assert id
    if answer.status >= 400:
        if answer.header("Content-Type") == "application/json":
            assert answer.content.keys() == {"error", "error_description"}, "as OAuth tells it"
            return answer
        assert answer.header("Content-Type") == "application/problem+json"
        if not head:
            assert answer.content.keys() - {"errors"} == MEMBERS
            assert (answer.content["status"], answer.content["instance"]) == (answer.status, id)
    return answer


@dataclass(frozen=True)
class Client:
    """Sends bytes as they stand, and reads answers one by one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: str | bytes) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        await self.writer.drain()

    async def answer(self, *, head: bool = False, within_s: float = PATIENCE_S) -> Answer:
        """The next one, judged."""
        async with asyncio.timeout(within_s):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            headers = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines)]
            found = Answer(int(first.split()[1]), headers, b"")
            if found.status == 100:
                return found
            size = 0 if head else int(found.header("Content-Length") or 0)
            return judged(Answer(found.status, headers, await self.reader.readexactly(size)), head=head)

    async def is_closed(self, within_s: float = PATIENCE_S) -> bool:
        """Without another word."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True

    async def stays_open(self, for_s: float) -> bool:
        try:
            async with asyncio.timeout(for_s):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def request(*headers: str, line: str = "GET /healthz HTTP/1.1", host: str | None = "Host: x", body: str = "") -> str:
    return "\r\n".join([line, *([host] if host is not None else []), *headers, "", body])


def get(path: str, *headers: str) -> str:
    return request(*headers, line=f"GET {path} HTTP/1.1")


def verify(key: str, body: str, *headers: str) -> str:
    """A verification, all but its framing."""
    return request(f"Authorization: Bearer {key}", "Content-Type: application/json", *headers, line=VERIFY, body=body)
