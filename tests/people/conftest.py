"""Ana, who may sign in to the shop of an organisation of her own; and another worker of the same service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from identity.api import make_app
from identity.settings import Settings
from identity.sign_in_challenges import NewChallenge
from identity.stores import Stores
from identity.user_apps import Grant
from tests.conftest import PASSWORD, Api, Organisation

SAME_ID = {"X-Request-Id": "same"}


@dataclass(frozen=True)
class People:
    """What Ana does, and what is done about her."""

    org: Organisation

    @property
    def api(self) -> Api:
        """Without a credential."""
        return Api(self.org.client, None)

    @property
    def ana(self) -> str:
        return f"{self.org.path}/users/ana"

    async def sign_in(self, password: str = PASSWORD, login: str = "ana", **more: Any) -> httpx2.Response:
        headers = more.pop("headers", {}) | SAME_ID
        path = more.pop("path", f"{self.org.path}/sessions")
        body = {"login": login, "password": password, "app_id": "shop", **more}
        return await self.api.post(path, body, headers=headers)

    async def signed_in(self, **more: Any) -> dict[str, Any]:
        answer = await self.sign_in(**more)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def refresh(self, token: str, app_id: str = "shop") -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": f"{self.org.id}/{app_id}"}
        return await self.org.client.post("/oauth/token", data=form)

    async def challenge(self, stores: Stores | None = None) -> str:
        """As if she had given her password: a token that waits for her second factor."""
        holder = await self.org.stores.passwords.find(self.org.id, user_id="ana")
        assert holder is not None
        new = NewChallenge("ana", "shop", None, holder.changed_at)
        token = await (stores or self.org.stores).challenges.create(self.org.id, holder.ref, new)
        assert token is not None
        return token

    async def session_ids(self) -> list[str]:
        return [each.id for each in (await self.org.stores.sessions.list(self.org.id, "ana")).items]


@pytest.fixture
async def people(org: Organisation) -> People:
    await org.stores.user_apps.grant(org.id, "shop", "ana", Grant(scopes=("orders:*", "stock:read")))
    return People(org)


async def waits(task: asyncio.Future[Any]) -> bool:
    done, _ = await asyncio.wait({task}, timeout=0.2)
    return not done


@asynccontextmanager
async def worker(settings: Settings, address: str = "127.0.0.1") -> AsyncIterator[httpx2.AsyncClient]:
    """One more, over the same database; as a client at that address meets it."""
    envelope: Any = make_app(settings)
    async with envelope.app.router.lifespan_context(envelope.app):
        transport = httpx2.ASGITransport(app=envelope, client=(address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://identity.example.com") as found:
            yield found


def at(people: People, client: httpx2.AsyncClient) -> People:
    """The same, by another worker."""
    return People(replace(people.org, client=client))
