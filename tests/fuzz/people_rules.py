"""What people do, in any order, on two workers: sign in, refresh, change their passwords, guess, and end what they
hold."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
from hypothesis.stateful import precondition, rule

from tests.fuzz import people, pools
from tests.fuzz.callers import Target
from tests.fuzz.ground import PLATFORM, By
from tests.fuzz.model import Fields, Refused, Session, Tenant, living
from tests.fuzz.people_seen import PeopleSeen
from tests.server import execute

SKIP = (
    """UPDATE identity.refresh_tokens SET consumed_at = consumed_at - make_interval(secs => %s)
        WHERE tenant_id = %s AND consumed_at IS NOT NULL""",
    """UPDATE identity.sign_in_failures
          SET (failed_at, paused_until) = (SELECT failed_at - s, paused_until - s FROM make_interval(secs => %s) AS s)
        WHERE tenant_id = %s""",
)


class PeopleRules(PeopleSeen):
    """What each of them may try, on whichever worker has its turn."""

    async def public(self, t: int, path: str, **more: Any) -> httpx2.Response:
        """Without a credential."""
        return await self.driver.ask(None, self.ids[t], "POST", path, hasty=next(self.turns), **more)

    def tenant(self, t: int) -> Tenant:
        """There is one, whether it lives or not; and nothing ends there just now."""
        self.touched = sorted({*self.touched, t})
        tenant = self.world.tenants.get(self.ids[t], Tenant({"settings": {}}))
        while people.is_ambiguous(tenant):
            self.skip(t, 3.0)
        return tenant

    def skip(self, t: int, seconds: float) -> None:
        """Of what people did in this tenant it is so much longer ago."""
        for statement in SKIP if seconds else ():
            execute(self.service.admin_url, statement, seconds, self.ids[t])
        if self.ids[t] in self.world.tenants:
            self.world.tenants[self.ids[t]].skipped_s += seconds

    def password(self, tenant: Tenant, user_id: str, which: str) -> str:
        """The right one, where there is one; or another."""
        right = tenant.passwords.get(user_id)
        return right if right is not None and which == "right" else pools.PASSWORDS[int(right == pools.PASSWORDS[0])]

    def session(self, k: int) -> tuple[int, Session]:
        """One that is good, where there is such a one and now and then even so; and in which tenant."""
        live = [each for each in self.began if people.is_live(self.world, each)]
        some = live if live and k % 6 else self.began
        found = some[-1 - k // 6 % len(some)]
        return self.ids.index(found.tenant_id), found

    @rule(t=pools.tenants, a=pools.peoples_apps, user_id=pools.people, name=pools.logins, which=pools.which_password)
    def sign_in(self, t: int, a: int, user_id: str, name: str, which: str) -> None:
        self.sign_in_as(t, a, user_id, name, which)

    @rule(t=pools.tenants, user_id=pools.people, guesses=pools.guesses)
    def guess(self, t: int, user_id: str, guesses: list[tuple[str, int]]) -> None:
        """By one name and another, with a credential or without, at once or later, and then as they should."""
        for name, seconds in guesses:
            self.try_password(t, user_id, name, "wrong")
            self.skip(t, seconds)
        self.must_be_counted(t, user_id)
        for name in ("username", guesses[-1][0]):
            self.try_password(t, user_id, name, "right")
        self.must_be_counted(t, user_id)

    def try_password(self, t: int, user_id: str, name: str, which: str) -> None:
        if name == pools.WITH_CREDENTIAL:
            self.change_once(("own", 0), t, user_id, which, pools.PASSWORDS[0])
        else:
            self.sign_in_as(t, 0, user_id, name, which)

    def must_be_counted(self, t: int, user_id: str) -> None:
        """As whoever asks for all that is held on a person is told."""
        tenant = self.tenant(t)
        if not tenant.is_deleted and living(tenant.users, user_id):
            path = f"/v1/tenants/{tenant.id}/users/{user_id}/export"
            answer = self.service.run(self.driver.send(PLATFORM, tenant.id, "GET", path, hasty=next(self.turns)))
            for member, name in (("failures", user_id), ("known_failures", people.with_credential(user_id))):
                told, known = answer.json()[member], tenant.failures.get(name)
                assert (told and told["failures"]) == (known and known.n), f"{name}: {known} expected, not {told}"

    def sign_in_as(self, t: int, a: int, user_id: str, name: str, which: str) -> None:
        tenant = self.tenant(t)
        login, password = self.login(tenant, user_id, name), self.password(tenant, user_id, which)
        body = {"login": login, "password": password, "app_id": self.app_id(a)}
        answer = self.service.run(self.public(t, f"/v1/tenants/{self.ids[t]}/sessions", json=body))
        try:
            session = people.sign_in(self.world, self.ids[t], login, password, self.app_id(a), answer.json())
        except Refused as refused:
            self.driver.must_be_refused(answer, refused)
        else:
            assert answer.status_code == 201, f"{login} should be in: {answer.text}"
            self.service.seen["signed in"] += 1
            self.began.append(session)

    def login(self, tenant: Tenant, user_id: str, name: str) -> str:
        """As they have it, or shouted; of who has none, something that is nobody's."""
        user = tenant.users.get(user_id)
        text = str((user and user.fields[name.lower()]) or "nobody")
        return text.upper() if name.isupper() else text

    @precondition(lambda self: self.began)
    @rule(k=pools.numbers, uses=pools.uses)
    def refresh(self, k: int, uses: list[tuple[int, int, bool, int]]) -> None:
        """One session, on and on; a new one where there is none."""
        if not any(people.is_live(self.world, each) for each in self.began):
            self.sign_in_as(k % 2, 0, "ana", "username", "right")
        t, session = self.session(k)
        for of, times, is_its, seconds in uses:
            self.refresh_once(t, session, of, times, is_its)
            self.skip(t, seconds)

    def refresh_once(self, t: int, session: Session, of: int, times: int, is_its: bool) -> None:
        """With the present token, or one before it; at once on both workers; by another app."""
        self.tenant(t)
        text, app_id = session.refresh_tokens[max(0, len(session.refresh_tokens) - of)], session.app_id
        app_id = app_id if is_its else pools.APP_IDS[int(app_id == pools.APP_IDS[0])]
        form = {"grant_type": "refresh_token", "refresh_token": text, "client_id": f"{self.ids[t]}/{app_id}"}

        async def at_once() -> list[httpx2.Response]:
            return await asyncio.gather(*(self.public(t, "/oauth/token", data=form) for _ in range(times)))

        for answer in self.service.run(at_once()):
            self.must_be_refreshed(session, text, app_id, answer)

    def must_be_refreshed(self, session: Session, text: str, app_id: str, answer: httpx2.Response) -> None:
        known = {*session.refresh_tokens}
        try:
            successor = people.refresh(self.world, session, text, app_id, answer.json())
        except Refused as refused:
            self.must_tell_oauth(answer, refused)
        else:
            assert answer.status_code == 200, f"a token should be good: {answer.text}"
            told = answer.json()["refresh_token"]
            assert told == successor if successor else told not in known, "not the successor"
            self.service.seen["told again" if successor else "refreshed"] += 1

    def must_tell_oauth(self, answer: httpx2.Response, refused: Refused) -> None:
        found = (answer.status_code, answer.json().get("error"))
        assert found == (refused.status, *refused.codes), f"{refused} expected, not {found}"
        self.service.seen["refused to refresh"] += 1

    @precondition(lambda self: self.began)
    @rule(k=pools.numbers, of=pools.tokens, is_its=pools.is_its)
    def sign_out(self, k: int, of: int, is_its: bool) -> None:
        """By a refresh token, used or not."""
        t, session = self.session(k)
        text, app_id = session.refresh_tokens[max(0, len(session.refresh_tokens) - of)], session.app_id
        app_id = app_id if is_its else pools.APP_IDS[int(app_id == pools.APP_IDS[0])]
        form = {"token": text, "client_id": f"{self.ids[t]}/{app_id}"}
        assert self.service.run(self.public(t, "/oauth/revoke", data=form)).status_code == 200
        if app_id == session.app_id:
            people.end(self.world, session)

    @rule(by=pools.admins, t=pools.tenants, user_id=pools.people)
    def end_sessions(self, by: By, t: int, user_id: str) -> None:
        def effect(told: Fields) -> tuple[None, int]:
            tenant = self.world.tenants[self.ids[t]]
            if user_id not in tenant.users or tenant.users[user_id].is_deleted:
                raise people.NOBODY
            ended = people.end_all(tenant, user_id)
            assert told == {"sessions_ended": ended, "refresh_tokens_ended": len(ended)}
            return None, 200

        self.act(by, t, "POST", f"users/{user_id}/end-sessions", effect)

    @rule(by=pools.admins, t=pools.tenants, user_id=pools.people, password=pools.passwords)
    def set_password(self, by: By, t: int, user_id: str, password: str) -> None:
        def effect(told: Fields) -> tuple[None, int]:
            ended = people.set_password(self.world.tenants[self.ids[t]], user_id, password)
            assert told.get("sessions_ended") == len(ended), f"{len(ended)} sessions should end: {told}"
            return None, 200

        self.act(by, t, "PUT", f"users/{user_id}/password", effect, json={"password": password})
        self.must_be_counted(t, user_id)

    @rule(by=pools.admins, t=pools.tenants, user_id=pools.people, which=pools.which_password, password=pools.passwords)
    def change_password(self, by: By, t: int, user_id: str, which: str, password: str) -> None:
        self.change_once(by, t, user_id, which, password)

    def change_once(self, by: By, t: int, user_id: str, which: str, password: str) -> None:
        old = self.password(self.tenant(t), user_id, which)

        def effect(told: Fields) -> tuple[None, int]:
            ended = people.change_password(self.world.tenants[self.ids[t]], user_id, old, password)
            assert told.get("sessions_ended") == len(ended), f"{len(ended)} sessions should end: {told}"
            return None, 200

        body = {"old_password": old, "password": password}
        self.act(by, t, "POST", f"users/{user_id}/password", effect, json=body)

    @rule(by=pools.admins, t=pools.tenants, user_id=pools.people, password=pools.passwords)
    def forget(self, by: By, t: int, user_id: str, password: str) -> None:
        """And set another, by a token that was sent; twice."""
        self.make_reset(by, t, user_id)
        self.redeem_last(t, password)
        self.redeem_last(t, password)

    @rule(t=pools.tenants, user_id=pools.people, ranks=pools.ranks, password=pools.passwords)
    def rise(self, t: int, user_id: str, ranks: list[list[str] | None], password: str) -> None:
        """Or fall, with a token that was sent before the last time."""
        for scopes in ranks[:-1]:
            self.grant_to(PLATFORM, t, 2, user_id, scopes=scopes)
        self.make_reset(("own", 0), t, user_id)
        self.grant_to(PLATFORM, t, 2, user_id, scopes=ranks[-1])
        self.redeem_last(t, password)

    def make_reset(self, by: By, t: int, user_id: str) -> None:
        def effect(told: Fields) -> tuple[None, int]:
            tenant = self.world.tenants[self.ids[t]]
            if user_id not in tenant.users or tenant.users[user_id].is_deleted:
                raise people.NOBODY
            tenant.resets[user_id] = self.last_reset = told["token"]
            return None, 200

        self.act(by, t, "POST", f"users/{user_id}/password-reset", effect)

    last_reset = "irs_none"

    @rule(t=pools.tenants, password=pools.passwords)
    def redeem(self, t: int, password: str) -> None:
        self.redeem_last(t, password)

    def redeem_last(self, t: int, password: str) -> None:
        """What was made last, there or elsewhere."""
        body = {"token": self.last_reset, "password": password}
        answer = self.service.run(self.public(t, f"/v1/tenants/{self.ids[t]}/password-reset", json=body))
        try:
            people.redeem(self.world, self.ids[t], self.last_reset, password)
        except Refused as refused:
            self.driver.must_be_refused(answer, refused)
        else:
            assert answer.status_code == 204, answer.text

    def act(self, by: By, t: int, method: str, below: str, effect: Any, **more: Any) -> None:
        who, target = self.caller(by, t), Target("users:write", self.ids[t])
        self.tenant(t)
        path = f"/v1/tenants/{self.ids[t]}/{below}"
        self.driver.call(who, target, method, path, effect, hasty=next(self.turns), **more)
