"""The HTTP service: a Starlette application made from the route table."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from hmac import digest

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from identity.api import (
    acceptance,
    app_keys,
    apps,
    branches,
    challenges,
    docs,
    factors,
    health,
    introspection,
    invitations,
    key_leaks,
    key_usage,
    keys,
    logs,
    metrics,
    oauth,
    passwords,
    sessions,
    sign_in,
    tenants,
    user_apps,
    users,
    well_known,
    wire,
)
from identity.api.call import Service
from identity.api.cursors import Cursors
from identity.api.envelope import Envelope
from identity.api.forms import preflight
from identity.api.hot import HotPath
from identity.api.hot_introspection import HotIntrospection
from identity.api.hot_refresh import HotRefresh
from identity.api.routes import Route
from identity.api.sweeping import sweeping
from identity.api.whole import WholeProtocol
from identity.auth import by_access_token, by_app_key
from identity.embedded import signal_on_parents_death
from identity.hashing import open_hasher
from identity.migrate import must_not_be_behind
from identity.settings import Settings
from identity.stores import open_stores
from identity.tokens import KeyRing, Tokens
from identity.verify import Seen, open_usage, open_verifier

ROUTES: list[Route] = [
    route
    for each in (
        tenants.table,
        apps.table,
        branches.table,
        users.table,
        user_apps.table,
        passwords.table,
        sign_in.table,
        sessions.table,
        challenges.table,
        factors.table,
        acceptance.table,
        invitations.table,
        app_keys.table,
        key_usage.table,
        keys.table,
        key_leaks.table,
        oauth.table,
        introspection.table,
        well_known.table,
        health.table,
        metrics.table,
        docs.table,
    )
    for route in each.routes
]


def make_app(settings: Settings) -> ASGIApp:
    """The application; its pools open when it starts."""
    seen = Seen()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            open_service(settings, seen) as service,
            sweeping(service.stores, purge_after_s=settings.purge_after_s),
            metrics.sharing(service),
        ):
            app.state.service = service
            gc.freeze()  # what is there now stays: nobody need look through it again
            gc.set_threshold(10_000, 10, 100)  # nor, for every few thousand requests, through all that is remembered
            yield

    app = Starlette(
        routes=[*(_endpoint(path) for path in dict.fromkeys(route.path for route in ROUTES)), docs.FILES_ROUTE],
        lifespan=lifespan,
    )
    app.state.routes = tuple(ROUTES)
    app.router.redirect_slashes = False
    hot = HotPath(Envelope(app, settings.trusted_proxies, seen))
    hot.others[introspection.PATH] = HotIntrospection(hot).take
    hot.others[oauth.TOKEN] = HotRefresh(hot).take
    return hot


@asynccontextmanager
async def open_service(settings: Settings, seen: Seen | None = None) -> AsyncIterator[Service]:
    """What every call needs, with its pools open."""
    seen = seen or Seen()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings))
        await must_not_be_behind(stores.session)  # before the lanes prepare statements over what may not be there
        verifier = await stack.enter_async_context(open_verifier(settings, seen))
        usage = await stack.enter_async_context(open_usage(settings))
        secret_keys = settings.secret_keys
        cursors = Cursors([digest(key, b"identity cursors", sha256) for key in secret_keys])
        tokens = Tokens(KeyRing(stores.signing_keys, secret_keys), settings.base)
        methods = (by_app_key(verifier, usage), by_access_token(tokens, verifier, stores.sessions))
        leaks = key_leaks.new_limit()
        room = {"threads": settings.password_threads, "queue": settings.password_queue}
        hasher = await stack.enter_async_context(open_hasher(**room))
        yield Service(settings, stores, verifier, usage, methods, cursors, secret_keys, leaks, seen, tokens, hasher)


def asgi() -> ASGIApp:
    """What uvicorn imports in each worker."""
    if (parent := multiprocessing.parent_process()) is not None and parent.pid is not None:
        signal_on_parents_death(signal.SIGTERM, parent.pid)
    logs.configure(sys.stdout)
    settings = Settings()
    WholeProtocol.receive_timeout_s = settings.receive_timeout_s
    return make_app(settings)


def _endpoint(path: str) -> StarletteRoute:
    """All methods of one path in one, so that a 405 names them all."""
    routes = {route.method: route for route in ROUTES if route.path == path}

    async def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return preflight(request, routes)
        route = routes.get(request.method) or routes["GET"]
        return await wire.answer(request.app.state.service, route, request)

    asked_before = ["OPTIONS"] if any(route.tells_oauth for route in routes.values()) else []
    return StarletteRoute(path, endpoint, methods=[*routes, *asked_before])
