"""Limits on what a client may send before it is a request: uvicorn has none, and a middleware is called too late."""

from __future__ import annotations

import asyncio
import re
from collections import deque

from httptools import HttpParserError, HttpParserUpgrade
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from identity.api.logs import log_request
from identity.api.problems import edge_headers, raw_problem
from identity.api.request_id import request_id
from identity.api.timeouts import LINGER_S, TimedProtocol

MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 64
AT_ONCE = "identity.at_once"
"""An extension of ASGI, for whoever has an answer's head and body in bytes."""
MAX_PIPELINED = 64
"""A packet of tiny requests would else become hundreds of times its size in waiting ones."""
USUAL = (b"POST ", b"GET ")
MADE_UP = re.compile(
    rb"[\r\n]*(?!(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )([!#-'*+.0-9A-Z^-z|~-]{1,32}) (?=/|https?://)"
)
"""The beginning of a request whose method no route has: a token of RFC 9110, section 5.6.2, and the target."""


class LimitedProtocol(TimedProtocol):
    """HTTP/1.1 as uvicorn speaks it, with bounds on the head and on the time that a request or its answer may take on
    the way; what could be read in two ways is refused, in its turn, and ends the connection."""

    _in_head = False
    _in_body = False
    _received_bytes = 0
    """Since something last ended: one endless header, trailer or chunk's head is none until it ends."""
    _lines_of: list[tuple[bytes, bytes]] | None = None
    _lines = b""
    """The server's own headers."""
    _method: bytes | None = None
    """What stood where the parser was given TRACE."""
    _refused = False
    _refusal: bytes | None = None
    """What is said when the requests before it are answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._unanswered: deque[RequestResponseCycle] = deque()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        if self._due_s is None:  # line ends may precede a request, and begin none
            self._await_request()
        self._received_bytes += len(data)
        try:
            self._feed(data)
        except HttpParserError:
            self._refuse(400, "invalid_http", "This is not a valid HTTP request.")
        if self._received_bytes > MAX_HEADER_BYTES:
            self._refuse_head(f"Path and headers may have at most {MAX_HEADER_BYTES} bytes.")
        self._watch_deadline()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._await_request()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._received_bytes = 0
        self._judge_head()
        if not self.parser.should_upgrade():
            self._begin()

    def _begin(self) -> None:
        super().on_headers_complete()
        self._follow(self.cycle)
        self.scope["extensions"] = {AT_ONCE: self._answer_at_once}  # type: ignore[dict-item]
        if self._method is not None:
            self.scope["method"], self._method = self._method.decode(), None
        if self.expect_100_continue:
            self.cycle.keep_alive = False  # refused early, it may or may not send its body: the next request is unclear

    def _follow(self, cycle: RequestResponseCycle) -> None:
        """To its answer."""
        self.cycle = cycle
        self.headers = []  # a trailer is no header (RFC 9110, section 6.5.1)
        self._in_body = True
        self._unanswered.append(cycle)

    def on_body(self, body: bytes) -> None:
        self._received_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._received_bytes = 0
        if self.parser.should_upgrade():
            return
        self._in_body = False
        self._cancel_deadline()
        if self.cycle.response_complete:  # answered before it was whole: nothing else would end this connection
            self._rest()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in self._unanswered:  # uvicorn tells the newest alone
            self._is_gone(cycle)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        was_last = not self.pipeline
        self._unanswered.popleft()
        super().on_response_complete()
        if was_last and self._refusal is not None:
            self._say(self._refusal)
        elif self.transport.is_closing():
            self._abort_in(self.send_timeout_s)

    def _answer_at_once(self, head: bytes, body: bytes) -> bool:
        """All of an answer in one write: by ASGI's messages it costs two, and each header is looked at again. Not where
        the client is slow to read, or gone. (Whose turn it is, is asked here: a request that held its own answer would
        be garbage that only the collector takes away.)"""
        cycle = self._unanswered[0]
        if cycle.disconnected or cycle.response_started or self.flow.write_paused:
            return False
        self.write_answer(cycle, head, body)
        return True

    def write_answer(self, cycle: RequestResponseCycle, head: bytes, body: bytes) -> None:
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        if self._lines_of is not self.server_state.default_headers:
            self._lines_of = self.server_state.default_headers  # another list each second
            self._lines = b"".join([b"%b: %b\r\n" % header for header in self._lines_of])
        lines = self._lines if cycle.keep_alive else self._lines + b"connection: close\r\n"
        self.transport.write(b"%b%b\r\n%b" % (head, lines, body))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _feed(self, data: bytes) -> None:
        if not (self._in_head or self._in_body or data.startswith(USUAL)) and (made_up := MADE_UP.match(data)):
            self._method = made_up[1]
            data = b"TRACE" + data[made_up.end(1) :]  # a method that the parser knows, and no route has
        for _ in range(MAX_PIPELINED):
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
            else:
                return
        self._refuse(429, "too_many_requests", f"At most {MAX_PIPELINED} requests may wait on one connection.")

    def _head_without_upgrade(self) -> bytes:
        """The same request without its offer to speak something else, which we do not take: the parser would leave its
        body unread, and take it for the next request."""
        head = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(each for each in value.split(b",") if each.strip().lower() != b"upgrade")
            if name != b"upgrade":
                head.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*head, b"", b""])

    def _judge_head(self) -> None:
        """Its size, and what the parser lets through, and another parser on the way may have read otherwise."""
        size, codings = len(self.url), []
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"transfer-encoding":
                codings.append(value.strip(b" \t").lower())
        if size > MAX_HEADER_BYTES:
            self._refuse_head(f"Path and headers may have at most {MAX_HEADER_BYTES} bytes.")
        elif len(self.headers) > MAX_HEADERS:
            self._refuse_head(f"A request may have at most {MAX_HEADERS} headers.")
        else:
            self._judge_form(self.parser.get_http_version(), codings)
        if self._refused:
            raise ValueError("refused")  # ends the parser's work, which reports it as an invalid request

    def _judge_form(self, version: str, codings: list[bytes]) -> None:
        if version not in ("1.0", "1.1"):
            self._refuse(505, "http_version_not_supported", "This service speaks HTTP/1.1.")
        elif codings and (codings != [b"chunked"] or version == "1.0"):
            self._refuse(400, "invalid_http", "A Transfer-Encoding can only be chunked, in HTTP/1.1.")
        elif b"#" in self.url or self.parser.get_method() == b"CONNECT":
            self._refuse(400, "invalid_http", "This is not a valid target of a request.")
        elif len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(429, "too_many_requests", f"At most {MAX_PIPELINED} requests may wait on one connection.")

    def took_too_long(self) -> None:
        self._refuse(408, "request_timeout", f"A request must arrive within {self.receive_timeout_s:g} seconds.")

    def _refuse_head(self, detail: str) -> None:
        self._refuse(431, "headers_too_large", detail)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """The answer to the request that is arriving, when those before it have theirs; nothing after it is read."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._cancel_deadline()
        if self._in_body and self.cycle.response_started:
            self._say(b"")
            return
        answer = self._problem(status, code, detail)
        if self._is_others_turn():
            self._refusal = answer
        else:
            self._say(answer)

    def _is_others_turn(self) -> bool:
        if not self._in_body:
            return self.cycle is not None and not self.cycle.response_complete
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
            return True
        self._is_gone(self.cycle)
        return False

    def _is_gone(self, cycle: RequestResponseCycle) -> None:
        """Whoever answers it may stop, and must not write to it: not even that its body may come."""
        cycle.disconnected, cycle.waiting_for_100_continue = True, False
        cycle.message_event.set()

    def _problem(self, status: int, code: str, detail: str) -> bytes:
        """Logged here, unless the request has begun to be answered: then its own line tells it."""
        state = self.scope["state"] if self._in_body else {}
        state["refused"] = status
        id = state.get("request_id") or request_id(self._given_id())
        if not self._in_body:
            log_request(id, status, address=self.client[0] if self.client else "")
        return self._on_the_wire(raw_problem(status, code, detail, id, headers=edge_headers(id)))

    def _on_the_wire(self, answer: Response) -> bytes:
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        lines = (b"%s: %s\r\n" % header for header in headers)
        return b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)])

    def _given_id(self) -> str | None:
        headers = self.scope["headers"] if self._in_body else self.headers or ()
        return next((value.decode("latin-1") for name, value in headers if name == b"x-request-id"), None)

    def _say(self, answer: bytes) -> None:
        """Says it, and ends our half of the connection."""
        self._unset_keepalive_if_required()
        self._refusal, self._is_ending = None, True
        self.transport.write(answer)
        self.transport.write_eof()
        self._abort_in(LINGER_S)
