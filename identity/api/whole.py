"""Requests that come whole, in one read: the application may take them as they are, before they become ASGI's. The
scope, cycle, task and messages that uvicorn makes of each cost more than to verify a key that is remembered; and a
client sends the same head over and over, which need not be parsed again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol, cast

from httptools import HttpRequestParser
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from identity.api.protocol import AT_ONCE, LimitedProtocol

log = logging.getLogger("identity")

NOBODY_WAITS = asyncio.Event()
"""Where a cycle tells its application that there is news."""
HEAD_ENDS = b"\r\n\r\n"
MAX_HEADS = 4096


@dataclass(slots=True, frozen=True)
class Head:
    """What a head says, and no secret of it: known by the digest of its bytes."""

    path: str
    body_bytes: int
    note: Any


class Taker(Protocol):
    """An application that answers some requests in front of its ASGI."""

    paths: frozenset[str]
    """Of POSTs that it may take."""
    heads: dict[bytes, Head]

    def take(self, request: WholeRequest) -> bool:
        """Whether it will answer it or hand it on, later; else it becomes ASGI's at once."""


class WholeRequest(RequestResponseCycle):
    """A cycle of which no more is made than an answer needs, until it is handed on."""

    keep_alive = more_body = True
    disconnected = response_started = response_complete = waiting_for_100_continue = False
    message_event = NOBODY_WAITS
    known: Any = None
    """What the application has noted of another one with the same head."""
    note: Any = None
    """What it notes of this one's, for those that come after it is answered."""

    def __init__(self, protocol: WholeProtocol, path: str, data: bytes, scope: Any) -> None:
        self.protocol = protocol
        self.path = path
        self.data = data
        """All that came with it; empty where it came in pieces."""
        self.scope = scope
        self.body = bytearray()
        self.on_response = protocol.on_response_complete

    def answer(self, head: bytes, body: bytes) -> None:
        """With a 200, whose head lacks its last line end."""
        if not self.disconnected:
            if self.note is not None:
                self.protocol.learn(self)
            self.protocol.write_answer(self, head, body)

    def hand_on(self, app: ASGIApp | None = None) -> None:
        """To the application, as if nobody had looked at it; or to another one."""
        if self.disconnected or self.response_complete:
            return
        body, more_body = self.body, self.more_body
        self.protocol.make_whole_cycle(self, self.as_scope())
        self.body, self.more_body = body, more_body
        self.message_event.set()
        self.protocol.start(self, app)

    def as_scope(self) -> Any:
        self.scope |= {"method": "POST", "path": self.path, "raw_path": self.path.encode(), "query_string": b""}
        return self.scope


class KnownRequest(WholeRequest):
    """One whose head has been parsed before, with another body."""

    more_body = False

    def __init__(self, protocol: WholeProtocol, head: Head, data: bytes) -> None:
        self.protocol = protocol
        self.path = head.path
        self.known = head.note
        self.data = data
        self.body = data[-head.body_bytes :]  # type: ignore[assignment]  # it is whole
        self.on_response = protocol.on_response_complete

    def as_scope(self) -> Any:
        self.scope = cast("Any", self.protocol.make_scope(_headers(self.data)))
        return super().as_scope()


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    headers = _Headers()
    HttpRequestParser(headers).feed_data(head)
    return headers.found


class _Headers:
    """As uvicorn gathers them."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name.lower(), value))


class WholeProtocol(LimitedProtocol):
    """Offers what comes whole to an application that takes it; the rest, and what is not taken, is uvicorn's."""

    _offered: WholeRequest | None = None
    """Whose body has not come yet."""
    _data = b""
    """What was read last, where a request began with it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        paths: frozenset[str] = getattr(self.app, "paths", frozenset())
        self._paths = {path.encode(): path for path in paths}
        self._heads: dict[bytes, Head] = getattr(self.app, "heads", {})
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        begins = not (self._in_head or self._in_body)
        if begins and self._may_be_known() and self._offer_known(data):
            return
        self._data = data if begins else b""
        super().data_received(data)
        self._take_back()  # the rest may be long in coming: whether its sender is let in is judged first
        self._data = b""

    def _may_be_known(self) -> bool:
        return not (self._refused or self.flow.write_paused) and (self.cycle is None or self.cycle.response_complete)

    def _offer_known(self, data: bytes) -> bool:
        """Where its head has been parsed before: to know it by its bytes takes a tenth of the time."""
        end = data.find(HEAD_ENDS) + len(HEAD_ENDS)
        head = self._heads.get(sha256(data[:end]).digest())
        if head is None or len(data) - end != head.body_bytes:
            return False
        self._unset_keepalive_if_required()
        self._cancel_deadline()
        self.cycle = request = KnownRequest(self, head, data)
        self._unanswered.append(request)
        self._received_bytes = 0
        self._take(request)
        return True

    def _take(self, request: WholeRequest) -> None:
        """Whatever goes wrong with it, somebody answers."""
        try:
            is_taken = cast("Taker", self.app).take(request)
        except Exception as error:
            log.error("A request that came whole could not be taken.", exc_info=error)
            is_taken = False
        if not is_taken:
            request.hand_on()

    def _head_without_upgrade(self) -> bytes:
        self._data = b""  # it is not the head that came: nothing is learnt of it
        return super()._head_without_upgrade()

    def learn(self, request: WholeRequest) -> None:
        """What the next one with this head need not be parsed for; not where another request came with it."""
        end = len(request.data) - len(request.body)
        if request.data.find(HEAD_ENDS) + len(HEAD_ENDS) != end:
            return
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[sha256(request.data[:end]).digest()] = Head(request.path, len(request.body), request.note)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._take_back()  # it is logged by whoever answers requests
        super()._refuse(status, code, detail)

    def _take_back(self) -> None:
        if self._offered is not None:
            self._offered.hand_on()
            self._offered = None

    def _begin(self) -> None:
        if self._may_be_taken():
            self._offered = WholeRequest(self, self._paths[self.url], self._data, self.scope)
            self._follow(self._offered)
        else:
            super()._begin()

    def _may_be_taken(self) -> bool:
        return (
            self.url in self._paths
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused  # who does not read its answers is answered when it does
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
        )

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._offered is not None:
            request, self._offered = self._offered, None
            self._take(request)

    def make_scope(self, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        """As uvicorn makes one."""
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": headers,
            "state": self.app_state.copy(),
        }

    def make_whole_cycle(self, request: WholeRequest, scope: Any) -> None:
        """Likewise."""
        scope["extensions"] = {AT_ONCE: self._answer_at_once}
        RequestResponseCycle.__init__(
            request,
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=request.keep_alive,
            on_response=self.on_response_complete,
        )

    def start(self, request: WholeRequest, app: ASGIApp | None) -> None:
        self._start_asgi_task(request, cast("Any", app or self.app))
