"""Limits on what a client may send before it is a request: uvicorn has none, and a middleware is called too late."""

from __future__ import annotations

import asyncio
import json
import uuid
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 64


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with bounds on the header section and on the time a request may take to arrive."""

    receive_timeout_s = 10.0
    """Set once, before the server starts."""

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_head = False
    _received_bytes = 0
    """Since something last ended: one endless header, trailer or chunk's head is none until it ends."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        super().data_received(data)
        if self._received_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._send(431, "headers_too_large", f"Path and headers may have at most {MAX_HEADER_BYTES} bytes.")

    def on_message_begin(self) -> None:
        self._in_head = True
        self._header_bytes = 0
        self._await_request()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if not self._in_head:
            return  # a trailer is no header (RFC 9110, section 6.5.1)
        if len(self.headers) >= MAX_HEADERS:
            self._refuse(431, "headers_too_large", f"A request may have at most {MAX_HEADERS} headers.")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._received_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._received_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._received_bytes = 0
        self._cancel_deadline()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called for what is no HTTP; after a refusal of ours nothing more is said."""
        if not self.transport.is_closing():
            self._send(400, "invalid_http", "This is not a valid HTTP request.")

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431, "headers_too_large", f"Path and headers may have at most {MAX_HEADER_BYTES} bytes.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answers, closes, and stops the parser: what it raises here it reports as an invalid request."""
        if not self.transport.is_closing():
            self._send(status, code, detail)
        raise ValueError(code)

    def _await_request(self) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(self.receive_timeout_s, self._took_too_long)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _took_too_long(self) -> None:
        if not self.transport.is_closing():
            self._send(408, "request_timeout", f"A request must arrive within {self.receive_timeout_s:g} seconds.")

    def _send(self, status: int, code: str, detail: str) -> None:
        phrase = HTTPStatus(status).phrase
        request_id = uuid.uuid4().hex
        content = {
            "type": f"/docs#{code}",
            "title": phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "instance": request_id,
        }
        body = json.dumps(content).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\n"
            "content-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
