"""Somebody who has signed in: their tokens at OAuth's endpoints and at our own API, and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from oauthlib.oauth2 import LegacyApplicationClient

from identity.settings import Settings
from tests.conftest import PASSWORD, Api, Organisation
from tests.tokens.conftest import key_token
from tests.tokens.test_oauth import ask, introspect, told

Json = dict[str, Any]


async def sign_in(org: Organisation, app_id: str = "identity", *scopes: str) -> Json:
    await org.admin.put(f"{org.path}/apps/{app_id}/users/ana", {"scopes": list(scopes)})
    body = {"login": "ana", "password": PASSWORD, "app_id": app_id}
    answer = await org.client.post(f"{org.path}/sessions", json=body)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def refresh(org: Organisation, token: str, app_id: str = "identity", **more: Any) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": f"{org.id}/{app_id}"}
    return await ask(org, **form, **more)


async def test_a_session_goes_on_and_tells_what_is_granted_now(org: Organisation) -> None:
    began = await sign_in(org, "shop", "orders:read", "orders:write")
    answer = await refresh(org, began["refresh_token"], "shop", scope="orders:read stock:read")
    went_on = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert went_on.keys() == began.keys()
    assert (went_on["scope"], went_on["session_id"]) == ("orders:read", began["session_id"])
    assert went_on["refresh_token"] != began["refresh_token"]
    again = (await refresh(org, began["refresh_token"], "shop")).json()
    assert again["refresh_token"] == went_on["refresh_token"], "the answer may have been lost"
    await org.admin.put(f"{org.path}/apps/shop/users/ana", {"scopes": ["orders:write"]})
    for text, scope in ((went_on["access_token"], ""), (again["access_token"], "orders:write")):
        found = await introspect(org, text)
        assert (found["active"], found["scope"], found["sub"]) == (True, scope, "ana")
    found = await introspect(org, went_on["refresh_token"])
    assert (found["active"], found["sid"], found["user_id"]) == (True, began["session_id"], "ana")
    assert await introspect(org, began["refresh_token"]) == {"active": False}


async def test_a_refresh_token_is_its_apps_and_its_tenants(org: Organisation, other_org: Organisation) -> None:
    token = (await sign_in(org, "shop"))["refresh_token"]
    for elsewhere, app_id in ((org, "identity"), (org, "nowhere"), (other_org, "shop")):
        assert told(await refresh(elsewhere, token, app_id)) == (400, "invalid_grant")
        await ask(elsewhere, "/oauth/revoke", token=token, client_id=f"{elsewhere.id}/{app_id}")
    for text in ("", "x", token[:-1] + "x"):
        assert told(await refresh(org, text, "shop"))[0] == 400
    assert told(await refresh(org, token, "shop", client_secret="x")) == (401, "invalid_client")
    assert told(await refresh(org, token, "shop", scope="a  b")) == (400, "invalid_scope")
    assert await introspect(org, token, other_org.admin) == {"active": False}
    assert await introspect(org, token, await org.holding("keys:verify/till")) == {"active": False}
    assert (await refresh(org, token, "shop")).status_code == 200


async def test_a_person_manages_by_their_own_scopes_until_they_sign_out(
    org: Organisation, other_org: Organisation
) -> None:
    began = await sign_in(org, "identity", "users:read")
    caller = Api(org.client, began["access_token"])
    assert (await caller.get(f"{org.path}/users")).status_code == 200
    assert (await caller.get(f"{org.path}/apps")).status_code == 403
    assert (await caller.get(f"{other_org.path}/users")).status_code == 404
    who = (await caller.get("/v1/keys/whoami")).json()
    assert (who["user_id"], who["key_id"], who["scopes"]) == ("ana", None, ["users:read"])
    await org.admin.put(f"{org.path}/apps/identity/users/ana", {"scopes": []})
    assert (await caller.get(f"{org.path}/users")).status_code == 403, "what is granted now counts"
    for_shop = await sign_in(org, "shop", "users:read")
    assert (await Api(org.client, for_shop["access_token"]).get(f"{org.path}/users")).status_code == 401


ENDS: dict[str, Any] = {
    "revoking the refresh token": lambda org, began: ask(
        org, "/oauth/revoke", token=began["refresh_token"], client_id=f"{org.id}/identity"
    ),
    "revoking the access token": lambda org, began: ask(
        org, "/oauth/revoke", token=began["access_token"], client_id=f"{org.id}/identity"
    ),
    "ending the session": lambda org, began: org.stores.sessions.end(org.id, "ana", began["session_id"]),
    "suspending the user": lambda org, began: org.stores.users.suspend(org.id, "ana"),
    "revoking access": lambda org, began: org.stores.user_apps.revoke(org.id, "identity", "ana"),
    "suspending the tenant": lambda org, began: org.stores.tenants.suspend(org.id),
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_end_holds_at_once_everywhere(end: str, org: Organisation, platform: Api) -> None:
    began = await sign_in(org, "identity", "users:read")
    caller = Api(org.client, began["access_token"])
    assert (await caller.get(f"{org.path}/users")).status_code == 200
    await ENDS[end](org, began)
    assert (await caller.get(f"{org.path}/users")).status_code == 401
    for text in (began["access_token"], began["refresh_token"]):
        assert await introspect(org, text, platform) == {"active": False}
    assert told(await refresh(org, began["refresh_token"])) == (400, "invalid_grant")


async def test_a_client_ends_nobody_elses_session(org: Organisation) -> None:
    began = await sign_in(org, "identity", "users:read")
    for text in (began["access_token"], began["refresh_token"]):
        assert (await ask(org, "/oauth/revoke", token=text, client_id=f"{org.id}/shop")).json() == {}
    assert (await Api(org.client, began["access_token"]).get(f"{org.path}/users")).status_code == 200


async def test_a_key_is_nobody_and_a_person_no_key(org: Organisation, settings: Settings) -> None:
    _, text = await key_token(org, settings, "*")
    await sign_in(org, "identity", "users:read")
    assert (await Api(org.client, text).get(f"{org.path}/users/ana/sessions")).status_code == 200
    _, of_shop = await key_token(org, settings, "*", app_id="shop")
    assert (await Api(org.client, of_shop).get(f"{org.path}/users/ana/sessions")).status_code == 401


async def test_strangers_clients_refresh_and_revoke(url: str, org: Organisation) -> None:
    began, client = await sign_in(org, "shop", "orders:read"), f"{org.id}/shop"

    def by_authlib() -> str:
        session = OAuth2Session(client, token=began, token_endpoint_auth_method="none")
        new = session.refresh_token(f"{url}/oauth/token", refresh_token=began["refresh_token"])
        assert (new["token_type"], new["scope"]) == ("Bearer", "orders:read")
        return str(new["refresh_token"])

    def by_oauthlib(token: str) -> Json:
        stranger = LegacyApplicationClient(client, refresh_token=token)
        body = stranger.prepare_refresh_body(client_id=client)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = requests.post(f"{url}/oauth/token", data=body, headers=form, timeout=10)
        return dict(stranger.parse_request_body_response(answer.text))

    def revoked_by_authlib(token: str) -> int:
        session = OAuth2Session(client, token_endpoint_auth_method="none", revocation_endpoint_auth_method="none")
        return int(session.revoke_token(f"{url}/oauth/revoke", token=token).status_code)

    last = await asyncio.to_thread(by_oauthlib, await asyncio.to_thread(by_authlib))
    assert (await introspect(org, last["refresh_token"]))["active"] is True
    assert await asyncio.to_thread(revoked_by_authlib, last["refresh_token"]) == 200
    assert await introspect(org, last["access_token"]) == {"active": False}
