"""Verifications as bytes on a connection that needs no network."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from identity.api.hot import HotPath
from identity.api.whole import WholeProtocol

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """As it goes out, but for what differs from request to request."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: Any


class Wire(asyncio.Transport):
    """A connection without a network: what is written to it, and that something was."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.news = asyncio.Event()
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data
        self.news.set()

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...
    def write_eof(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True

    async def answer(self) -> Answer:
        """The next one."""
        while (found := self._take()) is None:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 5)
        return found

    def _take(self) -> Answer | None:
        found = re.match(rb"(?s)HTTP/1.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n", bytes(self.written))
        if found is None:
            return None
        headers = [self._header(line) for line in found[2].split(b"\r\n")]
        end = found.end() + int(dict(headers)[b"content-length"])
        if len(self.written) < end:
            return None
        body = json.loads(self.written[found.end() : end])
        del self.written[:end]
        body.pop("instance", None)
        kept = sorted(each for each in headers if each[0] not in (b"x-request-id", b"content-length"))
        return Answer(int(found[1]), tuple(kept), body)

    @staticmethod
    def _header(line: bytes) -> tuple[bytes, bytes]:
        name, _, value = line.partition(b": ")
        return name.lower(), value


def opened(hot: HotPath) -> tuple[WholeProtocol, Wire]:
    config = uvicorn.Config(hot, http=WholeProtocol, lifespan="off", log_config=None, proxy_headers=False)
    wire, protocol = Wire(), WholeProtocol(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    return protocol, wire


def on_the_wire(path: str, headers: Headers, body: bytes, method: str = "POST") -> bytes:
    lines = [b"%b: %b" % header for header in [*headers, (b"content-length", b"%d" % len(body))]]
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *lines, b"", body])


async def send_whole(hot: HotPath, path: str, headers: Headers, body: bytes, method: str = "POST") -> Answer:
    protocol, wire = opened(hot)
    protocol.data_received(on_the_wire(path, headers, body, method))
    answer = await wire.answer()
    protocol.connection_lost(None)
    return answer


def usual(key: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"host", b"identity.example.com"),
        (b"authorization", f"Bearer {key}".encode()),
        (b"content-type", b"application/json"),
    ]
