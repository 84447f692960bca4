"""/openapi.json and /docs: this API for programs, and for people."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route as StarletteRoute

from identity.api import openapi
from identity.api.call import Service
from identity.api.openapi.codes import CODES
from identity.api.openapi.operations import scope_of
from identity.api.routes import PUBLIC, Route, Table

table = Table("service")

HERE = Path(__file__).parent
FILES = {
    "swagger-ui.css": (HERE / "swagger_ui", "text/css"),
    "swagger-ui-bundle.js": (HERE / "swagger_ui", "text/javascript"),
    "docs.css": (HERE / "page", "text/css"),
    "docs.js": (HERE / "page", "text/javascript"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Our own files, and no request but to us: somebody types a key into this page. (Its icons are data: URLs.)"""


@table.get("/openapi.json", scope=PUBLIC, answers=None)
async def openapi_json(service: Service, request: Request) -> Response:
    """Describe this API to programs.

    As OpenAPI 3.1.
    """
    return Response(
        _document(request.app.state.routes, service.settings.base_url or "/"), media_type="application/json"
    )


@table.get("/docs", scope=PUBLIC, answers=None, media="text/html")
async def docs(service: Service, request: Request) -> Response:
    """Describe this API to people.

    As a page on which each operation can be tried out, with a key that the page forgets when it is closed.
    """
    return HTMLResponse(_page(request.app.state.routes), headers={"Content-Security-Policy": POLICY})


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FILES:
        raise HTTPException(404)
    content, media = _read(name)
    return Response(content, headers={"Cache-Control": "no-store"}, media_type=media)


FILES_ROUTE = StarletteRoute("/docs/{name}", _file)
"""What the page loads. No operation, so not in the table."""


@cache
def _read(name: str) -> tuple[bytes, str]:
    directory, media = FILES[name]
    return (directory / name).read_bytes(), media


@cache
def _document(routes: tuple[Route, ...], base_url: str) -> str:
    """Made once: it is public, and takes long enough to keep a worker from verifying."""
    return openapi.as_json(routes, base_url)


@cache
def _page(routes: tuple[Route, ...]) -> str:
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Identity</title>"
        '<meta name=viewport content="width=device-width"><link rel=icon href="data:,">'
        "<link rel=stylesheet href=docs/swagger-ui.css><link rel=stylesheet href=docs/docs.css></head><body><main>"
        f"<div id=operations><noscript>{_operations(routes)}</noscript></div>"
        f"{_codes()}</main>"
        "<script src=docs/swagger-ui-bundle.js></script><script src=docs/docs.js></script></body></html>"
    )


def _operations(routes: Sequence[Route]) -> str:
    """For those who run no script."""
    rows = "".join(
        f"<tr><td><code>{route.method}</code><td><code>{html.escape(route.path)}</code>"
        f"<td>{html.escape(route.summary)}<td>{_prose(scope_of(route))}"
        for route in routes
    )
    return f"<h1>Identity</h1><p>For programs: <a href=openapi.json>openapi.json</a>.<table>{rows}</table>"


def _codes() -> str:
    rows = "".join(
        f"<tr id={code}><td><code>{code}</code><td>{status}<td>{_prose(meaning)}"
        for code, (status, meaning) in CODES.items()
    )
    return (
        "<section id=codes><h2>Codes</h2><p>What the <code>code</code> of an error means, and the status with which it "
        f"comes.<table><tbody>{rows}</tbody></table></section>"
    )


def _prose(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))
