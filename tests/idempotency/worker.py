"""The service in a process of its own, which kills itself where it is told. Each is forked from a parent that has
imported everything, so that a death costs little."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from multiprocessing.process import BaseProcess
from typing import Any, Literal, TypeVar

import uvicorn
from psycopg_pool import AsyncConnectionPool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity.api import make_app
from identity.api.whole import WholeProtocol
from identity.db import sessions
from identity.embedded import signal_on_parents_death
from identity.settings import Settings
from tests.forks import FORKS

T = TypeVar("T")
When = Literal["before", "during", "after"]

WATCHED: ContextVar[bool] = ContextVar("watched", default=False)
"""Whether this is the request that is to be killed in: the one with an Idempotency-Key."""


@dataclass
class Death:
    """At which await on the database or on the client (from 1 on), and where in it: before anything was sent, when it
    was sent and not answered, or when it was answered."""

    at: int
    when: When
    seen: int = 0

    async def watch(self, work: Coroutine[Any, Any, T]) -> T:
        if not WATCHED.get():
            return await work
        self.seen += 1
        self._strike("before")
        if self._is_due("during"):
            with suppress(StopIteration):
                work.send(None)  # as far as its first wait
        self._strike("during")
        result = await work
        self._strike("after")
        return result

    def _is_due(self, when: When) -> bool:
        return (self.at, self.when) == (self.seen, when)

    def _strike(self, when: When) -> None:
        if self._is_due(when):
            os.kill(os.getpid(), signal.SIGKILL)

    def lie_in_wait(self) -> None:
        """In front of each statement, BEGIN and COMMIT, and where a connection is taken and given back."""
        layer: Any = sessions
        layer.bounded = self._bounded(layer.bounded)
        pool: Any = AsyncConnectionPool
        for name in ("getconn", "putconn"):
            setattr(pool, name, self._watched(getattr(pool, name)))

    def _bounded(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(real)
        async def bounded(connection: Any, work: Any, timeout_s: float) -> Any:
            return await real(connection, self.watch(work), timeout_s)

        return bounded

    def _watched(self, real: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(real)
        async def watched(*args: Any, **more: Any) -> Any:
            return await self.watch(real(*args, **more))

        return watched

    def over(self, app: ASGIApp) -> ASGIApp:
        """The service, watched from the arrival of the request to the last word of its answer."""

        async def watching(scope: Scope, receive: Receive, send: Send) -> None:
            WATCHED.set(any(name == b"idempotency-key" for name, _ in scope.get("headers", ())))

            async def sending(message: Message) -> None:
                await self.watch(_sent(send, message))

            await app(scope, receive, sending)

        return watching


async def _sent(send: Send, message: Message) -> None:
    await send(message)


def serve(settings: Settings, listening: socket.socket, death: Death | None) -> None:
    signal_on_parents_death(signal.SIGKILL, os.getppid())
    app = make_app(settings)
    if death is not None:
        death.lie_in_wait()
        app = death.over(app)
    config = uvicorn.Config(app, http=WholeProtocol, ws="none", lifespan="on", log_config=None)
    uvicorn.Server(config).run(sockets=[listening])


@dataclass(frozen=True)
class Worker:
    """A process that serves; until it does, requests wait in the socket's queue."""

    url: str
    process: BaseProcess

    def was_killed(self) -> bool:
        self.process.join(5)
        return self.process.exitcode == -signal.SIGKILL


@contextmanager
def working(settings: Settings, death: Death | None = None, run: Callable[..., None] = serve) -> Iterator[Worker]:
    listening = socket.create_server(("127.0.0.1", 0))
    process = FORKS.Process(target=run, args=(settings, listening, death), daemon=True)
    process.start()
    port = listening.getsockname()[1]
    listening.close()
    try:
        yield Worker(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.join()
        process.close()
