"""Keys over HTTP: their text is shown once, they are rotated without an outage, and when revoked they are dead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from identity.key_text import parse
from tests.api.problems import told
from tests.conftest import Api, Organisation, unique


async def issued(org: Organisation, **more: Any) -> dict[str, Any]:
    answer = await org.admin.post(f"{org.path}/apps/shop/keys", {"name": "till-7", **more})
    assert answer.status_code == 201
    found: dict[str, Any] = answer.json()
    return found


async def code_of(org: Organisation, key: str) -> str:
    return str((await org.admin.post("/v1/keys/verify", {"key": key})).json()["code"])


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_the_text_of_a_key_is_shown_once(org: Organisation) -> None:
    key = await issued(org)
    text = parse(key["key"])
    assert text is not None
    assert text.id == key["id"]
    one = f"{org.path}/apps/shop/keys/{key['id']}"
    later = [
        await org.admin.get(one),
        await org.admin.get(f"{org.path}/keys"),
        await org.admin.get(f"{org.path}/apps/shop/keys"),
        await org.admin.patch(one, {"name": "till-8"}),
        await org.admin.post(f"{one}/disable"),
        await org.admin.post(f"{one}/enable"),
        await org.admin.post(f"{one}/revoke"),
        await org.admin.delete(one, headers={"Prefer": "return=representation"}),
    ]
    secret = key["key"].rsplit("_", 1)[1]
    for answer in later:
        assert answer.status_code == 200
        assert secret not in answer.text
        assert '"key"' not in answer.text


@pytest.mark.parametrize("type", ["secret", "public", "restricted", "service"])
@pytest.mark.parametrize("environment", ["live", "test"])
async def test_a_key_begins_by_its_type_and_environment(type: str, environment: str, org: Organisation) -> None:
    key = await issued(org, type=type, environment=environment, scopes=["orders:read"])
    prefix = {"secret": "isk", "public": "ipk", "restricted": "irk", "service": "isv"}[type]
    assert key["key"].startswith(f"{prefix}_{environment}_{key['id']}_")
    assert (await code_of(org, key["key"])) == "valid"


BROAD: list[tuple[dict[str, Any], str]] = [
    ({"type": "public", "scopes": ["*"]}, "public_key_too_broad"),
    ({"type": "restricted"}, "restricted_key_too_broad"),
    ({"type": "restricted", "scopes": ["*"]}, "restricted_key_too_broad"),
    ({"type": "service", "user_id": "ana"}, "service_key_has_owner"),
    ({"branch_id": "nowhere"}, "branch_not_found"),
    ({"user_id": "nobody"}, "user_not_found"),
]


@pytest.mark.parametrize(("given", "code"), BROAD, ids=str)
async def test_a_key_is_no_more_than_its_type_may_be(given: dict[str, Any], code: str, target: Organisation) -> None:
    assert told(await target.admin.post(f"{target.path}/apps/shop/keys", {"name": "x", **given})) == (400, code)


async def test_keys_of_identity_carry_management_scopes_only(target: Organisation) -> None:
    for scope in ("orders:read", "users:*", "keys:verify/"):
        new = {"name": "x", "scopes": [scope]}
        answer = await target.admin.post(f"{target.path}/apps/identity/keys", new)
        assert told(answer) == (400, "not_a_management_scope")


async def test_rotation_makes_a_successor_and_ends_the_old_key(org: Organisation) -> None:
    old = await issued(org, scopes=["orders:read"], metadata={"till": 7}, branch_id="mad", user_id="ana")
    one = f"{org.path}/apps/shop/keys/{old['id']}"
    answer = await org.admin.post(f"{one}/rotate")
    new = answer.json()
    assert answer.headers["Location"] == f"{org.path}/apps/shop/keys/{new['id']}"
    assert new["rotated_from"] == old["id"]
    kept = ("name", "scopes", "metadata", "branch_id", "user_id", "type", "environment", "expires_at")
    assert [new[name] for name in kept] == [old[name] for name in kept]
    assert (await code_of(org, new["key"]), await code_of(org, old["key"])) == ("valid", "revoked")
    assert (await org.admin.get(one)).json()["revoke_reason"] == "rotated"
    assert told(await org.admin.post(f"{one}/rotate"))[0] == 409


async def test_within_its_grace_the_old_key_lives_beside_the_new(org: Organisation) -> None:
    old = await issued(org)
    one = f"{org.path}/apps/shop/keys/{old['id']}"
    new = (await org.admin.post(f"{one}/rotate", {"grace_s": 3600})).json()
    assert (await code_of(org, new["key"]), await code_of(org, old["key"])) == ("valid", "valid")
    ends = instant((await org.admin.get(one)).json()["expires_at"])
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=1)
    assert told(await org.admin.post(f"{one}/rotate")) == (409, "already_rotated")


async def test_the_end_of_a_grace_can_be_moved_either_way(org: Organisation) -> None:
    old = await issued(org)
    one = f"{org.path}/apps/shop/keys/{old['id']}"
    await org.admin.post(f"{one}/rotate", {"grace_s": 60})
    longer = datetime.now(UTC) + timedelta(days=1)
    assert instant((await org.admin.patch(one, {"expires_at": longer.isoformat()})).json()["expires_at"]) == longer
    assert await code_of(org, old["key"]) == "valid"
    now = datetime.now(UTC) - timedelta(seconds=1)
    assert (await org.admin.patch(one, {"expires_at": now.isoformat()})).status_code == 200
    assert await code_of(org, old["key"]) == "expired"


async def test_revoking_the_new_key_while_the_old_one_lives_is_the_way_back(org: Organisation) -> None:
    old = await issued(org)
    one = f"{org.path}/apps/shop/keys/{old['id']}"
    new = (await org.admin.post(f"{one}/rotate", {"grace_s": 3600})).json()
    assert (await org.admin.get(one)).json()["rotated_to"] == new["id"]
    await org.admin.post(f"{org.path}/apps/shop/keys/{new['id']}/revoke")
    assert (await code_of(org, new["key"]), await code_of(org, old["key"])) == ("revoked", "valid")
    newer = (await org.admin.post(f"{one}/rotate", {"grace_s": 3600})).json()
    assert (newer["rotated_from"], newer["expires_at"]) == (old["id"], None)
    assert (await org.admin.get(one)).json()["rotated_to"] == newer["id"]
    assert await code_of(org, newer["key"]) == "valid"


async def test_a_grace_never_lengthens_a_life(org: Organisation) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    old = await issued(org, expires_at=ends)
    await org.admin.post(f"{org.path}/apps/shop/keys/{old['id']}/rotate", {"grace_s": 3600})
    found = (await org.admin.get(f"{org.path}/apps/shop/keys/{old['id']}")).json()
    assert instant(found["expires_at"]) == instant(ends)


@pytest.mark.parametrize("grace_s", [0, 5, 60, 120])
async def test_a_key_that_rotates_itself_is_not_locked_out(grace_s: int, org: Organisation) -> None:
    one = f"{org.path}/apps/identity/keys/{org.admin_key.id}"
    answer = await org.admin.post(f"{one}/rotate", {"grace_s": grace_s})
    assert answer.status_code == 201
    left = instant((await org.admin.get(one)).json()["expires_at"]) - datetime.now(UTC)
    assert max(grace_s, 60) - 10 < left.total_seconds() <= max(grace_s, 60)
    assert (await Api(org.client, answer.json()["key"]).get(org.path)).status_code == 200


async def test_a_revocation_is_for_good(org: Organisation) -> None:
    one = f"{org.path}/apps/shop/keys/{org.key.id}"
    first = await org.admin.post(f"{one}/revoke", {"reason": "left the company"})
    again = await org.admin.post(f"{one}/revoke", {"reason": "twice"})
    assert first.json() == again.json()
    assert first.json()["revoke_reason"] == "left the company"
    assert await code_of(org, org.key.key) == "revoked"
    for action in ("enable", "disable"):
        assert told(await org.admin.post(f"{one}/{action}")) == (409, "status_conflict")
    assert told(await org.admin.post(f"{one}/rotate")) == (409, "key_not_live")


async def test_a_key_that_revokes_itself_is_dead_with_the_answer(org: Organisation) -> None:
    one = f"{org.path}/apps/identity/keys/{org.admin_key.id}"
    assert (await org.admin.post(f"{one}/revoke")).status_code == 200
    assert told(await org.admin.get(one)) == (401, "revoked")


async def test_a_key_is_found_under_its_own_app_alone(target: Organisation) -> None:
    for app_id, key_id in (("identity", target.key.id), ("shop", target.admin_key.id)):
        one = f"{target.path}/apps/{app_id}/keys/{key_id}"
        answers = [await target.admin.get(one), await target.admin.patch(one, {}), await target.admin.delete(one)]
        answers += [await target.admin.post(f"{one}/{verb}") for verb in ("rotate", "revoke", "disable", "enable")]
        assert {told(answer) for answer in answers} == {(404, "key_not_found")}


@pytest.mark.parametrize("asked", [True, False, None])
async def test_a_tenant_comes_with_an_admin_key_if_asked(asked: bool | None, platform: Api) -> None:
    new = {"id": unique(), "name": "New"} | ({} if asked is None else {"admin_key": asked})
    made = (await platform.post("/v1/tenants", new)).json()
    keys = (await platform.get(f"/v1/tenants/{new['id']}/apps/identity/keys")).json()["items"]
    assert ("admin_key" in made) == bool(asked) == bool(keys)
    if asked:
        assert made["admin_key"]["scopes"] == ["*"]
        assert {name: made["admin_key"][name] for name in keys[0]} == keys[0]
        admin = Api(platform.client, made["admin_key"]["key"])
        assert (await admin.get(f"/v1/tenants/{new['id']}")).json().keys() == made.keys() - {"admin_key"}
