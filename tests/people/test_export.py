"""What is held on somebody is shown to them, and to whoever may read it all; no secret is in it."""

from __future__ import annotations

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.user_apps import Grant
from tests.api.problems import told
from tests.conftest import PASSWORD, Api, Organisation, password_hash
from tests.people.conftest import People
from tests.server import Database, execute

USED = """
INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
SELECT tenant_id, id, date_trunc('hour', now()), 'valid', 3
  FROM identity.app_keys WHERE tenant_id = %s AND user_id = 'ana'
"""
"""Not of the key that asks, whose own use may be written meanwhile."""


async def test_it_is_all_that_is_held_and_no_secret(people: People, database: Database) -> None:
    org, id = people.org, people.org.id
    more = [await org.stores.app_keys.issue(id, "shop", NewAppKey(name=f"more {n}", user_id="ana")) for n in range(501)]
    reset = await org.stores.passwords.make_reset(id, "ana")
    enrolled = (await org.admin.post(f"{people.ana}/factors")).json()
    await people.sign_in("wrong")
    execute(database.admin_url, USED, id)
    answer = await org.admin.get(f"{people.ana}/export")
    found = answer.json()
    assert found["user"] == (await org.admin.get(people.ana)).json()
    assert [each["app_id"] for each in found["access"]] == ["shop"]
    assert [each["id"] for each in found["keys"]] == sorted([org.key.id, *(key.id for key in more)])
    assert [each["id"] for each in found["sessions"]] == [org.signed_in.session.session_id]
    assert [each["id"] for each in found["factors"]] == [enrolled["id"]]
    assert (found["failures"]["failures"], found["password_changed_at"] is None) == (1, False)
    assert [(each["code"], each["count"]) for each in found["usage"]] == [("valid", 3 * 502)]
    secrets = (PASSWORD, password_hash(), reset.token, enrolled["secret"], org.key.key, org.signed_in.refresh_token)
    assert not [secret for secret in secrets if secret in answer.text]


async def test_it_is_theirs_and_of_who_may_read_users_and_keys(people: People, other_org: Organisation) -> None:
    org, path = people.org, f"{people.ana}/export"
    await org.admin.post(f"{org.path}/users", {"id": "bob", "username": "bob"})
    await org.stores.user_apps.grant(org.id, IDENTITY, "ana", Grant())
    ana = Api(org.client, (await people.signed_in(app_id=IDENTITY))["access_token"])
    assert (await ana.get(path)).status_code == 200
    assert told(await ana.get(f"{org.path}/users/bob/export")) == (403, "insufficient_scope")
    for scopes in (["users:read"], ["keys:read"]):
        assert told(await (await org.holding(*scopes)).get(path)) == (403, "insufficient_scope")
    assert (await (await org.holding("users:read", "keys:read")).get(path)).status_code == 200
    assert told(await other_org.admin.get(path)) == (404, "tenant_not_found")
    assert told(await org.admin.get(f"{org.path}/users/nobody/export")) == (404, "user_not_found")
