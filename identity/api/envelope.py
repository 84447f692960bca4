"""Around every request: its id, its address, one line of log, and a problem for whatever goes wrong."""

from __future__ import annotations

import ipaddress
import re
import time
from asyncio import CancelledError
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity.api.logs import log_error, log_request
from identity.api.problems import edge_headers, problem, raw_problem
from identity.api.request_id import request_id
from identity.auth import Principal
from identity.errors import IdentityError, Invalid, StartError, Unavailable
from identity.verify.seen import Seen

SLOW_S = 0.25
CLIENT_LEFT = 499
"""Logged, never sent: there is nobody to send it to."""
QUIET = ("/v1/keys/verify", "/v1/keys/verify-batch", "/oauth/introspect", "/healthz", "/readyz")
NOT_LITERAL = re.compile(rb"%(?:2f|0a)", re.IGNORECASE)
NO_HOST = re.compile(r"[\s,/?#@\\]")


class Envelope:
    """The outermost application: nothing leaves it but a response. Starlette's own middlewares are left out: one would
    answer errors in plain text before we see them."""

    def __init__(self, app: Starlette, trusted_proxies: Sequence[str] = (), seen: Seen | None = None) -> None:
        self.app = app
        self.seen = seen or Seen()
        self.trusted = [ipaddress.ip_network(each) for each in trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self.app
        if scope["type"] != "http":
            await self._live(scope, receive, send)
        else:
            await self.around(self.app.router, scope, receive, send)

    async def around(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers by the application; by a problem where it fails."""
        headers = Headers(scope=scope)
        id = request_id(headers.get("x-request-id"))
        state = scope.setdefault("state", {})
        state.update(request_id=id, address=self.address(scope, headers))
        started_s = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(edge_headers(id) | _to_pages(state))
            await send(message)

        try:
            _judge_target(scope)
            _judge_framing(headers)
            await app(scope, receive, sending)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except (Exception, CancelledError) as error:
            answer = _told(error, id)
            if not status:
                await answer(scope, receive, sending)
            if isinstance(error, CancelledError):
                raise
        finally:
            self._tell(scope, state.get("refused", status), time.perf_counter() - started_s)

    def _tell(self, scope: Scope, status: int, duration_s: float) -> None:
        """Counts it and logs it. A method is the client's to make up where there is no such route."""
        route = scope["state"].get("route")
        self.seen.request(scope["method"] if route else "-", route or "-", status, duration_s)
        _log(scope, status, duration_s)

    def log_slow(self, scope: Scope, id: str, principal: Principal, duration_s: float) -> None:
        """One that was answered in front of this."""
        address = self.address(scope, Headers(scope=scope))
        scope.setdefault("state", {}).update(request_id=id, address=address, principal=principal, route=scope["path"])
        _log(scope, 200, duration_s)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """From the start to the end. Why it fails is told here: uvicorn would print the error's words."""

        async def sending(message: Message) -> None:
            await send({"type": message["type"]})

        try:
            await self.app.router(scope, receive, sending)
        except Exception as error:
            log_error(error, detail=str(error) if isinstance(error, StartError) else None)
            raise

    def address(self, scope: Scope, headers: Headers) -> str:
        """Who is at the other end: X-Forwarded-For is believed as far as trusted proxies wrote it."""
        hops = [hop.strip() for hop in ",".join(headers.getlist("x-forwarded-for")).split(",") if hop.strip()]
        address = _parsed(str((scope.get("client") or ("",))[0]))
        while hops and address is not None and any(address in network for network in self.trusted):
            address = _parsed(hops.pop())
        return str(address) if address else ""


def _to_pages(state: dict[str, Any]) -> dict[str, str]:
    """What lets a web page of that origin read the answer."""
    origin = state.get("allowed_origin")
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if origin else {}


def _told(error: BaseException, request_id: str) -> Response:
    """What went wrong, as the client may know it; what is no error of ours is a bug of ours, and goes into the log."""
    if isinstance(error, CancelledError):
        return problem(Unavailable("The service is stopping; try again shortly."), request_id)
    if isinstance(error, IdentityError):
        return problem(error, request_id)
    if isinstance(error, HTTPException):
        return _of_router(error, request_id)
    log_error(error, id=request_id)
    return raw_problem(500, "internal_error", "Something went wrong here, and is in our log.", request_id)


def _of_router(error: HTTPException, request_id: str) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        return raw_problem(
            405, "method_not_allowed", f"This path takes {headers['Allow']}.", request_id, headers=headers
        )
    return raw_problem(error.status_code, "route_not_found", "There is no such route.", request_id, headers=headers)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address on a socket of both families is still that IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if address.version == 6 else None) or address


def _judge_target(scope: Scope) -> None:
    """A path means what it says: the router would take an encoded slash for a slash, and pass over a last line feed."""
    if NOT_LITERAL.search(scope.get("raw_path") or b""):
        raise HTTPException(404)


def _judge_framing(headers: Headers) -> None:
    """One Host, and one length: of two, somebody on the way may have believed the other (RFC 9112, section 11.2)."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or NO_HOST.search(hosts[0]):
        raise Invalid("invalid_request", "There must be one Host header, of one host.")
    if len(headers.getlist("content-length")) > 1 or ("content-length" in headers and "transfer-encoding" in headers):
        raise Invalid("invalid_request", "There must be one Content-Length or Transfer-Encoding header.")


def _log(scope: Scope, status: int, duration_s: float) -> None:
    """Verifications, which an introspection is too, and probes are too many to log."""
    if status == 200 and duration_s < SLOW_S and scope["path"] in QUIET:
        return
    state = scope["state"]
    principal = state.get("principal")
    log_request(
        state["request_id"],
        status,
        address=state["address"],
        method=scope["method"],
        route=state.get("route"),
        duration_s=duration_s,
        tenant=principal.tenant_id if principal else None,
        principal=principal.actor if principal else None,
    )
