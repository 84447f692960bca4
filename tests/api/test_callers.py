"""Credentials that are none, or are no longer good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from identity.app_keys import AppKeyChanges
from identity.apps import IDENTITY
from identity.key_text import compose, new_secret
from tests.conftest import Api, Organisation


async def expire(org: Organisation) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await org.stores.app_keys.update(org.id, IDENTITY, org.admin_key.id, AppKeyChanges(expires_at=past))


DEATHS: dict[str, Callable[[Organisation], Awaitable[object]]] = {
    "revoked": lambda org: org.stores.app_keys.revoke(org.id, IDENTITY, org.admin_key.id),
    "disabled": lambda org: org.stores.app_keys.disable(org.id, IDENTITY, org.admin_key.id),
    "expired": expire,
    "tenant_suspended": lambda org: org.stores.tenants.suspend(org.id),
    "tenant_deleted": lambda org: org.stores.tenants.delete(org.id),
}


@pytest.mark.parametrize("code", DEATHS)
async def test_a_dead_key_is_told_of_its_own_chain(code: str, org: Organisation) -> None:
    await DEATHS[code](org)
    for path in (f"{org.path}/apps", "/v1/keys/whoami", "/v1/tenants/nowhere"):
        answer = await org.admin.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("part", ["secret", "environment", "prefix"])
async def test_who_knows_only_part_of_a_key_is_told_nothing_of_it(part: str, org: Organisation) -> None:
    await org.stores.tenants.suspend(org.id)
    key, right = org.admin_key, org.admin_key.key.rsplit("_", 1)[1][:-6]
    text = compose(
        "ipk" if part == "prefix" else key.prefix,
        "test" if part == "environment" else key.environment,
        key.id,
        new_secret() if part == "secret" else right,
    )
    answer = await Api(org.client, text).get(f"{org.path}/apps")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_known_in_any_case(scheme: str, org: Organisation) -> None:
    answer = await org.client.get("/v1/keys/whoami", headers={"Authorization": f"{scheme} {org.admin_key.key}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Token {key}", "{key}"])
async def test_a_credential_of_another_kind_is_none(value: str, org: Organisation) -> None:
    authorization = value.replace("{key}", org.admin_key.key)
    answer = await org.client.get("/v1/keys/whoami", headers={"Authorization": authorization})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
