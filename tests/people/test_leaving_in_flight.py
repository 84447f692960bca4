"""Every credential that somebody holds, presented over and over on two workers while they leave: whatever was sent
after the answer is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter

import httpx2
import pytest

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.settings import Settings
from identity.sign_in_challenges import NewChallenge
from identity.user_apps import Grant
from tests.conftest import Api, Organisation
from tests.people.conftest import People, worker
from tests.people.test_leaving import begin

LEAVES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "suspended": (("POST", "users/ana/suspend"), ("POST", "users/ana/activate")),
    "deleted": (("DELETE", "users/ana"), ("POST", "users/ana/restore")),
    "access revoked": (("DELETE", "apps/shop/users/ana"), ("PUT", "apps/shop/users/ana")),
}
BEFORE, AFTER = 3, 3
"""How often each is presented, at least, before they leave and after."""

Use = Callable[[], Awaitable[bool]]


@dataclass
class Credential:
    """Something that Ana may present; whether it was accepted, and when it was sent."""

    name: str
    app_id: str
    use: Use
    comes_back: bool
    seen: list[tuple[float, bool]] = field(default_factory=list)

    async def present(self) -> bool:
        sent = perf_counter()
        self.seen.append((sent, await self.use()))
        return self.seen[-1][1]


@dataclass(frozen=True)
class Held:
    """What Ana holds of one app, as one worker meets it."""

    org: Organisation
    client: httpx2.AsyncClient
    app_id: str

    @property
    def client_id(self) -> str:
        return f"{self.org.id}/{self.app_id}"

    async def token(self, **form: str) -> httpx2.Response:
        return await self.client.post("/oauth/token", data={"client_id": self.client_id, **form})

    def verified(self, key: str) -> Use:
        async def use() -> bool:
            return bool((await self.admin.post("/v1/keys/verify", {"key": key})).json()["valid"])

        return use

    def introspected(self, text: str) -> Use:
        async def use() -> bool:
            return bool((await self.admin("POST", "/oauth/introspect", data={"token": text})).json()["active"])

        return use

    def manages(self, text: str) -> Use:
        async def use() -> bool:
            return (await Api(self.client, text).get(f"{self.org.path}/apps")).status_code == 200

        return use

    def goes_on(self, challenge: str) -> Use:
        """Half a sign-in: the password was right, and a second factor is asked for."""

        async def use() -> bool:
            body = {"mfa_token": challenge}
            return (await self.client.post(f"{self.org.path}/mfa/enrol", json=body)).status_code == 201

        return use

    def refreshed(self, first: str) -> Use:
        last = [first]

        async def use() -> bool:
            answer = await self.token(grant_type="refresh_token", refresh_token=last[0])
            if answer.status_code == 200:
                last[0] = answer.json()["refresh_token"]
            return answer.status_code == 200

        return use

    @property
    def admin(self) -> Api:
        return Api(self.client, self.org.admin_key.key)

    async def credentials(self) -> list[Credential]:
        found = []

        def add(name: str, use: Use, *, comes_back: bool) -> None:
            found.append(Credential(f"{name} of {self.app_id}", self.app_id, use, comes_back))

        stores, id = self.org.stores, self.org.id
        for type in ("secret", "restricted") if self.app_id == IDENTITY else ("secret", "public", "restricted"):
            new = NewAppKey.model_validate({"name": type, "type": type, "user_id": "ana", "scopes": ["apps:read"]})
            key = (await stores.app_keys.issue(id, self.app_id, new)).key
            add(f"a {type} key", self.verified(key), comes_back=True)
            add(f"introspection of a {type} key", self.introspected(key), comes_back=True)
            if self.app_id == IDENTITY:
                add(f"a {type} key here", self.manages(key), comes_back=True)
            if type == "secret":
                form = {"grant_type": "client_credentials", "client_secret": key}
                of_key = (await self.token(**form)).json()["access_token"]
                add("introspection of a key's token", self.introspected(of_key), comes_back=True)
                if self.app_id == IDENTITY:
                    add("a key's token here", self.manages(of_key), comes_back=True)
        signed_in = (await begin(stores, id, self.app_id)).refresh_token
        went_on = (await self.token(grant_type="refresh_token", refresh_token=signed_in)).json()
        add("introspection of an access token", self.introspected(went_on["access_token"]), comes_back=False)
        add("introspection of a refresh token", self.introspected(went_on["refresh_token"]), comes_back=False)
        if self.app_id == IDENTITY:
            add("an access token here", self.manages(went_on["access_token"]), comes_back=False)
        holder = await stores.passwords.find(id, user_id="ana")
        assert holder is not None
        challenge = await stores.challenges.create(
            id, holder.ref, NewChallenge("ana", self.app_id, None, holder.changed_at)
        )
        assert challenge is not None
        add("a challenge", self.goes_on(challenge), comes_back=False)
        add("a refresh token", self.refreshed((await begin(stores, id, self.app_id)).refresh_token), comes_back=False)
        return found


@pytest.mark.parametrize("leave", LEAVES)
async def test_nothing_is_accepted_that_was_sent_after_the_answer(
    people: People, settings: Settings, leave: str
) -> None:
    org, (stop, resume) = people.org, LEAVES[leave]
    await org.stores.user_apps.grant(org.id, IDENTITY, "ana", Grant(scopes=("apps:read",)))
    await org.stores.user_apps.grant(org.id, "shop", "ana", Grant(scopes=("apps:read",)))
    reset = (await org.stores.passwords.make_reset(org.id, "ana")).token
    async with worker(settings) as other:
        workers = [Held(org, client, app_id) for client in (org.client, other) for app_id in ("shop", IDENTITY)]
        held = [each for worker in workers for each in await worker.credentials()]
        left: list[float] = []
        ready = asyncio.Barrier(len(held) + 1)

        async def present(credential: Credential) -> None:
            for _ in range(BEFORE):
                await credential.present()
            await ready.wait()
            while not left or sum(sent > left[0] for sent, _ in credential.seen) < AFTER:
                await credential.present()

        async def leaving() -> None:
            await ready.wait()
            assert (await org.admin(stop[0], f"{org.path}/{stop[1]}")).status_code in (200, 204)
            left.append(perf_counter())

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(leaving())
            for each in held:
                tasks.create_task(present(each))
        for each in held:
            assert all(accepted for _, accepted in each.seen[:BEFORE]), each.name
            late = [accepted for sent, accepted in each.seen if sent > left[0]]
            assert late == [leave == "access revoked" and each.app_id != "shop"] * len(late), each.name
        redeemed = await org.stores.passwords.find_by_reset(org.id, reset)
        assert (redeemed is None) == (leave != "access revoked")
        more = {"json": {"scopes": ["apps:read"]}} if resume[0] == "PUT" else {}
        assert (await org.admin(resume[0], f"{org.path}/{resume[1]}", **more)).status_code == 200
        stayed = [each for each in held if leave == "access revoked" and each.app_id != "shop"]
        for each in held:
            assert await each.present() == (each.comes_back or each in stayed), each.name
