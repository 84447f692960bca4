"""Bounds on the time that a client may take: to send a request, to read an answer, to leave."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LINGER_S = 2.0
"""How long what a refused client still sends is thrown away: closed at once, it would not get to read the answer."""


class TimedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, which waits for ever for the rest of a request, and for an answer to be read."""

    receive_timeout_s = 10.0
    """Set once, before the server starts."""
    send_timeout_s = 30.0

    _due_s: float | None = None
    """Until when the request that is arriving must have come; None between requests."""
    _idle_until_s: float | None = None
    """Until when another request may begin; None while one arrives or is answered."""
    _watch: asyncio.TimerHandle | None = None
    _watch_s = 0.0
    """When it looks."""
    _abort: asyncio.TimerHandle | None = None
    _is_ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()
        self._watch_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        if self._watch is not None:
            self._watch.cancel()
        self._cancel_abort()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._is_ending:
            self._abort_in(self.send_timeout_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not (self._is_ending or self.transport.is_closing()):
            self._cancel_abort()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_in(LINGER_S)

    def took_too_long(self) -> None:
        raise NotImplementedError

    def _await_request(self) -> None:
        self._due_s = self.loop.time() + self.receive_timeout_s

    def _cancel_deadline(self) -> None:
        self._due_s = None

    def on_response_complete(self) -> None:
        """As uvicorn's, which makes a timer for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._rest()
            self._watch_deadline()

    def _rest(self) -> None:
        self._idle_until_s = self.loop.time() + self.timeout_keep_alive

    def _unset_keepalive_if_required(self) -> None:
        self._idle_until_s = None

    def _watch_deadline(self) -> None:
        """By one timer, which looks again when it is due too early: one for each request would cost more than to parse
        it."""
        until_s = self._idle_until_s if self._due_s is None else self._due_s
        if until_s is None or (self._watch is not None and self._watch_s <= until_s):
            return
        if self._watch is not None:
            self._watch.cancel()
        self._watch, self._watch_s = self.loop.call_at(until_s, self._look), until_s

    def _look(self) -> None:
        self._watch = None
        now_s = self.loop.time()
        if self._due_s is not None and now_s >= self._due_s:
            self.took_too_long()
        elif self._idle_until_s is not None and now_s >= self._idle_until_s:
            self.timeout_keep_alive_handler()
        else:
            self._watch_deadline()

    def _abort_in(self, seconds: float) -> None:
        self._cancel_abort()
        self._abort = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_abort(self) -> None:
        if self._abort is not None:
            self._abort.cancel()
            self._abort = None
