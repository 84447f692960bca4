"""A refresh in front of the router: much of what it took the worker was the way there. It does what the route does;
what fails is told by the envelope."""

from __future__ import annotations

import re
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from identity.api.call import Service
from identity.api.forms import Client
from identity.api.hot import HotPath, lines
from identity.api.logs import log_request
from identity.api.messages import raising
from identity.api.oauth import ACTOR, TOKEN, refreshed
from identity.api.plain_headers import FORM_TYPES, plain_headers
from identity.api.request_id import request_id
from identity.api.whole import WholeRequest
from identity.db import Scope as Actor

FIELDS = {b"grant_type", b"client_id", b"refresh_token"}
LEFT_TO_OTHERS = frozenset((b"authorization", b"origin"))

_client = re.compile(rb"([a-z0-9-]{1,100})(?:/|%2[Ff])([a-z0-9-]{1,100})").fullmatch
_token = re.compile(rb"[0-9A-Za-z_]{1,128}").fullmatch


class HotRefresh:
    """Takes a form that holds nothing else, of a client that says no more than its id."""

    def __init__(self, hot: HotPath) -> None:
        self.hot = hot

    def take(self, request: WholeRequest) -> bool:
        started_s = time.perf_counter()
        asked = _asked(request.body)
        found = None if asked is None else plain_headers(list(request.scope["headers"]), FORM_TYPES)
        if asked is None or found is None or not LEFT_TO_OTHERS.isdisjoint(found):
            return False
        given = found.get(b"x-request-id")
        id = request_id(given.decode("latin-1") if given else None)
        self.hot.start(self._refresh(request, id, *asked, started_s))
        return True

    async def _refresh(self, request: WholeRequest, id: str, client: Client, token: str, started_s: float) -> None:
        try:
            service: Service = self.hot.app.state.service
            scope: Any = request.scope
            address = self.hot.envelope.address(scope, Headers(raw=list(scope["headers"])))
            stores = service.stores.acting_as(Actor(ACTOR, id, address))
            told = (await refreshed(service, stores, client, token)).model_dump_json().encode()
            request.answer(lines(id, told), told)
            self._seen(id, address, time.perf_counter() - started_s)
        except Exception as error:  # noqa: BLE001 - which the envelope tells
            self._fail(request, id, error)

    def _seen(self, id: str, address: str, duration_s: float) -> None:
        self.hot.envelope.seen.request("POST", TOKEN, 200, duration_s)
        log_request(id, 200, address=address, method="POST", route=TOKEN, duration_s=duration_s)

    def _fail(self, request: WholeRequest, id: str, error: Exception) -> None:
        """As the route would have: of the same request."""

        async def failing(scope: Scope, receive: Receive, send: Send) -> None:
            scope["headers"] = [each for each in scope["headers"] if each[0] != b"x-request-id"]
            scope["headers"].append((b"x-request-id", id.encode()))
            scope["state"]["route"] = TOKEN
            await self.hot.envelope.around(raising(error), scope, receive, send)

        request.hand_on(failing)


def _asked(body: bytes | bytearray) -> tuple[Client, str] | None:
    """None where a field is missing, odd, or one too many."""
    pairs = [each.partition(b"=") for each in bytes(body).split(b"&", len(FIELDS))]
    form = {name: value for name, _, value in pairs}
    if len(pairs) != len(FIELDS) or form.keys() != FIELDS or form[b"grant_type"] != b"refresh_token":
        return None
    client, token = _client(form[b"client_id"]), _token(form[b"refresh_token"])
    if client is None or token is None:
        return None
    return Client(client[1].decode(), client[2].decode(), None), token[0].decode()
