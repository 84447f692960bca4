"""Around every request: its id, its address, one line of log, and a problem for whatever goes wrong."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import time
import traceback
import uuid
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from identity.api.problems import problem, raw_problem
from identity.errors import IdentityError, Invalid

SLOW_S = 0.25
CLIENT_LEFT = 499
"""Logged, never sent: there is nobody to send it to."""
QUIET = ("/v1/keys/verify", "/healthz", "/readyz")

log = logging.getLogger("identity.requests")


class Envelope:
    """The outermost application: nothing leaves it but a response. Starlette's own middlewares are left out: one would
    answer errors in plain text before we see them."""

    def __init__(self, app: Starlette, trusted_proxies: Sequence[str] = ()) -> None:
        self.app = app
        self.trusted = [ipaddress.ip_network(each) for each in trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self.app
        if scope["type"] != "http":
            await self.app.router(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id"))
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, address=self._address(scope, headers))
        started_s = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            _judge_framing(headers)
            await self.app.router(scope, receive, sending)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception as error:  # noqa: BLE001  (the last resort: a bug of ours is told to us, not to the client)
            if not status:
                await _told(error, request_id)(scope, receive, sending)
        _log(Request(scope), status, time.perf_counter() - started_s)

    def _address(self, scope: Scope, headers: Headers) -> str:
        """Who is at the other end: X-Forwarded-For is believed as far as trusted proxies wrote it."""
        hops = [hop.strip() for hop in ",".join(headers.getlist("x-forwarded-for")).split(",") if hop.strip()]
        address = str((scope.get("client") or ("",))[0])
        while hops and self._is_trusted(address):
            address = hops.pop()
        return address if _is_address(address) else ""

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self.trusted)


def _told(error: Exception, request_id: str) -> Response:
    """What went wrong, as the client may know it; what is no error of ours is a bug of ours, and goes into the log."""
    if isinstance(error, IdentityError):
        return problem(error, request_id)
    if isinstance(error, HTTPException):
        return _of_router(error, request_id)
    log.error(json.dumps({"request_id": request_id, "error": type(error).__name__, "where": _where(error)}))
    return raw_problem(500, "internal_error", "Something went wrong here, and is in our log.", request_id)


def _of_router(error: HTTPException, request_id: str) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        return raw_problem(
            405, "method_not_allowed", f"This path takes {headers['Allow']}.", request_id, headers=headers
        )
    return raw_problem(error.status_code, "route_not_found", "There is no such route.", request_id, headers=headers)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _request_id(given: str | None) -> str:
    return given if given and re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given) else uuid.uuid4().hex


def _judge_framing(headers: Headers) -> None:
    """One Host, and one length: of two, somebody on the way may have believed the other (RFC 9112, section 11.2)."""
    if len(headers.getlist("host")) != 1:
        raise Invalid("invalid_request", "There must be one Host header.")
    if len(headers.getlist("content-length")) > 1 or ("content-length" in headers and "transfer-encoding" in headers):
        raise Invalid("invalid_request", "There must be one Content-Length or Transfer-Encoding header.")


def _where(error: Exception) -> str:
    """Where it was raised, without what it says: a database's words may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(
        f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})" for frame in reversed(frames[-6:])
    )


def _log(request: Request, status: int, duration_s: float) -> None:
    """One JSON line, with the route and not the path: somebody will put a key where its id belongs. Verifications and
    probes are too many to log."""
    if status == 200 and duration_s < SLOW_S and request.url.path in QUIET:
        return
    principal = getattr(request.state, "principal", None)
    line = {
        "request_id": request.state.request_id,
        "method": request.method,
        "route": getattr(request.state, "route", None),
        "status": status,
        "duration_ms": round(duration_s * 1000, 1),
        "tenant": principal.tenant_id if principal else None,
        "principal": principal.actor if principal else None,
        "address": request.state.address,
    }
    log.info(json.dumps(line))
