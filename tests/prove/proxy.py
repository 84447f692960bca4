"""What lies between a worker's lanes and PostgreSQL, and may freeze, reset or delay them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

AT_ONCE_BYTES = 1 << 16

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """One connection, and the one behind it."""

    def __init__(self, proxy: Proxy, front: Streams, back: Streams) -> None:
        self._proxy = proxy
        self._front, self._back = front, back
        self._flows = asyncio.Event()
        self._flows.set()

    async def run(self) -> None:
        """Until either side ends."""
        ways = [
            asyncio.create_task(self._pump(self._front[0], self._back[1])),
            asyncio.create_task(self._pump(self._back[0], self._front[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self.close()

    def freeze(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self._flows.clear()

    def reset(self) -> None:
        end: socket.socket = self._front[1].get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by RST, not by FIN
        self._front[1].transport.abort()

    def close(self) -> None:
        self._flows.set()
        for _, writer in (self._front, self._back):
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(AT_ONCE_BYTES):
                await self._flows.wait()
                if self._proxy.delay_s:
                    await asyncio.sleep(self._proxy.delay_s)
                writer.write(data)
                await writer.drain()


@dataclass
class Proxy:
    """Listens on a port of this machine for one worker, in front of a server's unix socket."""

    target: str
    port: int = 0
    delay_s: float = 0.0
    """Each way."""
    links: list[Link] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        link = Link(self, (reader, writer), back)
        self.links.append(link)
        try:
            await link.run()
        finally:
            self.links.remove(link)


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    found = Proxy(target)
    server = await asyncio.start_server(found.accept, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        while found.links:
            found.links[0].close()
            await asyncio.sleep(0.01)
