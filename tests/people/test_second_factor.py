"""A second factor: who has one is asked for it, each code is good once, and nobody gets past it by guessing."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pyotp
import pytest
from pydantic import SecretStr

from identity.apps import IDENTITY
from identity.cli.start import new_secret_key
from identity.factors import Proof, find_step
from identity.sessions import NewSession
from identity.settings import Settings
from identity.sign_in_challenges import NewChallenge
from identity.stores import LIFETIMES
from identity.tenants import PLATFORM
from identity.tokens import KeyRing
from identity.user_apps import Grant
from identity.users import NewUser
from tests.api.problems import told
from tests.cli.shell import shell_for
from tests.conftest import PASSWORD, Api, Organisation, password_hash
from tests.edge.canaries import found_in
from tests.people.conftest import SAME_ID, People, at, waits, worker
from tests.people.test_lockout import LOCKOUT, PASSES
from tests.people.test_passwords import token_of
from tests.people.test_secrets import TABLES
from tests.server import Database, execute

FAILED = (401, "sign_in_failed")
WRONG_CODE = (403, "factor_code_wrong")
FAILURES = "SELECT failures FROM identity.sign_in_failures WHERE tenant_id = %s"
NOBODYS = "aaaaa-bbbbb-ccccc-ddddd"


def code(secret: str, steps: int = 0) -> str:
    """Of the present step, or of the next one; it stays good for as long as a test takes."""
    return pyotp.TOTP(secret).at(int(time.time()), counter_offset=steps)


def wrong(secret: str) -> str:
    near = {code(secret, steps) for steps in range(-2, 4)}
    return next(f"{number:06}" for number in range(10) if f"{number:06}" not in near)


async def enrol(people: People, caller: Api | None = None) -> dict[str, Any]:
    answer = await (caller or people.org.admin).post(f"{people.ana}/factors")
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def act(people: People, id: str, verb: str, caller: Api | None = None, **body: Any) -> httpx2.Response:
    return await (caller or people.org.admin).post(f"{people.ana}/factors/{id}/{verb}", body)


async def confirmed(people: People) -> dict[str, Any]:
    """Hers, with its secret and its recovery codes."""
    enrolled = await enrol(people)
    answer = await act(people, enrolled["id"], "confirm", totp=code(enrolled["secret"]))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return enrolled | found


async def answer(people: People, token: str, path: str = "mfa", org: Organisation | None = None, **given: Any) -> Any:
    path = f"{(org or people.org).path}/{path}"
    return await people.api.post(path, {"mfa_token": token, **given}, headers=SAME_ID)


async def require(people: People) -> None:
    await people.org.admin.patch(people.org.path, {"settings": {"require_mfa": True}})


async def test_who_has_one_is_asked_for_it_and_a_code_opens_once(people: People) -> None:
    factor = await confirmed(people)
    listed = (await people.org.admin.get(f"{people.ana}/factors")).json()["items"]
    assert [(each["id"], each["recovery_codes_left"]) for each in listed] == [(factor["id"], 10)]
    failed = await people.sign_in("wrong")
    asked = await people.sign_in(scope="orders:read")
    assert told(asked) == (401, "mfa_required")
    token = asked.json()["mfa_token"]
    assert (asked.json()["expires_in"], asked.json()["enrolled"]) == (600, True)
    spent, next = code(factor["secret"]), code(factor["secret"], 1)
    refused = [
        await answer(people, token, totp=spent),
        await answer(people, token, totp=wrong(factor["secret"])),
        await answer(people, token),
        await answer(people, token, recovery_code=NOBODYS),
        await answer(people, token, "mfa/enrol"),
        await answer(people, token[:-1] + "x", totp=next),
        await people.sign_in(totp=wrong(factor["secret"])),
        await people.sign_in("wrong", totp=next),
    ]
    opened = await answer(people, token, totp=next)
    assert (opened.status_code, opened.json()["scope"], opened.json()["recovery_codes"]) == (201, "orders:read", [])
    assert (await people.refresh(opened.json()["refresh_token"])).status_code == 200
    refused += [await answer(people, token, totp=next), await people.sign_in(totp=next)]
    assert [(each.content, each.headers) for each in refused] == [(failed.content, failed.headers)] * len(refused)


async def test_a_code_came_along_with_the_password(people: People) -> None:
    assert (await people.sign_in(totp="000000")).status_code == 201, "nobody asked for it"
    factor = await confirmed(people)
    assert (await people.sign_in(totp=code(factor["secret"], 1))).status_code == 201


async def test_of_twenty_who_come_with_one_code_one_gets_in(people: People) -> None:
    factor = await confirmed(people)
    tokens = [await people.challenge() for _ in range(20)]
    totp = code(factor["secret"], 1)
    answers = await asyncio.gather(*(answer(people, token, totp=totp) for token in tokens))
    assert sorted(each.status_code for each in answers) == [201] + [401] * 19


async def test_of_twenty_workers_who_take_one_code_one_does(people: People, settings: Settings) -> None:
    """The statement decides, whatever each has read before."""
    factor, stores = await confirmed(people), people.org.stores
    held = await stores.factors.hold(people.org.id, "ana")
    assert held is not None
    keys = settings.secret_keys
    for proof in (Proof(totp=code(factor["secret"], 1)), Proof(recovery_code=factor["recovery_codes"][0])):
        taken = await asyncio.gather(*(stores.factors.prove(held, proof, keys) for _ in range(20)))
        assert sum(taken) == 1


async def test_codes_of_one_user_are_judged_one_after_another(people: People) -> None:
    """So that each guess has counted before the next: on whichever workers they are."""
    stores, id = people.org.stores, people.org.id

    async def next_one() -> bool:
        async with stores.transaction() as tx:
            held = await tx.factors.hold(id, "ana")
            return held is not None and held.is_paused

    async with stores.transaction() as tx:
        assert await tx.factors.hold(id, "ana") is not None
        task = asyncio.ensure_future(next_one())
        assert await waits(task)
        await tx.sign_ins.failed(id, "ana", failures=1, window_s=900, pause_s=60)
    assert await task is True


async def test_a_right_guess_that_a_pause_overtook_is_told_nothing(people: People) -> None:
    stores, id = people.org.stores, people.org.id
    holder = await stores.passwords.find(id, user_id="ana")
    assert holder is not None
    await stores.sign_ins.failed(id, "ana", failures=1, window_s=900, pause_s=60)
    new = NewChallenge("ana", "shop", None, holder.changed_at)
    assert await stores.challenges.create(id, holder.ref, new) is None


async def test_one_answer_to_a_challenge_gets_in(people: People) -> None:
    """Though each comes with a good code of its own."""
    factor, token = await confirmed(people), await people.challenge()
    codes = factor["recovery_codes"]
    answers = await asyncio.gather(*(answer(people, token, recovery_code=each) for each in codes))
    assert sorted(each.status_code for each in answers) == [201] + [401] * 9


async def test_an_answer_and_the_end_of_access_meet_in_no_circle(people: People, database: Database) -> None:
    """Whoever ends access holds that first, and then wants what waits for a second factor: so does the answer."""
    factor, token = await confirmed(people), await people.challenge()
    whose = "WHERE tenant_id = %s AND app_id = 'shop' AND user_id = 'ana'"
    with psycopg.connect(database.admin_url) as ending:
        ending.execute(f"SELECT 1 FROM identity.user_apps {whose} FOR NO KEY UPDATE", [people.org.id])
        task = asyncio.ensure_future(answer(people, token, totp=code(factor["secret"], 1)))
        assert await waits(task), "for the access"
        revoke = f"UPDATE identity.user_apps SET status = 'revoked', revoked_at = now() {whose}"
        await asyncio.to_thread(ending.execute, revoke, [people.org.id])
    assert told(await task) == FAILED


def test_a_phones_clock_may_be_wrong_by_one_step() -> None:
    secret, now_s = pyotp.random_base32(), 1_800_000_015
    found = [find_step(secret, pyotp.TOTP(secret).at(now_s, counter_offset=steps), now_s) for steps in range(-2, 3)]
    step = now_s // 30
    assert found == [None, step - 1, step, step + 1, None]


async def recovery_code_of_bob(people: People) -> str:
    bob = f"{people.org.path}/users/bob/factors"
    await people.org.admin.post(f"{people.org.path}/users", {"id": "bob", "username": "bob"})
    enrolled = (await people.org.admin.post(bob)).json()
    done = await people.org.admin.post(f"{bob}/{enrolled['id']}/confirm", {"totp": code(enrolled["secret"])})
    found: str = done.json()["recovery_codes"][0]
    return found


async def test_a_recovery_code_is_good_once_however_it_is_typed(people: People) -> None:
    factor = await confirmed(people)
    first = factor["recovery_codes"][0]
    assert (len(set(factor["recovery_codes"])), len(first)) == (10, 23)
    typed = first.upper().replace("-", " ")
    assert (await answer(people, await people.challenge(), recovery_code=typed)).status_code == 201
    assert told(await answer(people, await people.challenge(), recovery_code=first)) == FAILED
    assert (
        told(await answer(people, await people.challenge(), recovery_code=await recovery_code_of_bob(people))) == FAILED
    )
    left = await people.org.admin.get(f"{people.ana}/factors/{factor['id']}")
    assert left.json()["recovery_codes_left"] == 9


async def test_who_has_none_where_one_must_be_enrols_at_sign_in(people: People) -> None:
    await require(people)
    for more in ({}, {"totp": "000000"}):
        asked = await people.sign_in(**more)
        assert (told(asked), asked.json()["enrolled"]) == ((401, "mfa_required"), False)
    token = asked.json()["mfa_token"]
    stale = (await answer(people, token, "mfa/enrol")).json()
    enrolled = (await answer(people, token, "mfa/enrol")).json()
    read = pyotp.parse_uri(enrolled["otpauth_uri"])
    assert (read.secret, read.name, read.issuer) == (enrolled["secret"], "ana", f"Organisation {people.org.id}")
    for totp in (code(stale["secret"]), wrong(enrolled["secret"])):
        assert told(await answer(people, token, totp=totp)) == FAILED
    opened = await answer(people, token, totp=code(enrolled["secret"]))
    assert (opened.status_code, len(opened.json()["recovery_codes"])) == (201, 10)
    assert told(await answer(people, token, "mfa/enrol")) == FAILED
    asked = await people.sign_in()
    assert asked.json()["enrolled"] is True
    assert told(await answer(people, asked.json()["mfa_token"], "mfa/enrol")) == FAILED
    again = await answer(people, asked.json()["mfa_token"], recovery_code=opened.json()["recovery_codes"][3])
    assert again.status_code == 201


async def test_whether_one_is_needed_is_judged_by_the_statement_that_makes_the_session(people: People) -> None:
    stores, id = people.org.stores, people.org.id
    holder = await stores.passwords.find(id, user_id="ana")
    assert holder is not None

    async def begins(factor_id: str | None) -> bool:
        new = NewSession("ana", "shop", None, "", "", holder.changed_at, factor_id)
        return await stores.sessions.create(id, holder.ref, new, LIFETIMES) is not None

    assert [await begins(None), await begins(people.org.factor_id)] == [True, False]
    await require(people)
    assert [await begins(None), await begins(people.org.factor_id)] == [False, False]
    await people.org.admin.patch(people.org.path, {"settings": {"require_mfa": None}})
    factor = await confirmed(people)
    assert [await begins(None), await begins(factor["id"])] == [False, True]


async def test_somebody_replaces_theirs_by_a_code_of_it_alone(people: People) -> None:
    ana = await token_of(people)
    first = await enrol(people, ana)
    done = await act(people, first["id"], "confirm", ana, totp=code(first["secret"]))
    codes = done.json()["recovery_codes"]
    second = await enrol(people, ana)
    confirming = {"totp": code(second["secret"])}
    for old in ({}, {"old_totp": code(first["secret"])}, {"recovery_code": NOBODYS}):
        assert told(await act(people, second["id"], "confirm", ana, **confirming, **old)) == WRONG_CODE
    assert told(await act(people, first["id"], "confirm", ana, **confirming)) == (409, "already_confirmed")
    assert told(await act(people, first["id"], "remove", ana)) == WRONG_CODE
    replaced = await act(people, second["id"], "confirm", ana, **confirming, recovery_code=codes[0])
    assert replaced.status_code == 200, replaced.text
    [left] = (await ana.get(f"{people.ana}/factors")).json()["items"]
    assert left["id"] == second["id"]
    for dead in ({"recovery_code": codes[1]}, {"totp": code(first["secret"], 1)}):
        assert told(await answer(people, await people.challenge(), **dead)) == FAILED
    assert told(await ana.post(f"{people.ana}/reset-factors")) == (403, "insufficient_scope")
    third = await enrol(people, ana)
    assert (await act(people, third["id"], "remove", ana)).status_code == 200, "nobody is asked for it yet"
    assert (await act(people, second["id"], "remove", ana, totp=code(second["secret"], 1))).status_code == 200
    assert (await people.sign_in()).status_code == 201


async def test_nobody_touches_that_of_who_may_do_more(people: People) -> None:
    limited, own = await people.org.holding("users:write"), await token_of(people, "users:write", "apps:write")
    factor = await enrol(people)
    refused = [
        await limited.post(f"{people.ana}/factors"),
        await act(people, factor["id"], "confirm", limited, totp=code(factor["secret"])),
        await act(people, factor["id"], "remove", limited),
        await limited.post(f"{people.ana}/reset-factors"),
        await own.post(f"{people.ana}/reset-factors"),
    ]
    assert [told(each) for each in refused] == [(403, "insufficient_rank")] * len(refused)
    await people.org.stores.user_apps.grant(people.org.id, IDENTITY, "ana", Grant(scopes=("users:read",)))
    assert (await act(people, factor["id"], "confirm", limited, totp=code(factor["secret"]))).status_code == 200
    other = await enrol(people, limited)
    assert (await act(people, other["id"], "confirm", limited, totp=code(other["secret"]))).status_code == 200


async def test_a_reset_takes_all_of_it_away_and_what_waits_for_it(people: People) -> None:
    factor, token = await confirmed(people), await people.challenge()
    await enrol(people)
    done = await people.org.admin.post(f"{people.ana}/reset-factors")
    assert done.json() == {"user_id": "ana", "factors_removed": 2, "challenges_ended": 1}
    for given in ({"totp": code(factor["secret"], 1)}, {"recovery_code": factor["recovery_codes"][0]}):
        assert told(await answer(people, token, **given)) == FAILED
    assert (await people.sign_in()).status_code == 201
    nobodys = await people.org.admin.post(f"{people.org.path}/users/nobody/reset-factors")
    assert told(nobodys) == (404, "user_not_found")


async def test_who_ends_what_it_hangs_on_waits_for_one_that_is_being_made(people: People) -> None:
    """And then sees it: suspended and active again, nobody goes on from before."""
    stores, id = people.org.stores, people.org.id
    async with stores.transaction() as tx:
        token = await people.challenge(tx)
        task = asyncio.ensure_future(stores.users.suspend(id, "ana"))
        assert await waits(task)
    await task
    await stores.users.activate(id, "ana")
    assert told(await answer(people, token, "mfa/enrol")) == FAILED


ENDS: dict[str, Any] = {
    "another password": lambda p, s: s.passwords.set(p.org.id, "ana", password_hash()),
    "suspended": lambda p, s: s.users.suspend(p.org.id, "ana"),
    "access revoked": lambda p, s: s.user_apps.revoke(p.org.id, "shop", "ana"),
    "tenant suspended": lambda p, s: s.tenants.suspend(p.org.id),
    "app disabled": lambda p, s: s.apps.disable(p.org.id, "shop"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_challenge_does_not_outlive_what_it_hangs_on(people: People, end: str) -> None:
    token = await people.challenge()
    assert (await answer(people, token, "mfa/enrol")).status_code == 201
    await ENDS[end](people, people.org.stores)
    assert told(await answer(people, token, "mfa/enrol")) == FAILED


async def test_a_challenge_is_good_for_ten_minutes(people: People, database: Database) -> None:
    factor, token = await confirmed(people), await people.challenge()
    expire = "UPDATE identity.sign_in_challenges SET expires_at = now() WHERE tenant_id = %s"
    execute(database.admin_url, expire, people.org.id)
    assert told(await answer(people, token, totp=code(factor["secret"], 1))) == FAILED


async def test_guesses_count_together_with_wrong_passwords_also_all_at_once(people: People, database: Database) -> None:
    await people.org.admin.patch(people.org.path, {"settings": {"lockout": LOCKOUT}})
    factor, token = await confirmed(people), await people.challenge()
    guesses = [wrong(factor["secret"])] * 4 + [code(factor["secret"], 1)]
    await people.sign_in("wrong")
    for each in guesses[:2]:
        assert told(await answer(people, token, totp=each)) == FAILED
    for given in ({"totp": guesses[-1]}, {"recovery_code": factor["recovery_codes"][0]}):
        assert told(await answer(people, token, **given)) == FAILED
    assert told(await act(people, factor["id"], "remove", await people.org.holding("users:read"))) == (
        403,
        "insufficient_scope",
    )
    assert told(await people.sign_in()) == FAILED
    assert (await people.refresh(people.org.signed_in.refresh_token)).status_code == 200
    execute(database.admin_url, PASSES, people.org.id)
    assert (await answer(people, token, totp=guesses[-1])).status_code == 201


def with_keys(settings: Settings, *keys: str) -> Settings:
    """The first seals, and the second still opens."""
    given = dict(zip(("secret_key", "secret_key_previous"), map(SecretStr, keys), strict=False))
    return settings.model_copy(update=given)


async def test_a_code_that_nobody_can_judge_counts_for_nothing(
    people: People, settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ana, factor = await token_of(people), await confirmed(people)
    pending, token = await enrol(people, ana), await people.challenge()
    async with worker(with_keys(settings, new_secret_key())) as client:
        blind, own = at(people, client), Api(client, ana.key)
        unread = [
            await answer(blind, token, totp=code(factor["secret"], 1)),
            await blind.sign_in(totp=code(factor["secret"], 1)),
            await act(blind, factor["id"], "remove", own, totp=code(factor["secret"], 1)),
            await act(blind, pending["id"], "confirm", own, totp=code(pending["secret"])),
        ]
        assert {(each.status_code, each.json()["code"]) for each in unread} == {(503, "factor_unreadable")}
        assert caplog.text.count("sealed under another secret key") == len(unread)
        assert told(await blind.sign_in("wrong", totp=code(factor["secret"], 1))) == FAILED, "nobody else is told"
        [failures] = execute(database.admin_url, FAILURES, people.org.id)
        assert failures == (1,), "the password's"
        assert (await answer(blind, token, recovery_code=factor["recovery_codes"][0])).status_code == 201


async def test_a_secret_key_is_changed_and_nobody_notices(
    people: People, other_org: Organisation, settings: Settings, database: Database, tmp_path: Path
) -> None:
    await people.org.stores.tenants.delete(other_org.id)
    kept = "SELECT secret FROM identity.factors WHERE tenant_id = %s"
    sealed = execute(database.admin_url, kept, other_org.id)
    factor = await confirmed(people)
    pending, stores = await enrol(people), people.org.stores
    assert settings.secret_key is not None
    old, new = settings.secret_key.get_secret_value(), new_secret_key()
    changing, changed = with_keys(settings, new, old), with_keys(settings, new)
    before, _ = await KeyRing(stores.signing_keys, settings.secret_keys).signing()
    async with worker(changing) as client:
        opened = await answer(at(people, client), await people.challenge(), totp=code(factor["secret"], 1))
        assert opened.status_code == 201
    shell = shell_for(changing, tmp_path, secret_key_previous=old)
    counts = [await asyncio.to_thread(shell.answer, "reseal") for _ in "12"]
    assert [each["resealed"] > 2 for each in counts] == [True, False]
    assert execute(database.admin_url, kept, other_org.id) != sealed, "also of who may come back"
    assert counts[1]["as_they_were"] == counts[0]["resealed"]
    async with worker(changed) as client:
        later, api = at(people, client), Api(client, people.org.admin.key)
        assert (await act(later, pending["id"], "confirm", api, totp=code(pending["secret"]))).status_code == 200
    assert (await KeyRing(stores.signing_keys, changed.secret_keys).signing())[0] == before
    back = shell_for(with_keys(settings, old, new), tmp_path, secret_key_previous=new)
    await asyncio.to_thread(back.answer, "reseal")


async def test_own_guesses_at_our_own_api_count_apart_from_those_of_strangers(
    people: People, database: Database
) -> None:
    await people.org.admin.patch(people.org.path, {"settings": {"lockout": LOCKOUT | {"failures": 2}}})
    ana = await token_of(people)
    factor = await enrol(people, ana)
    for _ in "12":
        assert told(await act(people, factor["id"], "confirm", ana, totp=wrong(factor["secret"]))) == WRONG_CODE
    assert told(await act(people, factor["id"], "confirm", ana, totp=code(factor["secret"]))) == WRONG_CODE
    assert (await people.sign_in()).status_code == 201, "who knows the password is another"
    for _ in "12":
        await people.sign_in("wrong")
    assert told(await people.sign_in()) == FAILED
    execute(database.admin_url, PASSES, people.org.id)
    done = await act(people, factor["id"], "confirm", ana, totp=code(factor["secret"]))
    for _ in "12":
        assert told(await act(people, factor["id"], "remove", ana, recovery_code=NOBODYS)) == WRONG_CODE
    good = {"recovery_code": done.json()["recovery_codes"][0]}
    assert told(await act(people, factor["id"], "remove", ana, **good)) == WRONG_CODE, "in a pause"


async def test_who_has_a_credential_may_try_codes_only_so_often(people: People, settings: Settings) -> None:
    few = settings.model_copy(update={"sign_ins_per_address": 1})
    async with worker(few) as client:
        admin, none = Api(client, people.org.admin.key), f"{people.ana}/factors/none"
        tried = [await admin.post(f"{none}/{verb}", {"totp": "000000"}) for verb in ("confirm", "confirm", "remove")]
    assert [answer.status_code for answer in tried] == [404, 429, 429]


async def test_another_tenant_sees_nothing(people: People, other_org: Organisation) -> None:
    factor, token = await confirmed(people), await people.challenge()
    for path in ("factors", f"factors/{factor['id']}"):
        assert told(await other_org.admin.get(f"{people.ana}/{path}")) == (404, "tenant_not_found")
    theirs = f"{other_org.path}/users/ana/factors/{factor['id']}"
    assert told(await other_org.admin.get(theirs)) == (404, "factor_not_found")
    assert told(await other_org.admin.post(f"{theirs}/remove")) == (404, "factor_not_found")
    given: dict[str, Any] = {"totp": code(factor["secret"], 1)}
    assert told(await answer(people, token, org=other_org, **given)) == FAILED
    assert (await answer(people, token, **given)).status_code == 201


async def test_the_platforms_own_users_are_nobody_elsewhere(people: People, platform: Api) -> None:
    """Whatever their ids: one may be called as somebody of a tenant is."""
    stores = people.org.stores
    await stores.users.create(PLATFORM, NewUser(id="ana", username="ana"))
    await stores.user_apps.grant(PLATFORM, IDENTITY, "ana", Grant())
    await stores.passwords.set(PLATFORM, "ana", password_hash())
    given = {"login": "ana", "password": PASSWORD, "app_id": IDENTITY}
    began = await people.api.post(f"/v1/tenants/{PLATFORM}/sessions", given)
    namesake = Api(people.org.client, began.json()["access_token"])
    for path in ("factors", "sessions"):
        assert (await namesake.get(f"/v1/tenants/{PLATFORM}/users/ana/{path}")).status_code == 200
        assert told(await namesake.get(f"{people.ana}/{path}")) == (403, "insufficient_scope")
    assert told(await namesake.post(f"{people.ana}/factors")) == (403, "insufficient_scope")
    await stores.user_apps.grant(PLATFORM, IDENTITY, "ana", Grant(scopes=("users:read",)))
    namesake = Api(
        people.org.client, (await people.api.post(f"/v1/tenants/{PLATFORM}/sessions", given)).json()["access_token"]
    )
    assert told(await namesake.get(f"{people.ana}/export")) == (403, "insufficient_scope")


async def test_secrets_and_codes_are_in_no_log_no_problem_and_no_dump(
    people: People, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    factor = await confirmed(people)
    asked = await people.sign_in()
    token, mistyped = asked.json()["mfa_token"], "canary-code-mistyped"
    problems = [
        await answer(people, token, totp=wrong(factor["secret"])),
        await answer(people, token, recovery_code=mistyped),
        await answer(people, token, totp=mistyped),
        await act(people, factor["id"], "confirm", totp=mistyped),
        await answer(people, token + "x", recovery_code=factor["recovery_codes"][0]),
    ]
    assert all(each.status_code >= 400 for each in problems)
    secrets = [factor["secret"], token, mistyped, *factor["recovery_codes"]]
    secrets += [each.replace("-", "") for each in factor["recovery_codes"]]
    assert found_in("".join(each.text + str(each.headers) for each in problems), secrets) == []
    tables = [name for (name,) in execute(database.admin_url, TABLES)]
    dump = [str(execute(database.admin_url, f"SELECT to_jsonb(t)::text FROM identity.{name} AS t")) for name in tables]
    assert found_in("".join(dump), secrets) == []
    assert found_in(caplog.text, secrets) == []
