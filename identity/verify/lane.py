"""A lane: one connection on which one prepared statement follows another. psycopg's own cursors would cost more than
the statements: each registers and unregisters the socket, and makes a future and a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import psycopg
from psycopg import pq

from identity.db import Connection
from identity.errors import Unavailable
from identity.verify.statements import PREPARED

Rows = list[tuple[bytes | None, ...]]

BUSY = (b"57014", b"55P03")
"""Cancelled, or a lock not had in time: it is the statement that failed, not the lane."""
OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Lane:
    """Asks one thing at a time. When it is lost it says so once, and whoever waits on it gets Unavailable."""

    def __init__(self, connection: Connection, on_lost: Callable[[Lane], None]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._on_lost = on_lost
        self._waiter: asyncio.Future[Rows] | None = None
        self._results: list[pq.abc.PGresult] = []
        self._is_lost = False
        self.asked_at_s: float | None = None
        """Since when it has been silent; None where nothing is asked."""
        self._loop.add_reader(self._socket, self._on_readable)

    async def prepare(self) -> None:
        for name, statement in PREPARED.items():
            await self._exchange(partial(self._pgconn.send_prepare, name, statement.encode()))

    async def ask(self, name: bytes, *params: bytes) -> Rows:
        """One statement's rows, as text. Unavailable where the lane is lost meanwhile."""
        return await self._exchange(partial(self._pgconn.send_query_prepared, name, params))

    def lose(self) -> None:
        """Closes it, whatever it was doing."""
        if self._is_lost:
            return
        self._is_lost = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._pgconn.finish()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Unavailable())
        self._on_lost(self)

    async def _exchange(self, send: Callable[[], None]) -> Rows:
        if self._is_lost:
            raise Unavailable
        assert self._waiter is None, "a lane asks one thing at a time"
        self._waiter = self._loop.create_future()
        self.asked_at_s = self._loop.time()
        try:
            send()
            self._flush()
            return await self._waiter
        except Unavailable:
            raise
        except BaseException as error:
            self.lose()  # what it may still answer is not for whoever asks next
            if isinstance(error, psycopg.Error):
                raise Unavailable from error
            raise
        finally:
            self._waiter, self.asked_at_s, self._results = None, None, []

    def _flush(self) -> None:
        """What the socket does not take at once goes when it can."""
        if self._pgconn.flush():
            self._loop.add_writer(self._socket, self._on_writable)

    def _on_writable(self) -> None:
        try:
            if not self._pgconn.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error:
            self.lose()

    def _on_readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    self._answer()
                    return
                self._results.append(result)
        except psycopg.Error:
            self.lose()

    def _answer(self) -> None:
        if self._waiter is None or self._waiter.done():
            return
        result = self._results[-1] if self._results else None
        if result is None or result.status not in OK:
            if result is None or result.error_field(pq.DiagnosticField.SQLSTATE) not in BUSY:
                self.lose()
            else:
                self._waiter.set_exception(Unavailable())
            return
        columns = range(result.nfields)
        self._waiter.set_result([tuple(result.get_value(n, m) for m in columns) for n in range(result.ntuples)])
