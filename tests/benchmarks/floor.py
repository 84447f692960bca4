"""What ours is compared with, on the same interpreter, loop and parser. F2 is a bare Starlette route that answers a
constant; F3 asks the database once a request, over psycopg's pool; `update` changes a row so."""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from urllib.parse import parse_qsl

import uvicorn
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from identity.cli.listening import HTTP
from identity.key_text import parse

DATABASE_URL = "BENCH_DATABASE_URL"
PATH = "/v1/keys/verify"
POOL = 8
"""Of 2, 4, 16 and 64 none was faster."""
CONSTANT = {
    "valid": True,
    "code": "valid",
    "tenant_id": "t-1",
    "app_id": "shop",
    "branch_id": "mad",
    "user_id": "user-7",
    "key_id": "0123456789abcdefghijkl",
    "name": "key 01234567",
    "type": "secret",
    "environment": "live",
    "scopes": ["orders:read", "orders:write"],
    "metadata": {},
    "expires_at": None,
}
SELECT = """
SELECT k.secret_hash, k.tenant_id, k.app_id, k.branch_id, k.user_id, k.name, k.type, k.environment, k.scopes, k.metadata
  FROM identity.app_keys AS k
  JOIN identity.tenants AS t ON t.id = k.tenant_id
  JOIN identity.apps AS a ON a.tenant_id = k.tenant_id AND a.id = k.app_id
 WHERE t.ref = left(%(id)s, 6) AND k.id = %(id)s AND t.status = 'active' AND a.status = 'active'
   AND k.revoked_at IS NULL AND k.disabled_at IS NULL AND coalesce(k.expires_at > clock_timestamp(), true)
"""
UPDATE = """
UPDATE identity.refresh_tokens
   SET expires_at = clock_timestamp() + interval '7 days'
 WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s AND consumed_at IS NULL
RETURNING session_id, extract(epoch FROM expires_at - clock_timestamp())::int
"""


async def constant(request: Request) -> Response:
    """Does not even read the question."""
    return JSONResponse(CONSTANT)


async def constant_to_what_is_read(request: Request) -> Response:
    """As any route must that means its answer."""
    await request.json()
    return JSONResponse(CONSTANT)


async def select(request: Request) -> Response:
    key = parse((await request.json())["key"])
    assert key is not None
    async with request.app.state.pool.connection() as connection:
        row = await (await connection.execute(SELECT, {"id": key.id})).fetchone()
    if row is None or not hmac.compare_digest(row[0], key.secret_hash):
        return JSONResponse({"valid": False, "code": "not_found"})
    names = ("tenant_id", "app_id", "branch_id", "user_id", "name", "type", "environment", "scopes", "metadata")
    found = dict(zip(names, row[1:], strict=True))
    return JSONResponse({"valid": True, "code": "valid", "key_id": key.id, "expires_at": None, **found})


async def update(request: Request) -> Response:
    """What a refresh would be, were it but one statement."""
    form = dict(parse_qsl((await request.body()).decode()))
    given = {"tenant_id": form["client_id"].partition("/")[0], "hash": sha256(form["refresh_token"].encode()).digest()}
    async with request.app.state.pool.connection() as connection:
        row = await (await connection.execute(UPDATE, given)).fetchone()
    assert row is not None
    return JSONResponse({"access_token": row[0], "expires_in": row[1]})


async def ready(request: Request) -> Response:
    return Response()


@asynccontextmanager
async def pool(app: Starlette) -> AsyncIterator[None]:
    async with AsyncConnectionPool(
        os.environ[DATABASE_URL], min_size=POOL, max_size=POOL, kwargs={"autocommit": True}
    ) as found:
        app.state.pool = found
        yield


def floor(name: str) -> Starlette:
    routes = {"f2": constant, "f2-reads": constant_to_what_is_read, "f3": select, "update": update}
    path = "/oauth/token" if name == "update" else PATH
    return Starlette(
        routes=[Route(path, routes[name], methods=["POST"]), Route("/readyz", ready)],
        lifespan=pool if name in ("f3", "update") else None,
    )


if __name__ == "__main__":
    which, _, port = sys.argv[1:]
    uvicorn.run(floor(which), port=int(port), http="httptools", **HTTP)
