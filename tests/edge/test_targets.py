"""Methods and targets: a path means what it says, and a header does not change what is asked."""

from __future__ import annotations

import pytest

from tests.conftest import Organisation
from tests.edge.process import Service
from tests.edge.wire import Client, connected, get, request

MADE_UP = ["TRACE", "FOO", "get", "Get", "M-SEARCH", "PROPFIND", "QUERY", "X_1.2~3", "CONNECT", "A" * 32]


@pytest.mark.parametrize("path", ["/healthz", "/v1/tenants/platform/apps/identity", "http://other.example/healthz"])
@pytest.mark.parametrize("method", MADE_UP)
async def test_a_method_that_no_route_has_is_405_with_those_there_are(method: str, path: str, wire: Client) -> None:
    for _ in range(2):
        await wire.send(request(line=f"{method} {path} HTTP/1.1"))
        answer = await wire.answer()
        assert answer.told == (405, "method_not_allowed")
        allowed = {each.strip() for each in (answer.header("Allow") or "").split(",")}
        assert allowed == ({"GET", "HEAD"} if "healthz" in path else {"GET", "HEAD", "PUT", "PATCH", "DELETE"})


async def test_a_made_up_method_is_logged_as_it_was(wire: Client, service: Service) -> None:
    await wire.send(request("X-Request-Id: made-up", line="SPACEJUMP /healthz HTTP/1.1"))
    await wire.answer()
    (line,) = [line for line in service.output.splitlines() if '"made-up"' in line]
    assert '"method": "SPACEJUMP"' in line


async def test_the_body_of_a_made_up_method_is_no_request(wire: Client) -> None:
    body = get("/readyz")
    await wire.send(request(f"Content-Length: {len(body)}", line="FOO /healthz HTTP/1.1", body=body) + get("/nowhere"))
    assert [(await wire.answer()).status for _ in "12"] == [405, 404]
    assert await wire.stays_open(0.2)


@pytest.mark.parametrize(
    "line", ["A" * 5000 + " /healthz HTTP/1.1", "G\xcbT /healthz HTTP/1.1", "G,T /healthz HTTP/1.1"]
)
async def test_what_cannot_be_a_method_is_400(line: str, wire: Client) -> None:
    await wire.send(request(line=line))
    assert (await wire.answer()).told == (400, "invalid_http")
    assert await wire.is_closed()


OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_header_overrides_the_method(method: str, wire: Client, org: Organisation) -> None:
    headers = [f"{name}: DELETE" for name in OVERRIDES]
    target = f"{org.path}/users/ana?_method=DELETE" if method == "POST" else f"{org.path}/users/ana"
    key = f"Authorization: Bearer {org.admin_key.key}"
    await wire.send(request(key, *headers, line=f"{method} {target} HTTP/1.1"))
    assert (await wire.answer()).status == (200 if method == "GET" else 405)
    await wire.send(get(f"{org.path}/users/ana", key))
    assert (await wire.answer()).status == 200


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Path"])
async def test_no_header_overrides_the_path(name: str, wire: Client) -> None:
    await wire.send(get("/nowhere", f"{name}: /healthz"))
    assert (await wire.answer()).told == (404, "route_not_found")


@pytest.mark.parametrize(
    "target", ["http://other.example/healthz", "https://user:word@other.example:1/healthz", "HTTP://x/healthz"]
)
async def test_an_absolute_target_is_its_path(target: str, wire: Client) -> None:
    await wire.send(get(target))
    assert (await wire.answer()).content == {"status": "ok"}


@pytest.mark.parametrize(
    "target",
    [
        "http://other.example",
        "other.example:443",
        "healthz",
        "%2Fhealthz",
        "/healthz#x",
        "/healthz#",
        "/h\xe9",
        "/x?\xff",
    ],
)
async def test_what_is_no_target_is_400(target: str, wire: Client) -> None:
    await wire.send(get(target))
    assert (await wire.answer()).told == (400, "invalid_http")
    assert await wire.is_closed()


async def test_this_is_no_proxy(wire: Client) -> None:
    await wire.send(request(line="CONNECT other.example:443 HTTP/1.1"))
    assert (await wire.answer()).told == (400, "invalid_http")
    assert await wire.is_closed()


NOT_LITERAL = [
    "//v1/tenants",
    "/v1//tenants",
    "/v1/tenants//",
    "/v1/tenants/{id}//apps",
    "/v1/tenants/./{id}",
    "/v1/tenants/x/../{id}",
    "/v1/tenants/%2e%2e/{id}",
    "/v1/tenants/{id}/users/ana/../../apps",
    "/x/../v1/tenants/{id}",
    "/v1%2Ftenants",
    "/v1%2ftenants/{id}",
    "/v1/tenants/{id}%2Fapps",
    "/v1/tenants/{id}%2fapps/shop",
    "/v1/tenants/x%2F..%2F{id}",
    "/v1/tenants/{id}%0A",
    "/v1/tenants/{id}/apps%0a",
    "/v1/tenants/{id}/apps%0D%0A",
    "/v1/tenants/{id}/apps%00",
    "/v1/tenants/{id}%00",
    "/v1/tenants/{id}%20",
    "/v1/tenants/{id}%252Fapps",
    "/v1/tenants/{id};x=y",
    "/v1/tenants/{id}/apps;x",
    "/v1\\tenants",
    "/v1/tenants/{id}%5Capps",
    "/v1/tenants/{id}%ff",
    "/v1/tenants/{id}%ed%a0%80",
    "/v1/tenants/{id}%",
    "/v1/tenants/{id}%zz",
    "/V1/tenants",
    "*",
    "/v1/tenants/{id}%C0%AFapps",
]


@pytest.mark.parametrize("path", NOT_LITERAL)
async def test_a_path_reaches_what_it_says_and_nothing_else(path: str, wire: Client, org: Organisation) -> None:
    await wire.send(get(path.format(id=org.id), f"Authorization: Bearer {org.admin_key.key}"))
    answer = await wire.answer()
    assert answer.status in (400, 404)
    assert org.id not in answer.content["detail"]


@pytest.mark.parametrize(
    "query", ["%00", "?", "%ff=1", "domain=%ff", "domain=%ed%a0%80", "domain=%", "%2F&%2F", "&&&="]
)
async def test_a_query_of_any_kind_is_no_error_of_ours(query: str, wire: Client, platform_key: str) -> None:
    await wire.send(get(f"/v1/tenants?{query}", f"Authorization: Bearer {platform_key}"))
    assert (await wire.answer()).status in (200, 400)


async def test_gzip_is_415(wire: Client, platform_key: str, service: Service) -> None:
    for encoding in ("gzip", "br", "identity, gzip", "x"):
        async with connected(service.port) as client:
            headers = (f"Authorization: Bearer {platform_key}", "Content-Type: application/json", "Content-Length: 2")
            line = "POST /v1/keys/verify HTTP/1.1"
            await client.send(request(*headers, f"Content-Encoding: {encoding}", line=line, body="{}"))
            assert (await client.answer()).told == (415, "unsupported_media_type")
            await client.send(request(*headers, "Content-Encoding: identity", line=line, body="{}"))
            assert (await client.answer()).told == (400, "invalid_request")
