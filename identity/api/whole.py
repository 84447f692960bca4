"""Requests that come whole, in one read: the application may take them as they are, before they become ASGI's. The
scope, cycle, task and messages that uvicorn makes of each cost more than to verify a key that is remembered."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from identity.api.protocol import AT_ONCE, LimitedProtocol

Headers = list[tuple[bytes, bytes]]


NOBODY_WAITS = asyncio.Event()
"""Where a cycle tells its application that there is news."""


class Taker(Protocol):
    """An application that answers some requests in front of its ASGI."""

    paths: frozenset[str]
    """Of POSTs that it may take."""

    def take(self, request: WholeRequest) -> bool:
        """Whether it will answer it or hand it on, later; else it becomes ASGI's at once."""


class WholeRequest(RequestResponseCycle):
    """A cycle of which no more is made than an answer needs, until it is handed on."""

    keep_alive = more_body = True
    disconnected = response_started = response_complete = waiting_for_100_continue = False
    message_event = NOBODY_WAITS

    def __init__(self, protocol: WholeProtocol, path: str, headers: Headers, scope: Any) -> None:
        self.protocol = protocol
        self.path = path
        self.headers = headers
        self.scope = scope
        self.body = bytearray()
        self.on_response = protocol.on_response_complete

    def answer(self, head: bytes, body: bytes) -> None:
        """With a 200, whose head lacks its last line end."""
        if not self.disconnected:
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


class WholeProtocol(LimitedProtocol):
    """Offers what comes whole to an application that takes it; the rest, and what is not taken, is uvicorn's."""

    _offered: WholeRequest | None = None
    """Whose body has not come yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        paths: frozenset[str] = getattr(self.app, "paths", frozenset())
        self._paths = {path.encode(): path for path in paths}
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._take_back()  # the rest may be long in coming: whether its sender is let in is judged first

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._take_back()  # it is logged by whoever answers requests
        super()._refuse(status, code, detail)

    def _take_back(self) -> None:
        if self._offered is not None:
            self._offered.hand_on()
            self._offered = None

    def _begin(self) -> None:
        if self._may_be_taken():
            self._offered = WholeRequest(self, self._paths[self.url], self.headers, self.scope)
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
            if not cast("Taker", self.app).take(request):
                request.hand_on()

    def make_whole_cycle(self, request: WholeRequest, scope: Any) -> None:
        """As uvicorn makes one."""
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
