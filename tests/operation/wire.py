"""A connection on which anything can be said."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 5


@dataclass(frozen=True)
class Client:
    """Sends text as it stands, and reads answers one by one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, text: str | bytes) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)
        await self.writer.drain()

    async def answer(self) -> tuple[int, Any]:
        """Status and content; of an error, that it is a problem."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:-2])}
            content = json.loads(await self.reader.readexactly(int(headers["content-length"])))
        status = int(head[0].split()[1])
        if status >= 400:
            assert headers["content-type"] == "application/problem+json"
            assert content["status"] == status
        return status, content

    async def refused(self) -> tuple[int, str]:
        status, content = await self.answer()
        return status, content["code"]

    async def is_closed(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self.reader.read(1) == b""
        except ConnectionResetError:  # of what was not read
            return True


def request(*headers: str, line: str = "GET /healthz HTTP/1.1", host: str | None = "Host: x") -> str:
    return "\r\n".join([line, *([host] if host else []), *headers, "", ""])
