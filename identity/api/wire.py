"""From a request to a call, and from an answer to a response."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from identity.api.call import Answer, Call, Service
from identity.api.etags import etag, matches
from identity.api.forms import basic, parse_form
from identity.api.judging import for_caller, judge_leaf, judge_parents, judge_scope, judge_tenant
from identity.api.once import once
from identity.api.reading import judge_length, parse_body, parse_query, pass_over_body, read_body, single_header
from identity.api.routes import ANY_KEY, PUBLIC, Route
from identity.auth import Principal, authenticate
from identity.db import Page, Scope
from identity.errors import IdentityError, Unauthenticated


async def answer(service: Service, route: Route, request: Request) -> Response:
    """Judges a request in the one order (framing, credential, tenant, scope, what the path names, If-Match, body),
    calls its handler, and makes the response."""
    request.state.route = route.path
    await judge_length(request, route.max_body)
    if route.scope == PUBLIC:
        raw = await read_body(request, route.max_body)
        body = () if route.takes is None else (_parse(route, request, raw),)
        return respond(route, request, await route.handler(service, request, *body))
    try:
        principal = await _caller(service, route, request)
    except IdentityError:
        await pass_over_body(request, route.max_body)
        raise
    request.state.principal = principal
    if principal.key_id is not None and route.scope != ANY_KEY:
        service.usage.count(principal.tenant_id, principal.key_id, "valid")
    return await perform(service, route, request, principal, await read_body(request, route.max_body))


async def _caller(service: Service, route: Route, request: Request) -> Principal:
    """Whoever sends a form may also say so as a client of OAuth does: by its app, and a key of it."""
    authorization = single_header(request, "authorization")
    client = basic(authorization) if route.form else None
    if client is None:
        return await authenticate(authorization, service.methods)
    principal = await authenticate(f"Bearer {client.secret}", service.methods)
    if (principal.tenant_id, principal.app_id) != (client.tenant_id, client.app_id):
        raise Unauthenticated("invalid_token", "This key is not of that client.")
    return principal


def _parse(route: Route, request: Request, raw: bytes) -> Any:
    return (parse_form if route.form else parse_body)(route, request, raw)


async def perform(service: Service, route: Route, request: Request, principal: Principal, raw: bytes) -> Response:
    """What is left to judge once it is known who calls, and the response."""
    scope = Scope(principal.actor, request.state.request_id, request.state.address)
    call: Call[Any] = Call(service, request, route, principal, service.stores.acting_as(scope), None)
    await judge_tenant(call)
    judge_scope(call)
    await judge_parents(call)
    try:
        call.where, cursor, call.limit = parse_query(route, request)
        call.after = service.cursors.decode(cursor, call.bound_to) if cursor is not None else None
        call.body = _parse(route, request, raw)
    except IdentityError:
        await judge_leaf(call)
        raise
    return await once(call, raw, _handle)


async def _handle(call: Call[Any]) -> Response:
    try:
        result = await call.route.handler(call, **call.path)
    except IdentityError as error:
        raise for_caller(error, call) from error
    return respond(call.route, call.request, result, call)


def respond(route: Route, request: Request, result: Any, call: Call[Any] | None = None) -> Response:
    """A row, a page, an Answer or a ready Response, on the wire."""
    if isinstance(result, Response):
        return result
    if not isinstance(result, Answer):
        result = Answer(route.status, result)
    headers: dict[str, str] = {}
    if result.location:
        headers["Location"] = result.location
    if result.content is None:
        return Response(status_code=result.status, headers=headers)
    if isinstance(result.content, Page) and call is not None:
        return Response(_page(call, result.content), result.status, headers, "application/json")
    content: BaseModel = result.content
    updated_at = getattr(content, "updated_at", None)
    if updated_at is not None:
        headers["ETag"] = etag(updated_at)
        if request.method in ("GET", "HEAD") and matches(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
    return Response(content.model_dump_json(), result.status, headers, "application/json")


def _page(call: Call[Any], page: Page[Any]) -> str:
    cursor = call.service.cursors.encode(page.next, call.bound_to) if page.next is not None else None
    items = ",".join(row.model_dump_json() for row in page.items)
    count = f',"count":{page.count}' if page.count is not None else ""
    return f'{{"items":[{items}],"next":{json.dumps(cursor)}{count}}}'
