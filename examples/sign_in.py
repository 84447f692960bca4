"""A web application whose people sign in with Identity: a form, pages that check the access token by themselves, a
refresh once it has expired, and a way out. It imports nothing of ours: all of it is HTTP, and JWTs.

    make run                                                              in one terminal
    .venv/bin/identity access grant acme shop ana --scope 'orders:read'   in another
    .venv/bin/identity users set-password acme ana
    .venv/bin/python examples/sign_in.py                                  then http://127.0.0.1:8090
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

SCOPES = "orders:read orders:write"  # of which a token carries what its user was granted
FORM = """<form method="post" action="/sign-in"><label>Username or e-mail <input name="login" autofocus></label>
<label>Password <input name="password" type="password"></label> <button>Sign in</button></form>"""
HOME = '<a href="/orders">Orders</a><form method="post" action="/sign-out"><button>Sign out</button></form>'

Json = dict[str, Any]


class Identity:
    """What the application asks of Identity, as a public client: it has no secret."""

    def __init__(self, metadata: Json, client_id: str) -> None:
        self._metadata, self._client_id = metadata, client_id
        self._keys = jwt.PyJWKClient(metadata["jwks_uri"], timeout=5)
        self._accepted: Json = {"algorithms": ["EdDSA"], "audience": client_id, "issuer": metadata["issuer"]}
        self._accepted["options"] = {"require": ["exp", "sub", "sid"]}
        self._http = httpx2.AsyncClient(timeout=5)

    async def sign_in(self, login: str, password: str, browser: Request) -> Json | None:
        """Tokens, or None. Identity is told whose browser it is: there are limits for each address."""
        given = {"login": login, "password": password, "app_id": self._client_id.split("/")[1], "scope": SCOPES}
        address = browser.client.host if browser.client else "unknown"
        headers = {"X-Forwarded-For": address, "User-Agent": browser.headers.get("user-agent", "")}
        return await self._post(f"{self._metadata['issuer']}/sessions", json=given, headers=headers)

    async def refresh(self, token: str) -> Json | None:
        """The next tokens; None where the session has ended."""
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self._client_id}
        return await self._post(self._metadata["token_endpoint"], data=form)

    async def sign_out(self, token: str) -> None:
        await self._post(self._metadata["revocation_endpoint"], data={"token": token, "client_id": self._client_id})

    async def _post(self, url: str, **given: Any) -> Json | None:
        """None where it is refused; an outage raises, since it is no reason to sign anybody out."""
        answer = await self._http.post(url, **given)
        return None if answer.status_code in (400, 401) else answer.raise_for_status().json()

    async def read(self, token: str) -> Json | None:
        """What an access token says, by the published keys alone: whether its user has signed out meanwhile they cannot
        tell. None where it is not good, or not any more."""
        try:
            key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
            found = jwt.decode_complete(token, key, **self._accepted)
        except jwt.PyJWKClientConnectionError as error:
            raise httpx2.ConnectError(str(error)) from None
        except jwt.PyJWTError:
            return None
        return found["payload"] if found["header"].get("typ") == "at+jwt" else None


def page(text: str, status: int = 200) -> Response:
    html = f"<!doctype html><meta charset=utf-8><title>Shop</title><h1>Shop</h1>{text}"
    return HTMLResponse(html, status, {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'self'"})


def remember(answer: Response, found: Json, request: Request) -> Response:
    """In cookies that no script reads and no other site's form sends. The browser drops the access token in time."""
    for name, lives_s in (("access_token", found["expires_in"]), ("refresh_token", None)):
        answer.set_cookie(name, found[name], lives_s, httponly=True, samesite="lax", secure=request.url.is_secure)
    return answer


def to_the_form() -> Response:
    answer = RedirectResponse("/sign-in", 303)
    for name in ("access_token", "refresh_token"):
        answer.delete_cookie(name)
    return answer


def for_who_may(show: Callable[[Json], str], scope: str | None = None) -> Callable[[Request], Awaitable[Response]]:
    """A page for who is signed in and, if it says so, has this scope."""

    async def endpoint(request: Request) -> Response:
        identity: Identity = request.app.state.identity
        claims, fresh = await identity.read(request.cookies.get("access_token", "")), None
        if claims is None and "refresh_token" in request.cookies:
            fresh = await identity.refresh(request.cookies["refresh_token"])
            claims = await identity.read(fresh["access_token"]) if fresh else None
        if claims is None:
            return to_the_form()
        may = scope is None or scope in claims["scope"].split()
        answer = page(show(claims)) if may else page(f"<p>This page needs {scope}.</p>", 403)
        return remember(answer, fresh, request) if fresh else answer

    return endpoint


async def sign_in(request: Request) -> Response:
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return page("<p>Another site's form signs nobody in.</p>", 403)
    form = dict(parse_qsl((await request.body()).decode(errors="replace")))
    found = await request.app.state.identity.sign_in(form.get("login", ""), form.get("password", ""), request)
    if found is None:
        return page(f"<p>That does not open the shop, or not just now.</p>{FORM}", 401)
    return remember(RedirectResponse("/", 303), found, request)


async def sign_out(request: Request) -> Response:
    if "refresh_token" not in request.cookies:  # from another site's form they do not come: nothing ends
        return RedirectResponse("/", 303)
    await request.app.state.identity.sign_out(request.cookies["refresh_token"])
    return to_the_form()


def make_app(metadata: Json, client_id: str) -> Starlette:
    routes = [
        Route("/", for_who_may(lambda user: f"<p>{escape(user['sub'])} may {escape(user['scope'])}</p>{HOME}")),
        Route("/orders", for_who_may(lambda _: "<p>Three orders.</p>", "orders:read")),
        Route("/sign-in", lambda _: page(FORM)),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
    ]
    outage = page("<p>That does not work just now: try again shortly.</p>", 503)
    app = Starlette(routes=routes, exception_handlers={httpx2.HTTPError: lambda *_: outage})
    app.state.identity = Identity(metadata, client_id)
    return app


if __name__ == "__main__":
    url = os.environ.get("IDENTITY_URL", "http://127.0.0.1:8080")
    found = httpx2.get(f"{url}/.well-known/oauth-authorization-server/v1/tenants/acme").raise_for_status()
    uvicorn.run(make_app(found.json(), "acme/shop"), port=int(os.environ.get("PORT", "8090")), log_level="warning")
