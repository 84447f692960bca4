"""The hot path: verifications are answered in front of the router, by a function that knows no more than them. It takes
on what it wholly understands and would answer with 200; whatever else comes is handed on, and judged as any request."""

from __future__ import annotations

import time
from asyncio import CancelledError, Task, get_running_loop
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from identity.api.call import Service
from identity.api.envelope import SLOW_S, Envelope
from identity.api.keys import VERIFY, VERIFY_BATCH, items, tell, tell_one, tell_taken, visible
from identity.api.messages import again_from, raising, read_messages, whole
from identity.api.plain import MAX_BYTES, Plain, read_asked
from identity.api.plain_headers import JSON_TYPES, plain_headers
from identity.api.problems import edge_headers
from identity.api.protocol import AT_ONCE
from identity.api.request_id import request_id
from identity.api.whole import HEAD_ENDS, WholeRequest
from identity.api.whole import Head as KnownHead
from identity.auth import Principal, whose
from identity.errors import Unavailable
from identity.key_text import parse
from identity.verify import Known, Taken, Verifier, judge
from identity.verify.verifier import Pair, digest

BEARER = b"Bearer "


class HotPath:
    """The outermost application. Of the two others, the envelope has what it hands on or fails at."""

    def __init__(self, envelope: Envelope) -> None:
        self.heads: dict[bytes, KnownHead] = {}
        self.others: dict[str, Callable[[WholeRequest], bool]] = {}
        """Who else takes what comes whole, by path."""
        self.envelope = envelope
        self.app = envelope.app
        self._tasks: set[Task[None]] = set()

    @property
    def paths(self) -> frozenset[str]:
        return frozenset((VERIFY, VERIFY_BATCH, *self.others))

    def take(self, request: WholeRequest) -> bool:
        """What one statement tells is answered when it has, without a task."""
        if request.path in self.others:
            return self.others[request.path](request)
        asking = _asking(request)
        if asking is None:
            return False
        pair = self.ask_pair(asking) if request.path == VERIFY else None
        if pair is not None:
            pair.batch.then(lambda _: self._told_pair(asking, pair))
        else:
            self.start(self._look_up(asking))
        return True

    def ask_pair(self, asking: Asking) -> Pair | None:
        verifier: Verifier = self.app.state.service.verifier
        [what] = asking.asked
        if not verifier.is_open or what.tenant_id is not None:
            return None
        return verifier.ask_pair((asking.head.credential, what.key), (asking.head.digest, digest(what.key)))

    def _told_pair(self, asking: Asking, pair: Pair) -> None:
        try:
            service: Service = self.app.state.service
            known = service.verifier.pair(pair)
            caller = None if known is None else allowed(known[0])
            if known is None:
                self.start(self._look_up(asking))
            elif caller is None:
                asking.request.hand_on(self.envelope)
            else:
                service.usage.count(caller.tenant_id, known[0].key_id, "valid")
                self._tell(asking, caller, visible(caller, known[1]))
        except Exception as error:  # noqa: BLE001 - which the envelope tells
            self.fail(asking, error)

    def _tell(self, asking: Asking, caller: Principal, its: Known) -> None:
        service: Service = self.app.state.service
        [what] = asking.asked
        code = judge(its, what)
        if its.is_limited and code == "valid":
            service.verifier.take_then(its, what.cost, what.costs, partial(self._told_taken, asking, caller, its))
        else:
            self.answer(asking, caller, tell_one(service, its, code))

    def _told_taken(self, asking: Asking, caller: Principal, its: Known, taken: Taken | None) -> None:
        if taken is None:
            self.fail(asking, Unavailable())
            return
        try:
            self.answer(asking, caller, tell_taken(self.app.state.service, its, taken))
        except Exception as error:  # noqa: BLE001 - likewise
            self.fail(asking, error)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_up(self, asking: Asking) -> None:
        try:
            caller, told = await self._told(asking.head.credential, asking.asked, asking.request.path)
            if caller is None:
                asking.request.hand_on(self.envelope)
            else:
                self.answer(asking, caller, told)
        except Exception as error:  # noqa: BLE001 - likewise
            self.fail(asking, error)

    def fail(self, asking: Asking, error: Exception) -> None:
        asking.request.hand_on(partial(self._failing, asking.request.path, error))

    async def _failing(self, route: str, error: BaseException, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["route"] = route
        await self.envelope.around(raising(error), scope, receive, send)

    def answer(self, asking: Asking, caller: Principal, told: bytes) -> None:
        request, id = asking.request, asking.head.id
        request.answer(lines(id, told), told)
        self._seen(request.path, id, caller, asking.started_s, request.as_scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = _head(scope["headers"]) if _is_ours(scope) else None
        if head is None:
            await self.envelope(scope, receive, send)
            return
        started_s = time.perf_counter()
        path = scope["path"]
        messages = await read_messages(receive, MAX_BYTES[path])
        body = whole(messages)
        asked = None if body is None else read_asked(path, body)
        if asked is None:
            await self.envelope(scope, again_from(messages, receive), send)
            return
        try:
            caller, told = await self._told(head.credential, asked, path)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - which the envelope tells
            await self._failing(path, error, scope, receive, send)
            return
        if caller is None:
            await self.envelope(scope, again_from(messages, receive), send)
            return
        await _send(scope, send, head.id, told)
        self._seen(path, head.id, caller, started_s, lambda: scope)

    def _seen(self, path: str, id: str, caller: Principal, started_s: float, scope: Callable[[], Scope]) -> None:
        duration_s = time.perf_counter() - started_s
        self.envelope.seen.request("POST", path, 200, duration_s)
        if duration_s >= SLOW_S:
            self.envelope.log_slow(scope(), id, caller, duration_s)

    async def _may_ask(self, credential: str) -> bool:
        """Before a thousand keys are looked up for them."""
        verifier: Verifier = self.app.state.service.verifier
        return verifier.remembered([digest(credential)]) is not None or (
            allowed(await verifier.look_up(credential)) is not None
        )

    async def _told(self, credential: str, asked: Sequence[Plain], path: str) -> tuple[Principal | None, bytes]:
        """Who asks, and the answer; nobody where the credential is not good for this."""
        service: Service = self.app.state.service
        if parse(credential) is None or (path == VERIFY_BATCH and not await self._may_ask(credential)):
            return None, b""
        its, *known = await service.verifier.look_up_all([credential, *[each.key for each in asked]])
        caller = allowed(its)
        if caller is None:
            return None, b""
        service.usage.count(its.tenant_id, its.key_id, "valid")
        told = await tell(service, caller, known, asked)
        return caller, told[0] if path == VERIFY else items(told)


def allowed(its: Known) -> Principal | None:
    if its.code != "valid":
        return None
    caller = whose(its)
    return caller if caller.may_verify_some else None


def _is_ours(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["path"] in (VERIFY, VERIFY_BATCH)
        and scope["method"] == "POST"
        and not scope["query_string"]
    )


class Asking(NamedTuple):
    """A verification that came whole, on its way."""

    request: WholeRequest
    head: Head
    asked: list[Plain]
    started_s: float


def _asking(request: WholeRequest) -> Asking | None:
    started_s = time.perf_counter()
    asked = read_asked(request.path, request.body)
    head = None if asked is None else _head_of(request)
    return None if asked is None or head is None else Asking(request, head, asked, started_s)


class Head(NamedTuple):
    """Of an ordinary verification."""

    credential: str
    digest: bytes
    id: str
    is_given: bool
    """Whether the client gave the id: no other request has that head."""


def _head(headers: Sequence[tuple[bytes, bytes]]) -> Head | None:
    """None where anything is not as it is in an ordinary verification."""
    found = plain_headers(headers, JSON_TYPES)
    credential = b"" if found is None else found.get(b"authorization", b"")
    if found is None or not credential.startswith(BEARER):
        return None
    text, given = credential[len(BEARER) :].decode("latin-1"), found.get(b"x-request-id")
    return Head(text, digest(text), request_id(given.decode("latin-1") if given else None), given is not None)


def _head_of(request: WholeRequest) -> Head | None:
    """As it was read when another came with the same; of the credential it is kept where it stands, not what it is."""
    if request.known is not None:
        place, known_digest = request.known
        return Head(request.data[place].decode("latin-1"), known_digest, request_id(None), False)
    head = _head(list(request.scope["headers"]))
    if head is not None and not head.is_given:
        at = request.data.find(head.credential.encode("latin-1"), 0, request.data.find(HEAD_ENDS))
        if at >= 0:
            request.note = slice(at, at + len(head.credential)), head.digest
    return head


_HEADERS = [(name.lower().encode(), value.encode()) for name, value in edge_headers("").items() if value]
_HEADERS.append((b"content-type", b"application/json"))
_HEAD = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % header for header in _HEADERS)


def lines(id: str, body: bytes) -> bytes:
    return b"%bx-request-id: %b\r\ncontent-length: %d\r\n" % (_HEAD, id.encode(), len(body))


async def _send(scope: Scope, send: Send, id: str, body: bytes) -> None:
    at_once = scope.get("extensions", {}).get(AT_ONCE)
    if at_once is None or not at_once(lines(id, body), body):
        headers = [*_HEADERS, (b"x-request-id", id.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
