"""A kept answer is its caller's alone: no other tenant's, no other key's, and not one's who may no longer have it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity.app_keys import AppKeyChanges, NewAppKey
from identity.apps import IDENTITY
from identity.stores import create_platform
from identity.tenants import NewTenant
from tests.api.problems import told
from tests.conftest import Api, Organisation, make_organisation, settings_for, unique
from tests.idempotency.keyed import is_replayed, new_key, under
from tests.operation.apps import app
from tests.server import Database, execute

KEPT = "SELECT count(*) FROM identity.idempotency_keys WHERE tenant_id = %s"
FIND_WITHOUT_TENANT = "SELECT FROM identity.idempotency_keys WHERE caller = %(caller)s AND id = %(id)s"
ALL = "SELECT tenant_id, caller FROM identity.idempotency_keys"


@pytest.fixture(scope="module")
async def here(own: Database) -> AsyncIterator[Organisation]:
    """Where tombstones can be purged at once."""
    async with app(settings_for(own, purge_after_s=0)) as found:
        yield found


@pytest.fixture(scope="module")
async def there(here: Organisation) -> Organisation:
    return await make_organisation(here.stores, here.client)


@pytest.fixture(scope="module")
async def platform(here: Organisation) -> Api:
    key = await create_platform(here.stores)
    assert key is not None
    return Api(here.client, key.key)


async def test_the_platform_may_use_one_key_in_two_tenants(
    here: Organisation, there: Organisation, platform: Api, own: Database
) -> None:
    key, body = new_key(), {"name": "till-9"}
    made = [await platform.post(f"{org.path}/apps/shop/keys", body, **under(key)) for org in (here, there)]
    again = [await platform.post(f"{org.path}/apps/shop/keys", body, **under(key)) for org in (here, there)]
    assert [is_replayed(answer) for answer in (*made, *again)] == [False, False, True, True]
    assert [answer.content for answer in again] == [answer.content for answer in made]
    assert [answer.json()["tenant_id"] for answer in again] == [here.id, there.id]


async def test_a_tenants_admin_reaches_nothing_that_was_answered_to_the_platform(
    here: Organisation, platform: Api
) -> None:
    key, path, body = new_key(), f"{here.path}/apps/shop/keys", {"name": "till-9"}
    of_platform = await platform.post(path, body, **under(key))
    of_admin = await here.admin.post(path, body, **under(key))
    assert (of_admin.status_code, is_replayed(of_admin)) == (201, False)
    assert of_admin.json()["key"] != of_platform.json()["key"]
    new = {"id": unique("new"), "name": "New", "admin_key": True}
    assert (await platform.post("/v1/tenants", new, **under(key))).status_code == 201
    assert told(await here.admin.post("/v1/tenants", new, **under(key))) == (403, "platform_only")


async def test_a_tenants_scope_sees_no_row_of_another_nor_of_the_platform(
    here: Organisation, there: Organisation, platform: Api
) -> None:
    for org in (here, there):
        await org.admin.post(f"{org.path}/users", {"username": unique()}, **under(new_key()))
    await platform.post("/v1/tenants", {"id": unique("new"), "name": "New"}, **under(new_key()))
    for tenant_id in (here.id, there.id, "platform"):
        seen = await here.stores.idempotency._run(ALL, tenant_id)
        assert {row["tenant_id"] for row in seen} == {tenant_id}
    [row, *_] = await here.stores.idempotency._run("SELECT caller, id FROM identity.idempotency_keys", there.id)
    assert await here.stores.idempotency.find(there.id, row["caller"], row["id"]) is not None
    found = await here.stores.idempotency._run(FIND_WITHOUT_TENANT, here.id, caller=row["caller"], id=row["id"])
    assert found == []


async def test_a_purge_takes_the_tenants_kept_answers_along(
    here: Organisation, there: Organisation, platform: Api, own: Database
) -> None:
    gone = await make_organisation(here.stores, here.client)
    for caller, org in ((gone.admin, gone), (platform, gone), (platform, there)):
        answer = await caller.post(f"{org.path}/apps/shop/keys", {"name": "till"}, **under(new_key()))
        assert answer.status_code == 201
    before = execute(own.admin_url, KEPT, there.id)
    assert execute(own.admin_url, KEPT, gone.id) == [(2,)]
    assert (await platform.delete(gone.path)).status_code == 204
    assert execute(own.admin_url, KEPT, gone.id) == [(2,)]
    assert (await platform.post(f"{gone.path}/purge")).status_code == 204
    assert execute(own.admin_url, KEPT, gone.id) == [(0,)]
    assert execute(own.admin_url, KEPT, there.id) == before


async def test_a_tenant_that_comes_after_its_purged_namesake_is_answered_nothing_of_it(
    here: Organisation, platform: Api
) -> None:
    id, key, body = unique("twice"), new_key(), {"name": "till"}
    path = f"/v1/tenants/{id}/apps/{IDENTITY}/keys"
    texts = []
    for _ in range(2):
        await here.stores.tenants.create(NewTenant(id=id, name="Twice"))
        answer = await platform.post(path, body, **under(key))
        assert (answer.status_code, is_replayed(answer)) == (201, False)
        texts.append(answer.json()["key"])
        assert (await platform.delete(f"/v1/tenants/{id}")).status_code == 204
        assert told(await platform.post(path, body, **under(key))) == (404, "tenant_not_found")
        assert (await platform.post(f"/v1/tenants/{id}/purge")).status_code == 204
    assert texts[0] != texts[1]


async def holding(org: Organisation, *scopes: str) -> tuple[str, Api]:
    key = await org.stores.app_keys.issue(org.id, IDENTITY, NewAppKey(name="caller", scopes=scopes))
    return key.id, Api(org.client, key.key)


async def test_who_was_revoked_or_lost_its_scope_is_answered_nothing_again(here: Organisation) -> None:
    key, path, body = new_key(), f"{here.path}/apps/shop/keys", {"name": "till"}
    id, caller = await holding(here, "keys:write")
    assert (await caller.post(path, body, **under(key))).status_code == 201
    await here.stores.app_keys.update(here.id, IDENTITY, id, AppKeyChanges(scopes=("users:write",)))
    assert told(await caller.post(path, body, **under(key))) == (403, "insufficient_scope")
    await here.stores.app_keys.revoke(here.id, IDENTITY, id)
    assert told(await caller.post(path, body, **under(key))) == (401, "revoked")


def of_identity(org: Organisation) -> tuple[str, dict[str, Any]]:
    return f"{org.path}/apps/{IDENTITY}/keys", {"name": "second", "scopes": ["*"]}


async def test_who_lost_its_rank_is_not_given_a_higher_key_again(here: Organisation) -> None:
    key, (path, body) = new_key(), of_identity(here)
    id, caller = await holding(here, "*")
    made = await caller.post(path, body, **under(key))
    assert (await caller.post(path, body, **under(key))).content == made.content
    rotated = f"{path}/{made.json()['id']}/rotate"
    assert (await caller.post(rotated, {}, **under(key))).status_code == 201
    await here.stores.app_keys.update(here.id, IDENTITY, id, AppKeyChanges(scopes=("keys:write",)))
    for lost in (path, rotated):
        answer = await caller.post(lost, body if lost == path else {}, **under(key))
        assert told(answer) == (403, "insufficient_rank")
        assert "isk_" not in answer.text


async def test_who_lost_its_rank_is_not_given_a_new_tenants_first_key_again(here: Organisation, platform: Api) -> None:
    key, new = new_key(), {"id": unique("new"), "name": "New", "admin_key": True}
    issued = (await platform.post(f"/v1/tenants/platform/apps/{IDENTITY}/keys", {"name": "c", "scopes": ["*"]})).json()
    caller = Api(here.client, issued["key"])
    assert (await caller.post("/v1/tenants", new, **under(key))).status_code == 201
    await here.stores.app_keys.update("platform", IDENTITY, issued["id"], AppKeyChanges(scopes=("tenants:write",)))
    assert told(await caller.post("/v1/tenants", new, **under(key))) == (403, "insufficient_rank")
