"""Our own API takes access tokens of the app `identity`, and judges their keys as they are now."""

from __future__ import annotations

from typing import Any

import pytest

from identity.app_keys import AppKeyChanges
from identity.apps import IDENTITY, AppChanges
from identity.settings import Settings
from tests.conftest import Api, Organisation
from tests.tokens.conftest import key_token


async def status(caller: Api, path: str) -> tuple[int, str | None]:
    answer = await caller.get(path)
    return answer.status_code, answer.json().get("code")


async def test_a_token_may_what_it_holds_and_no_more(
    org: Organisation, other_org: Organisation, settings: Settings
) -> None:
    key_id, text = await key_token(org, settings, "users:write", "keys:write")
    caller = Api(org.client, text)
    assert await status(caller, f"{org.path}/users") == (200, None)
    assert await status(caller, f"{org.path}/apps") == (403, "insufficient_scope")
    assert await status(caller, f"{other_org.path}/users") == (404, "tenant_not_found")
    raised = await caller.post(f"{org.path}/apps/identity/keys", {"name": "x", "scopes": ["*"]})
    assert (raised.status_code, raised.json()["code"]) == (403, "insufficient_rank")
    who = (await caller.get("/v1/keys/whoami")).json()
    assert (who["code"], who["key_id"], who["scopes"]) == ("valid", key_id, ["users:write", "keys:write"])
    assert who["expires_at"]


async def test_a_token_of_fewer_scopes_is_held_to_them(org: Organisation) -> None:
    form = {"grant_type": "client_credentials", "client_id": f"{org.id}/identity", "client_secret": org.admin_key.key}
    got = (await org.client.post("/oauth/token", data={**form, "scope": "users:read"})).json()
    caller = Api(org.client, got["access_token"])
    assert await status(caller, f"{org.path}/users") == (200, None)
    assert (await caller.post(f"{org.path}/users", {"username": "x"})).status_code == 403
    assert (await caller.get("/v1/keys/whoami")).json()["scopes"] == ["users:read"]


async def test_a_token_for_another_app_manages_nothing(org: Organisation, settings: Settings) -> None:
    _, text = await key_token(org, settings, "users:read", "*", app_id="shop")
    assert await status(Api(org.client, text), f"{org.path}/users") == (401, "invalid_token")


async def test_a_key_that_loses_a_scope_takes_it_from_its_tokens(org: Organisation, settings: Settings) -> None:
    key_id, text = await key_token(org, settings, "users:read", "apps:read")
    await org.stores.app_keys.update(org.id, IDENTITY, key_id, AppKeyChanges(scopes=("apps:read",)))
    assert await status(Api(org.client, text), f"{org.path}/users") == (403, "insufficient_scope")
    assert await status(Api(org.client, text), f"{org.path}/apps") == (200, None)


ENDS: dict[str, Any] = {
    "revoked": lambda org, key_id: org.stores.app_keys.revoke(org.id, IDENTITY, key_id),
    "disabled": lambda org, key_id: org.stores.app_keys.disable(org.id, IDENTITY, key_id),
    "tenant_suspended": lambda org, key_id: org.stores.tenants.suspend(org.id),
    "tenant_deleted": lambda org, key_id: org.stores.tenants.delete(org.id),
    "invalid_token": lambda org, key_id: org.stores.app_keys.delete(org.id, IDENTITY, key_id),
}


@pytest.mark.parametrize("code", ENDS)
async def test_a_token_ends_with_its_key_at_once(code: str, org: Organisation, settings: Settings) -> None:
    key_id, text = await key_token(org, settings, "users:read")
    caller = Api(org.client, text)
    assert await status(caller, f"{org.path}/users") == (200, None)
    await ENDS[code](org, key_id)
    assert await status(caller, f"{org.path}/users") == (401, code)


async def test_a_rotated_key_takes_its_tokens_along(org: Organisation, settings: Settings) -> None:
    key_id, text = await key_token(org, settings, "keys:verify", "keys:write")
    caller = Api(org.client, text)
    verified = await caller.post("/v1/keys/verify", {"key": org.key.key})
    assert verified.json()["code"] == "valid", "past the hot path, which knows keys alone"
    rotated = await org.admin.post(f"{org.path}/apps/identity/keys/{key_id}/rotate")
    assert rotated.status_code == 201
    assert (await caller.post("/v1/keys/verify", {"key": org.key.key})).status_code == 401


async def test_settings_say_how_long_a_token_lives(org: Organisation) -> None:
    await org.stores.apps.update(org.id, IDENTITY, AppChanges.model_validate({"settings": {"access_token_s": 60}}))
    form = {"grant_type": "client_credentials", "client_id": f"{org.id}/identity", "client_secret": org.admin_key.key}
    assert (await org.client.post("/oauth/token", data=form)).json()["expires_in"] == 60
