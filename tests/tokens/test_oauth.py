"""OAuth's endpoints, by their rules: forms in, OAuth's errors out, and never more than the key may."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from identity.app_keys import AppKeyChanges, IssuedKey, NewAppKey
from identity.apps import IDENTITY, AppChanges
from identity.key_limits import AllowedRoute
from identity.settings import Settings
from tests.api.samples import NOBODYS_KEY
from tests.conftest import Api, Organisation
from tests.tokens.conftest import key_token, tokens_of

GRANT: dict[str, Any] = {"grant_type": "client_credentials"}


async def issue(org: Organisation, app_id: str = "shop", **given: Any) -> IssuedKey:
    return await org.stores.app_keys.issue(org.id, app_id, NewAppKey(name="robot", **given))


async def ask(org: Organisation, path: str = "/oauth/token", headers: Any = None, **form: Any) -> httpx2.Response:
    return await org.client.post(path, data=form, headers=headers)


async def for_key(org: Organisation, key: IssuedKey, **more: Any) -> httpx2.Response:
    return await ask(org, **GRANT, client_id=f"{key.tenant_id}/{key.app_id}", client_secret=key.key, **more)


async def introspect(org: Organisation, text: str, caller: Api | None = None) -> Any:
    answer = await (caller or org.admin)("POST", "/oauth/introspect", data={"token": text})
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json().keys() == {"error", "error_description"}
    return answer.status_code, answer.json()["error"]


def basic(id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{id}:{secret}".encode()).decode()}


async def test_a_token_holds_what_was_asked_and_no_longer_than_its_key(org: Organisation, settings: Settings) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=100)
    key = await issue(org, scopes=("orders:*", "stock:read"), branch_id="mad", expires_at=expires_at)
    answer = await for_key(org, key, scope="orders:read orders:*")
    assert answer.headers["Cache-Control"] == "no-store"
    got = answer.json()
    assert (got["token_type"], got["scope"]) == ("Bearer", "orders:read orders:*")
    assert 90 < got["expires_in"] <= 100
    claims = await tokens_of(org.stores, settings).read(got["access_token"], app_id="shop")
    assert claims is not None
    assert (claims.sub, claims.branch_id, claims.environment) == (f"key:{key.id}", "mad", "live")
    assert (await for_key(org, key)).json()["scope"] == "orders:* stock:read"
    changes = AppChanges.model_validate({"settings": {"access_token_s": 30}})
    await org.stores.apps.update(org.id, "shop", changes)
    assert (await for_key(org, key)).json()["expires_in"] == 30


async def test_a_client_says_who_it_is_in_one_way(org: Organisation) -> None:
    key = await issue(org)
    id = f"{org.id}/shop"
    by_header: dict[str, Any] = {"headers": basic(id, key.key)}
    assert (await ask(org, **GRANT, **by_header)).status_code == 200
    assert (await ask(org, **GRANT, client_id=id, **by_header)).status_code == 200
    assert (await ask(org, **GRANT, headers=basic(id.replace("/", "%2F"), key.key))).status_code == 200
    twice: list[dict[str, Any]] = [{"client_secret": key.key}, {"client_id": f"{org.id}/identity"}]
    for form in twice:
        assert told(await ask(org, **GRANT, **form, **by_header)) == (400, "invalid_request")


async def test_who_is_no_client_is_told_nothing_else(org: Organisation, other_org: Organisation) -> None:
    key, dead, theirs = await issue(org), await issue(org), await issue(other_org)
    await org.stores.app_keys.revoke(org.id, "shop", dead.id)
    id = f"{org.id}/shop"
    wrong: list[dict[str, Any]] = [
        {},
        {"client_id": id},
        {"client_id": id, "client_secret": NOBODYS_KEY},
        {"client_id": id, "client_secret": dead.key},
        {"client_id": id, "client_secret": theirs.key},
        {"client_id": f"{org.id}/identity", "client_secret": key.key},
        {"client_id": org.id, "client_secret": key.key},
        {"headers": {"Authorization": f"Bearer {key.key}"}},
        {"headers": {"Authorization": "Basic !"}},
        {"headers": {"Authorization": "Basic " + b64encode(b"\xff").decode()}},
        {"headers": basic(id, "")},
    ]
    public = ({"client_id": id}, {"headers": basic(id, "")})
    for more in wrong:
        for path in ("/oauth/token", "/oauth/revoke"):
            if path == "/oauth/revoke" and more in public:
                continue  # it may end its own tokens
            answer = await ask(org, path, **GRANT, token="x", **more)
            assert told(answer) == (401, "invalid_client"), more
            assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_forms_are_read_by_the_rules(org: Organisation) -> None:
    key = await issue(org)
    good = f"grant_type=client_credentials&client_id={org.id}%2Fshop&client_secret={key.key}"
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}

    async def post(body: str | bytes, headers: dict[str, str] = form) -> httpx2.Response:
        return await org.client.post("/oauth/token", content=body, headers=headers)

    for body in (good, good + "&unknown=1&resource=x", good + "&scope="):
        assert (await post(body)).status_code == 200
    for broken in (
        *(good + "&scope=a&scope=b", good + "&grant_type=client_credentials", good + "&a=%00", good + "&a=%FF"),
        *(b"\xff", "", "grant_type=", "{}", "&" * 100, good + "".join(f"&a{n}=1" for n in range(60))),
    ):
        assert told(await post(broken)) == (400, "invalid_request"), broken
    assert told(await post(good, {"Content-Type": "application/json"})) == (400, "invalid_request")
    password = await ask(org, grant_type="password", client_id=f"{org.id}/shop", username="ana", password="x")
    assert told(password) == (400, "unsupported_grant_type")
    assert (await post("a=" + "x" * 70_000)).status_code == 413


async def test_a_scope_must_be_the_keys_own(org: Organisation) -> None:
    key = await issue(org, scopes=("orders:read",))
    for scope in ("orders:*", "*", "orders:write", "orders:read stock:read", "a  b", " ", 'a"b', "x" * 129):
        assert told(await for_key(org, key, scope=scope)) == (400, "invalid_scope"), scope
    admin = await issue(org, IDENTITY, scopes=("users:write", "keys:verify"))
    granted = await for_key(org, admin, scope="users:read keys:verify/shop")
    assert granted.json()["scope"] == "users:read keys:verify/shop"
    assert told(await for_key(org, admin, scope="users:*")) == (400, "invalid_scope")


@pytest.mark.parametrize(
    "given",
    [
        {"type": "public"},
        {"type": "restricted", "scopes": ("orders:read",)},
        {"credits": {"remaining": 5}},
        {"rate_limits": ({"name": "minute", "limit": 60, "window_s": 60},)},
        {"allowed_ips": ("192.0.2.0/24",)},
        {"allowed_routes": ({"path": "/orders/*"},)},
    ],
    ids=lambda given: next(iter(given)) + str(given.get("type", "")),
)
async def test_a_key_that_a_token_could_not_stand_for_gets_none(given: Any, org: Organisation) -> None:
    assert told(await for_key(org, await issue(org, **given))) == (400, "unauthorized_client")


async def test_introspection_tells_of_keys_and_tokens_what_the_database_says(
    org: Organisation, settings: Settings
) -> None:
    key_id, token = await key_token(org, settings, "orders:*", "stock:read", app_id="shop")
    found = await introspect(org, token)
    assert (found["active"], found["scope"], found["sub"]) == (True, "orders:* stock:read", f"key:{key_id}")
    assert (found["iss"], found["client_id"]) == (f"{settings.base}/v1/tenants/{org.id}", f"{org.id}/shop")
    assert await introspect(org, org.key.key) == {
        "active": True,
        "scope": "orders:*",
        "client_id": f"{org.id}/shop",
        "aud": f"{org.id}/shop",
        "token_type": "Bearer",
        "sub": f"key:{org.key.id}",
        "tenant_id": org.id,
        "app_id": "shop",
        "branch_id": "mad",
        "user_id": "ana",
        "key_id": org.key.id,
        "environment": "live",
    }
    await org.stores.app_keys.update(org.id, "shop", key_id, AppKeyChanges(scopes=("stock:read",)))
    assert (await introspect(org, token))["scope"] == "stock:read"
    routes = (AllowedRoute(path="/orders/*"),)
    await org.stores.app_keys.update(org.id, "shop", key_id, AppKeyChanges(allowed_routes=routes))
    assert await introspect(org, token) == {"active": False}, "verify is for keys with rules"
    await org.stores.app_keys.update(org.id, "shop", org.key.id, AppKeyChanges(allowed_ips=("192.0.2.0/24",)))
    assert await introspect(org, org.key.key) == {"active": False}


async def test_what_is_unknown_dead_or_anothers_is_inactive_and_no_more(
    org: Organisation, other_org: Organisation, settings: Settings
) -> None:
    key_id, token = await key_token(org, settings, "orders:read", app_id="shop")
    for text in ("x", NOBODYS_KEY, other_org.key.key, token[:-2] + "AA", "x" * 60_000):
        assert await introspect(org, text) == {"active": False}
    for caller in (other_org.admin, await org.holding("keys:verify/till")):
        for text in (token, org.key.key):
            assert await introspect(org, text, caller) == {"active": False}
    assert (await introspect(org, token, await org.holding("keys:verify/shop")))["active"] is True
    await org.stores.app_keys.revoke(org.id, "shop", key_id)
    await org.stores.apps.disable(org.id, "shop")
    for text in (token, org.key.key):
        assert await introspect(org, text) == {"active": False}


async def test_a_caller_may_name_itself_as_a_client_does(org: Organisation, other_org: Organisation) -> None:
    secret = org.admin_key.key

    async def as_client(id: str, secret: str) -> int:
        return (await ask(org, "/oauth/introspect", token="x", headers=basic(id, secret))).status_code

    assert await as_client(f"{org.id}/identity", secret) == 200
    assert await as_client(f"{org.id}/shop", secret) == 401
    assert await as_client(f"{other_org.id}/identity", secret) == 401
    assert await as_client(f"{org.id}/identity", NOBODYS_KEY) == 401
    assert await as_client(f"{org.id}/shop", org.key.key) == 403


async def test_what_came_from_a_key_ends_with_the_key(org: Organisation, settings: Settings) -> None:
    _, token = await key_token(org, settings, app_id="shop")
    client = {"client_id": f"{org.id}/shop"}
    for text in (token, org.key.key):
        assert told(await ask(org, "/oauth/revoke", token=text, **client)) == (400, "unsupported_token_type")
    for gone in ("x", token[:-2] + "AA"):
        answer = await ask(org, "/oauth/revoke", token=gone, **client)
        assert (answer.status_code, answer.json()) == (200, {})
    assert told(await ask(org, "/oauth/revoke", **client)) == (400, "invalid_request")


async def test_only_the_pages_of_the_app_read_what_is_answered(org: Organisation, client: httpx2.AsyncClient) -> None:
    mine, other = {"Origin": "https://shop.example.com"}, {"Origin": "https://evil.example.com"}
    changes = AppChanges.model_validate({"settings": {"allowed_origins": [mine["Origin"]]}})
    await org.stores.apps.update(org.id, "shop", changes)

    async def read_by(headers: dict[str, str], app_id: str = "shop", path: str = "/oauth/token") -> str | None:
        answer = await ask(org, path, **GRANT, token="x", client_id=f"{org.id}/{app_id}", headers=headers)
        assert ("Origin" in answer.headers.get("Vary", "")) == ("Access-Control-Allow-Origin" in answer.headers)
        return answer.headers.get("Access-Control-Allow-Origin")

    for path in ("/oauth/token", "/oauth/revoke"):
        assert await read_by(mine, path=path) == mine["Origin"]
        assert await read_by(other, path=path) is None
        assert await read_by(mine, "identity", path) is None
        assert await read_by(mine, "nowhere", path) is None
        asked = await client.request("OPTIONS", path, headers={**mine, "Access-Control-Request-Method": "POST"})
        assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["Access-Control-Allow-Methods"] == "POST"
        assert asked.headers["Access-Control-Allow-Origin"] == mine["Origin"]
    for path in ("jwks.json", f"oauth-authorization-server/v1/tenants/{org.id}"):
        assert (await client.get(f"/.well-known/{path}", headers=other)).headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    "origin", ["*", "null", "shop.example.com", "https://shop.example.com/", "https://a b", "HTTPS://x", "https://u@x"]
)
async def test_an_origin_is_a_scheme_and_a_host(origin: str, org: Organisation) -> None:
    answer = await org.admin.patch(f"{org.path}/apps/shop", {"settings": {"allowed_origins": [origin]}})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_metadata_tells_nobody_which_tenants_there_are(org: Organisation, client: httpx2.AsyncClient) -> None:
    path = "/.well-known/oauth-authorization-server/v1/tenants/"
    real, none = (await client.get(path + org.id)).json(), (await client.get(path + "no-such")).json()
    assert none == {**real, "issuer": none["issuer"]}
    assert (await client.get(path + "NO")).json()["code"] == "tenant_not_found"
