"""What only the platform may change of a tenant, whichever way a tenant asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Api, Organisation, unique

PLATFORMS: list[dict[str, Any]] = [
    {"domain": "acme.example.com"},
    {"domain": None},
    {"db_dsn": "host=db.example.com"},
    {"db_schema": "acme"},
    {"settings": {"max_users": 9}},
    {"settings": {"max_users": None}},
    {"settings": {"max_apps": 9, "require_mfa": True}},
]
GIVEN = {
    "name": "Acme",
    "db_dsn": "host=a.example.com",
    "db_schema": "a",
    "settings": {"max_users": 5, "max_apps": 7, "timezone": "Europe/Madrid"},
}


@pytest.mark.parametrize("changes", PLATFORMS, ids=str)
async def test_a_tenant_may_not_patch_what_is_the_platforms(
    changes: dict[str, Any], org: Organisation, platform: Api
) -> None:
    before = (await org.admin.get(org.path)).json()
    answer = await org.admin.patch(org.path, changes)
    assert (answer.status_code, answer.json()["code"]) == (403, "platform_only")
    assert (await org.admin.get(org.path)).json() == before
    mine = {**changes, "domain": f"{org.id}.example.com"} if changes.get("domain") else changes
    assert (await platform.patch(org.path, mine)).status_code == 200


async def test_a_tenants_put_leaves_what_is_the_platforms(org: Organisation, platform: Api) -> None:
    domain = f"{org.id}.example.com"
    assert (await platform.put(org.path, {**GIVEN, "domain": domain})).status_code == 200
    theirs = {"db_dsn": "host=evil.example.com", "domain": "evil.example.com", "settings": {"max_users": 999}}
    for given in ({"name": "Mine"}, {"name": "Mine", **theirs}):
        found = (await org.admin.put(org.path, given)).json()
        assert (found["name"], found["domain"], found["db_dsn"]) == ("Mine", domain, GIVEN["db_dsn"])
        assert (found["db_schema"], found["settings"]["timezone"]) == ("a", "UTC")
        assert (found["settings"]["max_users"], found["settings"]["max_apps"]) == (5, 7)


async def test_a_tenant_that_empties_its_settings_keeps_its_limits(org: Organisation, platform: Api) -> None:
    await platform.patch(org.path, {"settings": GIVEN["settings"]})
    await org.admin.patch(org.path, {"settings": None})
    found = (await platform.get(org.path)).json()["settings"]
    assert (found["max_users"], found["max_apps"]) == (5, 7)


async def test_a_tenant_cannot_be_made_by_a_put_of_another(org: Organisation) -> None:
    answer = await org.admin.put(f"/v1/tenants/{unique()}", {"name": "Mine"})
    assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")
