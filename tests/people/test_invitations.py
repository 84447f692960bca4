"""Invitations: a token makes one user, or gives one user access; what it gives is judged as a grant would be."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from identity.api.sweeping import sweep_over_all
from identity.app_keys import AppKeyChanges, NewAppKey
from identity.apps import IDENTITY
from identity.invitations import NewInvitation
from identity.settings import Settings
from identity.user_apps import Grant
from identity.users import UserChanges
from tests.api.problems import places, told
from tests.conftest import Api, Organisation
from tests.people.conftest import SAME_ID, People, waits, worker
from tests.people.test_passwords import token_of
from tests.server import Database, execute

PHRASE = "nine slow trains to Antwerp"
NOT_GOOD = (400, "invitation_not_good")
TOO_LOW = (403, "insufficient_rank")


async def invite(people: People, caller: Api | None = None, **more: Any) -> httpx2.Response:
    body = {"email": "cy@example.com", "app_ids": ["shop"], "scopes": ["orders:read"], **more}
    return await (caller or people.org.admin).post(f"{people.org.path}/invitations", body)


async def invited(people: People, caller: Api | None = None, **more: Any) -> dict[str, Any]:
    answer = await invite(people, caller, **more)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def accept(
    people: People, token: str, username: str = "cy", org: Organisation | None = None, **more: Any
) -> httpx2.Response:
    body = {"token": token, "username": username, "password": PHRASE, **more}
    return await people.api.post(f"{(org or people.org).path}/invitations/accept", body, headers=SAME_ID)


async def bind(people: People, token: str, caller: Api | None = None, user_id: str = "ana") -> httpx2.Response:
    path = f"{people.org.path}/users/{user_id}/accept-invitation"
    return await (caller or people.org.admin).post(path, {"token": token})


async def scopes_of(people: People, user_id: str, app_id: str = "shop") -> Any:
    return (await people.org.admin.get(f"{people.org.path}/apps/{app_id}/users/{user_id}")).json().get("scopes")


async def do(people: People, invitation: dict[str, Any], verb: str) -> httpx2.Response:
    return await people.org.admin.post(f"{people.org.path}/invitations/{invitation['id']}/{verb}")


async def test_it_makes_a_user_who_may_what_it_says_and_whose_address_is_proved(people: People) -> None:
    made = await invited(people)
    answer = await accept(people, made["token"], full_name="Cy Okoro")
    user = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{people.org.path}/users/{user['id']}")
    assert user == (await people.org.admin.get(answer.headers["Location"])).json()
    assert (user["username"], user["email"], user["full_name"]) == ("cy", "cy@example.com", "Cy Okoro")
    assert user["email_verified_at"] is not None
    assert (await people.signed_in(password=PHRASE, login="cy@example.com"))["scope"] == "orders:read"
    found = (await people.org.admin.get(f"{people.org.path}/invitations/{made['id']}")).json()
    assert (found["accepted_by"], found["accepted_at"] is None) == (user["id"], False)
    exported = (await people.org.admin.get(f"{answer.headers['Location']}/export")).json()
    assert exported["invitations"] == [found]


async def test_of_fifty_who_accept_one_token_one_becomes_a_user(people: People, database: Database) -> None:
    token = (await invited(people))["token"]
    answers = await asyncio.gather(*(accept(people, token, f"cy{n}") for n in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 49
    assert {told(answer) for answer in answers if answer.status_code == 400} == {NOT_GOOD}
    users = "SELECT count(*)::int FROM identity.users WHERE tenant_id = %s AND username LIKE 'cy%%'"
    assert execute(database.admin_url, users, people.org.id) == [(1,)]


async def test_who_accepts_it_meanwhile_is_waited_for(people: People) -> None:
    stores, id, token = people.org.stores, people.org.id, (await invited(people))["token"]
    async with stores.transaction() as tx:
        held = await tx.invitations.hold(id, token)
        late = asyncio.ensure_future(accept(people, token))
        assert held is not None
        assert await waits(late)
        await tx.invitations.accept(id, held.id, "ana")
    assert told(await late) == NOT_GOOD


ENDED = {
    "a week later": "UPDATE identity.invitations SET expires_at = now() WHERE tenant_id = %s",
    "withdrawn": "UPDATE identity.invitations SET withdrawn_at = now() WHERE tenant_id = %s",
    "accepted": "UPDATE identity.invitations SET accepted_at = now(), accepted_by = 'ana' WHERE tenant_id = %s",
    "sent again": "UPDATE identity.invitations SET token_hash = sha256(id::bytea) WHERE tenant_id = %s",
    "the tenant suspended": "UPDATE identity.tenants SET status = 'suspended' WHERE id = %s",
}


async def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(
    people: People, other_org: Organisation, database: Database
) -> None:
    unknown = await accept(people, "iit_none")
    assert (told(unknown), places(unknown)) == (NOT_GOOD, ["/token"])
    for what, statement in ENDED.items():
        token = (await invited(people))["token"]
        assert (await accept(people, token, org=other_org)).content == unknown.content
        execute(database.admin_url, statement, people.org.id)
        assert (await accept(people, token)).content == unknown.content, what
        if what != "the tenant suspended":
            assert (await bind(people, token)).json()["detail"] == unknown.json()["detail"], what
    assert (
        await people.api.post(
            "/v1/tenants/none/invitations/accept", {"token": "x", "username": "cy", "password": PHRASE}, headers=SAME_ID
        )
    ).content == unknown.content


async def test_it_is_withdrawn_and_sent_again_until_it_was_accepted(people: People) -> None:
    made = await invited(people)
    first = (await do(people, made, "withdraw")).json()
    assert first["withdrawn_at"] is not None
    assert (await do(people, made, "withdraw")).json() == first, "once more is no error"
    again = (await do(people, made, "resend")).json()
    assert (again["id"], again["withdrawn_at"]) == (made["id"], None)
    assert again["expires_at"] > made["expires_at"]
    assert told(await accept(people, made["token"])) == NOT_GOOD
    assert (await accept(people, again["token"])).status_code == 201
    assert [told(await do(people, made, verb)) for verb in ("withdraw", "resend")] == [(409, "status_conflict")] * 2
    found = (await people.org.admin.get(f"{people.org.path}/invitations/{made['id']}")).json()
    assert found["withdrawn_at"] is None


async def test_lists_find_them_by_address_and_by_what_became_of_them(people: People, database: Database) -> None:
    """Ben's is there from the start."""
    made = {status: await invited(people, email=f"{status}@example.com") for status in ("accepted", "withdrawn", "old")}
    by = (await accept(people, made["accepted"]["token"])).json()["id"]
    await do(people, made["withdrawn"], "withdraw")
    expire = "UPDATE identity.invitations SET expires_at = now() WHERE id = %s"
    execute(database.admin_url, expire, made["old"]["id"])
    path = f"{people.org.path}/invitations"
    for query, email in {
        "status=pending": "ben",
        "status=accepted": "accepted",
        "status=withdrawn": "withdrawn",
        "status=expired": "old",
        "email=BEN@Example.com": "ben",
        f"accepted_by={by}": "accepted",
    }.items():
        items = (await people.org.admin.get(f"{path}?{query}")).json()["items"]
        assert [each["email"] for each in items] == [f"{email}@example.com"]


async def test_who_has_that_address_already_is_told_to_who_holds_the_token_alone(people: People) -> None:
    taken, free = await invited(people, email="Ana@Example.com"), await invited(people)
    assert taken.keys() == free.keys()
    assert {name for name in taken if type(taken[name]) is not type(free[name])} == set()
    refused = await accept(people, taken["token"])
    assert told(refused) == (409, "email_taken")
    assert told(await accept(people, "iit_none")) == NOT_GOOD
    assert (await bind(people, taken["token"], await token_of(people))).status_code == 200, "the token is good still"
    assert (await people.org.admin.get(people.ana)).json()["email_verified_at"] is not None


async def test_a_user_takes_it_with_their_own_token_besides_what_they_have(people: People) -> None:
    made = await invited(people, scopes=["orders:read", "till:open"])
    ana = await token_of(people)
    await people.org.admin.post(f"{people.org.path}/users", {"id": "bob", "username": "bob"})
    assert told(await bind(people, made["token"], ana, "bob")) == (403, "insufficient_scope")
    answer = await bind(people, made["token"], ana)
    assert (answer.status_code, answer.json()["accepted_by"]) == (200, "ana")
    assert await scopes_of(people, "ana") == ["orders:*", "stock:read", "orders:read", "till:open"]
    assert (await people.org.admin.get(people.ana)).json()["email_verified_at"] is None, "it was sent elsewhere"
    assert told(await bind(people, made["token"], ana)) == NOT_GOOD
    assert told(await bind(people, made["token"], user_id="nobody")) == (404, "user_not_found")


async def test_what_was_revoked_does_not_come_back_by_it(people: People) -> None:
    await people.org.admin.delete(f"{people.org.path}/apps/shop/users/ana")
    assert (await bind(people, (await invited(people))["token"])).status_code == 200
    assert await scopes_of(people, "ana") == ["orders:read"]


async def test_access_that_was_revoked_since_it_was_sent_stays_revoked(people: People) -> None:
    made = await invited(people)
    await people.org.admin.delete(f"{people.org.path}/apps/shop/users/ana")
    assert told(await bind(people, made["token"])) == NOT_GOOD
    access = (await people.org.admin.get(f"{people.org.path}/apps/shop/users/ana")).json()
    assert access["status"] == "revoked"
    again = (await do(people, made, "resend")).json()
    assert (await bind(people, again["token"])).status_code == 200, "whoever sends it again has decided anew"


async def test_only_who_has_the_token_by_that_address_proves_it(people: People) -> None:
    first, second = await invited(people), await invited(people)
    await people.org.admin.patch(people.ana, {"email": first["email"]})
    ana, proved = await token_of(people), []
    for token, by in ((first["token"], None), (second["token"], ana)):
        assert (await bind(people, token, by)).status_code == 200
        proved.append((await people.org.admin.get(people.ana)).json()["email_verified_at"] is not None)
    assert proved == [False, True]


async def test_of_several_to_one_address_each_may_be_accepted(people: People) -> None:
    first, second = await invited(people), await invited(people, scopes=["stock:read"])
    user = (await accept(people, first["token"])).json()
    assert (await bind(people, second["token"], user_id=user["id"])).status_code == 200
    assert await scopes_of(people, user["id"]) == ["orders:read", "stock:read"]


async def test_what_a_new_user_may_not_be_is_refused_and_the_token_stays_good(people: People, platform: Api) -> None:
    token = (await invited(people))["token"]
    answer = await accept(people, token, "ANA")
    assert (told(answer), places(answer)) == ((409, "username_taken"), ["/username"])
    for weak in ("short", "cy@example.com okoro"):
        assert told(await accept(people, token, password=weak, full_name="Okoro"))[1].startswith("password_too_")
    await platform.patch(people.org.path, {"settings": {"max_users": 1}})
    assert told(await accept(people, token)) == (409, "users_max_reached")
    assert (await invite(people)).status_code == 201, "the quota counts who accepts"
    await platform.patch(people.org.path, {"settings": {"max_users": 2}})
    assert (await accept(people, token)).status_code == 201


async def test_its_apps_and_scopes_are_judged_when_it_is_made_and_when_it_is_accepted(people: People) -> None:
    await people.org.admin.patch(f"{people.org.path}/apps/shop", {"settings": {"allowed_scopes": ["orders:*"]}})
    await people.org.admin.post(f"{people.org.path}/apps", {"id": "desk", "name": "Desk", "type": "desktop"})
    both: dict[str, Any] = {"app_ids": ["shop", "desk"]}
    refused = await invite(people, **both, scopes=["orders:read", "stock:read"])
    assert (told(refused), places(refused)) == ((400, "scope_not_allowed"), ["/scopes"]), "one of them does not"
    assert told(await invite(people, app_ids=[IDENTITY])) == (400, "not_a_management_scope")
    unknown = await invite(people, app_ids=["shop", "none"])
    assert (told(unknown), places(unknown)) == ((400, "app_not_found"), ["/app_ids"])
    narrowed, left = await invited(people), await invited(people, app_ids=["desk", "shop", "desk"])
    assert left["app_ids"] == ["desk", "shop"]
    await people.org.admin.patch(f"{people.org.path}/apps/shop", {"settings": {"allowed_scopes": ["stock:*"]}})
    assert told(await accept(people, narrowed["token"])) == NOT_GOOD
    await people.org.admin.delete(f"{people.org.path}/apps/shop")
    user = (await accept(people, left["token"])).json()
    granted = (await people.org.admin.get(f"{people.org.path}/users/{user['id']}/apps")).json()["items"]
    assert [(each["app_id"], each["scopes"]) for each in granted] == [("desk", ["orders:read"])]


MANAGING: dict[str, Any] = {"app_ids": [IDENTITY], "scopes": ["users:read"]}


async def test_nobody_invites_to_what_they_may_not_do(people: People) -> None:
    limited = await people.org.holding("users:write")
    assert told(await invite(people, limited, **MANAGING | {"scopes": ["apps:read"]})) == TOO_LOW
    made = await invited(people, **MANAGING | {"scopes": ["apps:read"]})
    assert told(await limited.post(f"{people.org.path}/invitations/{made['id']}/resend")) == TOO_LOW
    own = await invited(people, limited, **MANAGING)
    assert (await accept(people, own["token"])).json()["username"] == "cy"
    assert told(await accept(people, (await invited(people, limited))["token"], "dee")) == (409, "email_taken")


async def test_what_it_gives_over_this_service_its_inviter_must_hold_still(people: People) -> None:
    stores, id = people.org.stores, people.org.id
    key = await stores.app_keys.issue(id, IDENTITY, NewAppKey(name="limited", scopes=("users:write",)))
    caller = Api(people.org.client, key.key)
    made, business = await invited(people, caller, **MANAGING), await invited(people, caller)
    await stores.app_keys.update(id, IDENTITY, key.id, AppKeyChanges(scopes=("apps:write",)))
    assert told(await accept(people, made["token"])) == NOT_GOOD
    assert told(await bind(people, made["token"])) == NOT_GOOD
    await stores.app_keys.update(id, IDENTITY, key.id, AppKeyChanges(scopes=("users:write",)))
    await stores.app_keys.revoke(id, IDENTITY, key.id)
    assert told(await accept(people, made["token"])) == NOT_GOOD
    again = (await do(people, made, "resend")).json()
    assert (await accept(people, again["token"])).status_code == 201, "now it is another's"
    assert (await bind(people, business["token"])).status_code == 200, "of no rank is nothing asked"


async def test_so_must_a_user_who_invites_and_the_platform_may(people: People, platform: Api) -> None:
    stores, id = people.org.stores, people.org.id
    ana = await token_of(people, "users:write")
    made = [await invited(people, ana, **MANAGING, email=f"{n}@example.com") for n in range(2)]
    assert (await accept(people, made[0]["token"], "dee")).status_code == 201
    await stores.user_apps.revoke(id, IDENTITY, "ana")
    assert told(await accept(people, made[1]["token"])) == NOT_GOOD
    theirs = await invited(people, platform, **MANAGING)
    assert (await accept(people, theirs["token"])).status_code == 201
    new = NewInvitation(email="eve@example.com", app_ids=(IDENTITY,), scopes=("*",))
    assert (await accept(people, (await stores.invitations.create(id, new)).token, "eve")).status_code == 201


async def test_nor_does_it_wake_what_its_inviter_could_not(people: People) -> None:
    """A key of the user's that sleeps; and access that was revoked."""
    stores, id = people.org.stores, people.org.id
    limited = await people.org.holding("users:write")
    await stores.user_apps.grant(id, IDENTITY, "ana", Grant())
    await stores.app_keys.issue(id, IDENTITY, NewAppKey(name="own", user_id="ana", scopes=("apps:read",)))
    await stores.user_apps.revoke(id, IDENTITY, "ana")
    assert told(await bind(people, (await invited(people, limited, **MANAGING))["token"])) == NOT_GOOD
    assert (await bind(people, (await invited(people, **MANAGING))["token"])).status_code == 200


async def test_who_lost_rank_does_not_hear_a_token_again(people: People) -> None:
    app_keys, id = people.org.stores.app_keys, people.org.id
    key = await app_keys.issue(id, IDENTITY, NewAppKey(name="limited", scopes=("users:write", "apps:read")))
    caller, headers = Api(people.org.client, key.key), {"Idempotency-Key": "0" * 22}
    path, body = f"{people.org.path}/invitations", {"email": "cy@example.com", **MANAGING, "scopes": ["apps:read"]}
    made = await caller.post(path, body, headers=headers)
    assert (await caller.post(path, body, headers=headers)).content == made.content
    await app_keys.update(id, IDENTITY, key.id, AppKeyChanges(scopes=("users:write",)))
    assert told(await caller.post(path, body, headers=headers)) == TOO_LOW


async def test_strangers_have_an_allowance(people: People, settings: Settings) -> None:
    async with worker(settings.model_copy(update={"sign_ins_per_address": 1, "sign_ins_per_tenant": 1})) as client:
        tries = [
            await client.post(
                f"{people.org.path}/invitations/accept", json={"token": "x", "username": "c", "password": PHRASE}
            )
            for _ in "12"
        ]
    assert [answer.status_code for answer in tries] == [400, 429]


async def test_they_go_a_month_after_they_expired_and_with_their_user(people: People, database: Database) -> None:
    stores, id = people.org.stores, people.org.id
    young, old = [await invited(people) for _ in "12"]
    age = "UPDATE identity.invitations SET expires_at = now() - make_interval(days => %s) WHERE id = %s"
    execute(database.admin_url, age, 29, young["id"])
    execute(database.admin_url, age, 31, old["id"])
    await sweep_over_all(stores.invitations.sweep)
    left = {each.id for each in (await stores.invitations.list(id)).items}
    assert (young["id"] in left, old["id"] in left) == (True, False)
    taken = await invited(people)
    await bind(people, taken["token"])
    await stores.users.delete(id, "ana")
    await stores.users.purge(id, "ana", after_s=0)
    assert taken["id"] not in {each.id for each in (await stores.invitations.list(id)).items}


async def test_another_address_is_not_proved_by_it(people: People) -> None:
    made = await invited(people, email="ana@example.com")
    await people.org.stores.users.update(people.org.id, "ana", UserChanges(email="new@example.com"))
    assert (await bind(people, made["token"])).status_code == 200
    assert (await people.org.admin.get(people.ana)).json()["email_verified_at"] is None
