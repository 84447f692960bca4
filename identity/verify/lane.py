"""A lane: one connection on which one prepared statement follows another. psycopg's own cursors would cost more than
the statements: each registers and unregisters the socket, and makes a future and a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

import psycopg
from psycopg import pq

from identity.db import Connection
from identity.errors import Unavailable

Rows = list[tuple[bytes | None, ...]]
Statement = tuple[bytes, tuple[bytes, ...]]
"""The name of a prepared one, and what it is asked with."""
Work = Coroutine[Statement, Rows, Any]
"""What a lane carries: it yields one statement after the other, and gets the rows of each."""
Done = Callable[[Any, BaseException | None], None]

BUSY = (b"57014", b"55P03")
"""Cancelled, or a lock not had in time: it is the statement that failed, not the lane."""
OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


@coroutine
def ask(name: bytes, *params: bytes) -> Generator[Statement, Rows, Rows]:
    """One statement's rows, as text, within work that a lane carries. Unavailable where the lane is lost meanwhile."""
    return (yield name, params)


class Lane:
    """Carries one piece of work at a time, without a task. When it is lost it says so once, and its work gets
    Unavailable."""

    def __init__(self, connection: Connection, on_lost: Callable[[Lane], None]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._on_lost = on_lost
        self._work: Work | None = None
        self._done: Done | None = None
        self._results: list[pq.abc.PGresult] = []
        self._is_lost = False
        self.asked_at_s: float | None = None
        """Since when it has been silent; None where nothing is asked."""
        self._loop.add_reader(self._socket, self._on_readable)

    def carry(self, work: Work, done: Done) -> None:
        assert self._work is None, "a lane carries one thing at a time"
        self._work, self._done = work, done
        self._go_on(None)

    def lose(self) -> None:
        """Closes it, whatever it was doing."""
        if self._is_lost:
            return
        self._is_lost = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._pgconn.finish()
        self._on_lost(self)
        if self._work is not None:
            self._fail(Unavailable())

    def _go_on(self, rows: Any) -> None:
        """The work's next step, up to the statement after."""
        assert self._work is not None
        try:
            name, params = self._work.send(rows)
        except StopIteration as end:
            self._end(end.value, None)
        except BaseException as error:  # noqa: BLE001 - whoever gave the work hears of it
            self._end(None, error)
        else:
            self._send(name, params)

    def _fail(self, error: Exception) -> None:
        assert self._work is not None
        try:
            self._work.throw(error)
        except BaseException as raised:  # noqa: BLE001 - as above
            self._end(None, raised)

    def _end(self, answer: Any, error: BaseException | None) -> None:
        done, self._work, self._done, self.asked_at_s = self._done, None, None, None
        assert done is not None
        done(answer, error)

    def _send(self, name: bytes, params: tuple[bytes, ...]) -> None:
        self.asked_at_s = self._loop.time()
        try:
            self._pgconn.send_query_prepared(name, params)
            if self._pgconn.flush():  # what the socket does not take at once goes when it can
                self._loop.add_writer(self._socket, self._on_writable)
        except psycopg.Error:
            self.lose()

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
                    break
                self._results.append(result)
            else:
                return
        except psycopg.Error:
            self.lose()
            return
        results, self._results = self._results, []
        if self._work is not None:
            self._take(results[-1] if results else None)

    def _take(self, result: pq.abc.PGresult | None) -> None:
        if result is not None and result.status in OK:
            get, columns = result.get_value, range(result.nfields)
            self._deliver([tuple([get(n, m) for m in columns]) for n in range(result.ntuples)])
        elif result is not None and result.error_field(pq.DiagnosticField.SQLSTATE) in BUSY:
            self._fail(Unavailable())
        else:
            self.lose()  # what it may still answer is not for whoever asks next

    def _deliver(self, rows: Rows) -> None:
        self._go_on(rows)
