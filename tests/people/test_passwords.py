"""Passwords: what one must be, who may set it, and how one that was forgotten is set anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.errors import Invalid
from identity.passwords import judge
from identity.settings import Settings
from identity.user_apps import Grant
from identity.users import UserChanges
from tests.api.problems import places, told
from tests.conftest import PASSWORD, Api, Organisation
from tests.people.conftest import People, at, worker
from tests.server import Database, execute

OTHER = "seven blue kites over Ghent"
NAMES = ("ana", "Ana.Garcia@example.com", "Ana García")
GOOD = [OTHER, "kXv9-QpW2-mTzR-7Lbd", "ñandú œuvre Σίσυφος 鰐", "x" * 10 + " Q7 vrumf blot", OTHER * 9]
WEAK = ["passwordpassword", "aaaaaaaaaaaaaaaaaaaa", "qwertyuiopasdfghjkl", "ANA garcía 2026!", "ana.garcia@example.com"]


@pytest.mark.parametrize("password", GOOD)
def test_a_long_one_that_is_not_soon_guessed_is_good_whatever_it_is_made_of(password: str) -> None:
    judge(password, min_length=15, names=NAMES)


@pytest.mark.parametrize("password", WEAK)
def test_one_that_is_soon_guessed_is_refused(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        judge(password, min_length=15, names=NAMES)
    assert refused.value.code == "password_too_weak"


def test_a_common_one_is_refused_though_it_be_long_enough_in_any_case() -> None:
    with pytest.raises(Invalid, match="used most"):
        judge("PASSWORD1", min_length=8, names=())


def test_it_is_as_long_as_the_tenant_wants_it() -> None:
    judge(OTHER, min_length=len(OTHER), names=())
    with pytest.raises(Invalid, match="at least") as refused:
        judge(OTHER, min_length=len(OTHER) + 1, names=())
    assert refused.value.code == "password_too_short"


async def put(people: People, password: str = OTHER, caller: Api | None = None, **more: Any) -> Any:
    return await (caller or people.org.admin).put(f"{people.ana}/password", {"password": password}, **more)


async def test_the_policy_is_the_tenants(people: People) -> None:
    await people.org.admin.patch(people.org.path, {"settings": {"password_policy": {"min_length": 30}}})
    answer = await put(people)
    assert (told(answer), places(answer)) == ((400, "password_too_short"), ["/password"])
    await people.org.admin.patch(people.org.path, {"settings": {"password_policy": {"min_length": 12}}})
    assert (await put(people, "kXv9-QpW2-mT")).status_code == 200
    wrong = await people.org.admin.patch(people.org.path, {"settings": {"password_policy": {"min_length": 7}}})
    assert told(wrong)[0] == 400


async def test_it_is_taken_whole_and_as_it_is_given(people: People) -> None:
    for password in (" " + OTHER + " ", OTHER + "\u0301" + "é" * 200, "\ufb01ve blue kites \U0001f600 over Ghent"):
        assert (await put(people, password)).status_code == 200
        assert (await people.sign_in(password)).status_code == 201
        assert (await people.sign_in(password.strip()[:-1])).status_code == 401
    assert (await people.sign_in("five blue kites \U0001f600 over Ghent")).status_code == 401


async def test_any_change_ends_all_sessions(people: People) -> None:
    await people.signed_in()
    answer = await put(people)
    assert answer.json()["sessions_ended"] == 2
    assert await people.session_ids() == []
    assert (await people.refresh(people.org.signed_in.refresh_token)).status_code == 400
    began = await people.signed_in(password=OTHER)
    changed = await people.org.admin.post(f"{people.ana}/password", {"old_password": OTHER, "password": PASSWORD})
    assert (changed.status_code, changed.json()["sessions_ended"]) == (200, 1)
    assert (await people.refresh(began["refresh_token"])).status_code == 400


async def test_nobody_sets_the_password_of_who_may_do_more(people: People) -> None:
    limited = await people.org.holding("users:write", "apps:read")
    stores, id = people.org.stores, people.org.id
    reset = f"{people.ana}/password-reset"
    assert (await put(people, caller=limited)).status_code == 200
    await stores.user_apps.grant(id, IDENTITY, "ana", Grant(scopes=("users:read", "apps:write")))
    for answer in (await put(people, caller=limited), await limited.post(reset)):
        assert told(answer) == (403, "insufficient_rank")
    await stores.user_apps.revoke(id, IDENTITY, "ana")
    assert told(await put(people, caller=limited)) == (403, "insufficient_rank"), "it is granted again at a word"
    for change in ({"username": "ann"}, {"email": "ann@example.com"}):
        assert told(await limited.patch(people.ana, change)) == (403, "insufficient_rank")
    await stores.user_apps.grant(id, IDENTITY, "ana", Grant(scopes=("users:read",)))
    assert (await put(people, caller=limited)).status_code == 200
    await stores.app_keys.issue(id, IDENTITY, NewAppKey(name="ana", user_id="ana", scopes=("keys:read",)))
    assert told(await limited.post(reset)) == (403, "insufficient_rank")


async def test_nobody_grants_what_they_may_not_do(people: People) -> None:
    limited = await people.org.holding("users:write")
    path = f"{people.org.path}/apps/{IDENTITY}/users/ana"
    assert told(await limited.put(path, {"scopes": ["apps:read"]})) == (403, "insufficient_rank")
    assert told(await people.org.admin.put(path, {"scopes": ["orders:read"]})) == (400, "not_a_management_scope")
    assert (await limited.put(path, {"scopes": ["users:read"]})).json()["scopes"] == ["users:read"]
    await people.org.admin.patch(f"{people.org.path}/apps/shop", {"settings": {"allowed_scopes": ["orders:*"]}})
    business = f"{people.org.path}/apps/shop/users/ana"
    assert told(await limited.put(business, {"scopes": ["stock:read"]})) == (400, "scope_not_allowed")
    assert (await limited.put(business, {"scopes": ["orders:read"]})).json()["scopes"] == ["orders:read"]


async def test_granting_once_more_takes_no_scope_away_unless_it_says_so(people: People) -> None:
    path = f"{people.org.path}/apps/shop/users/ana"
    had = ["orders:*", "stock:read"]
    assert (await people.org.admin.put(path)).json()["scopes"] == had
    assert (await people.org.admin.put(path, {})).json()["scopes"] == had
    await people.org.admin.delete(path)
    await people.org.stores.user_apps.grant_many(people.org.id, "shop", ["ana"])
    assert (await people.org.admin.get(path)).json()["scopes"] == had, "as it was before it was revoked"
    await people.org.admin.patch(f"{people.org.path}/apps/shop", {"settings": {"allowed_scopes": ["orders:*"]}})
    assert (await people.org.admin.put(path)).json()["scopes"] == had, "judged were they when they were given"
    assert told(await people.org.admin.put(path, {"scopes": ["stock:*"]})) == (400, "scope_not_allowed")
    assert (await people.org.admin.put(path, {"scopes": []})).json()["scopes"] == []
    assert (await people.org.admin.put(path, {"scopes": ["orders:read"]})).json()["scopes"] == ["orders:read"]


async def token_of(people: People, *scopes: str) -> Api:
    """Ana herself, at our own API."""
    await people.org.stores.user_apps.grant(people.org.id, IDENTITY, "ana", Grant(scopes=scopes))
    return Api(people.org.client, (await people.signed_in(app_id=IDENTITY))["access_token"])


async def test_somebody_changes_their_own_password_by_the_old_one(people: People) -> None:
    await people.org.admin.post(f"{people.org.path}/users", {"id": "bob", "username": "bob"})
    ana = await token_of(people)
    change = {"old_password": PASSWORD, "password": OTHER}
    assert told(await ana.post(f"{people.org.path}/users/bob/password", change)) == (403, "insufficient_scope")
    assert told(await ana.put(f"{people.ana}/password", {"password": OTHER})) == (403, "insufficient_scope")
    assert told(await ana.post(f"{people.ana}/password", change | {"password": "short"})) == (400, "password_too_short")
    assert (await ana.post(f"{people.ana}/password", change)).status_code == 200
    assert told(await ana.get(f"{people.ana}/sessions")) == (401, "invalid_token"), "this session ended with the others"
    assert (await people.sign_in(OTHER)).status_code == 201


async def test_wrong_old_passwords_pause_changing_it_and_not_signing_in(people: People) -> None:
    lockout = {"failures": 2, "window_s": 900, "pause_s": 60}
    await people.org.admin.patch(people.org.path, {"settings": {"lockout": lockout}})
    ana = await token_of(people)
    for old in ("wrong", "wrong", PASSWORD):
        answer = await ana.post(f"{people.ana}/password", {"old_password": old, "password": OTHER})
        assert told(answer) == (403, "old_password_wrong")
    assert (await people.sign_in()).status_code == 201
    assert (await ana.get(f"{people.ana}/sessions")).status_code == 200
    exported = (await people.org.admin.get(f"{people.ana}/export")).json()
    assert (exported["failures"], exported["known_failures"]["failures"]) == (None, 2)
    assert (await put(people, PASSWORD)).status_code == 200
    change = {"old_password": PASSWORD, "password": OTHER}
    assert (await people.org.admin.post(f"{people.ana}/password", change)).status_code == 200, "that ended the pause"


async def test_strangers_keep_nobody_from_changing_their_password(
    people: People, settings: Settings, database: Database
) -> None:
    """Whatever allowance, pause or queue they use up."""
    lockout = {"failures": 1, "window_s": 900, "pause_s": 60}
    await people.org.admin.patch(people.org.path, {"settings": {"lockout": lockout}})
    ana, change = await token_of(people), {"old_password": PASSWORD, "password": OTHER}
    async with worker(settings.model_copy(update={"sign_ins_per_tenant": 1})) as client:
        assert (await at(people, client).sign_in("wrong")).status_code == 401
        assert (await at(people, client).sign_in()).status_code == 429
        changed = await Api(client, ana.key).post(f"{people.ana}/password", change)
        assert changed.status_code == 200, changed.text
        again = await Api(client, people.org.admin.key).post(f"{people.ana}/password", change)
        assert again.status_code == 429, "they have an allowance too"


async def test_nor_do_they_fill_the_queue_for_who_is_known(people: People, settings: Settings) -> None:
    ana, change = await token_of(people), {"old_password": PASSWORD, "password": OTHER}
    async with worker(settings.model_copy(update={"password_threads": 1, "password_queue": 4})) as client:
        crowd = [asyncio.ensure_future(at(people, client).sign_in(login=f"nobody{n}")) for n in range(24)]
        await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        changed = await Api(client, ana.key).post(f"{people.ana}/password", change)
        assert changed.status_code == 200, changed.text
        assert {answer.status_code for answer in await asyncio.gather(*crowd)} == {401, 503}


async def test_of_two_changes_by_the_same_old_password_one_is_done(people: People) -> None:
    stores, id = people.org.stores, people.org.id
    holder = await stores.passwords.find(id, user_id="ana")
    assert holder is not None
    change = {"old_password": PASSWORD, "password": OTHER}
    answers = await asyncio.gather(*(people.org.admin.post(f"{people.ana}/password", change) for _ in "12"))
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 412])


async def reset(people: People, **body: Any) -> str:
    answer = await people.org.admin.post(f"{people.ana}/password-reset", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


async def redeem(people: People, token: str, password: str = OTHER, org: Organisation | None = None) -> Any:
    return await people.api.post(f"{(org or people.org).path}/password-reset", {"token": token, "password": password})


async def test_a_reset_sets_a_password_once(people: People) -> None:
    token = await reset(people)
    assert told(await redeem(people, token, "short")) == (400, "password_too_short"), "and it is good still"
    answer = await redeem(people, token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await people.session_ids() == []
    again = await redeem(people, token, PASSWORD)
    assert (told(again), places(again)) == ((400, "reset_not_good"), ["/token"])
    assert (await people.sign_in(OTHER)).status_code == 201
    assert (await people.org.admin.get(people.ana)).json()["email_verified_at"] is None


async def test_of_many_who_redeem_one_token_one_does(people: People) -> None:
    token = await reset(people)
    answers = await asyncio.gather(*(redeem(people, token, f"{OTHER} {n}") for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 5


async def test_one_that_was_sent_by_email_proves_the_address_unless_it_changed(people: People) -> None:
    await redeem(people, await reset(people, by_email=True))
    found = (await people.org.admin.get(people.ana)).json()
    assert found["email_verified_at"] is not None
    for email, is_proved in (("ANA@example.com", True), ("other@example.com", False)):
        changed = await people.org.admin.patch(people.ana, {"email": email})
        assert (changed.json()["email_verified_at"] is not None) == is_proved
    token = await reset(people, by_email=True)
    await people.org.stores.users.update(people.org.id, "ana", UserChanges(email="new@example.com"))
    assert (await redeem(people, token)).status_code == 204
    assert (await people.org.admin.get(people.ana)).json()["email_verified_at"] is None
    await people.org.stores.users.update(people.org.id, "ana", UserChanges(email=None))
    assert told(await people.org.admin.post(f"{people.ana}/password-reset", {"by_email": True})) == (409, "no_email")


NOT_GOOD = {
    "an hour later": "UPDATE identity.password_resets SET expires_at = now() WHERE tenant_id = %s",
    "the user deleted": "UPDATE identity.users SET deleted_at = now() WHERE tenant_id = %s",
    "the tenant suspended": "UPDATE identity.tenants SET status = 'suspended' WHERE id = %s",
}


@pytest.mark.parametrize("what", NOT_GOOD)
async def test_a_token_is_good_for_an_hour_and_for_who_is_there(people: People, database: Database, what: str) -> None:
    token = await reset(people)
    execute(database.admin_url, NOT_GOOD[what], people.org.id)
    assert told(await redeem(people, token)) == (400, "reset_not_good")


async def test_a_token_is_good_here_and_the_last_one_alone(people: People, other_org: Organisation) -> None:
    first, last = await reset(people), await reset(people)
    assert told(await redeem(people, first)) == (400, "reset_not_good")
    assert told(await redeem(people, last, org=other_org)) == (400, "reset_not_good")
    await put(people, PASSWORD)
    assert told(await redeem(people, last)) == (400, "reset_not_good"), "another password was set meanwhile"


async def test_one_sets_ones_own_by_the_old_one_alone(people: People) -> None:
    """Whoever took somebody's session would else have their account."""
    await people.org.stores.user_apps.grant(people.org.id, IDENTITY, "ana", Grant(scopes=("users:write",)))
    given = {"login": "ana", "password": PASSWORD, "app_id": IDENTITY}
    began = await people.api.post(f"{people.org.path}/sessions", given)
    ana = Api(people.org.client, began.json()["access_token"])
    for answer in (
        await ana.put(f"{people.ana}/password", {"password": "another one that is long"}),
        await ana.post(f"{people.ana}/password-reset", {}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_rank")
