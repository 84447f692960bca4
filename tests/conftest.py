"""What every test may ask for: a database, the stores, the service, and an organisation of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from identity.api import make_app
from identity.app_keys import IssuedKey, NewAppKey
from identity.apps import IDENTITY, NewApp
from identity.branches import NewBranch
from identity.cli.start import new_secret_key
from identity.hashing import MEMORY_KIB, PASSES
from identity.invitations import NewInvitation, SentInvitation
from identity.sessions import NewSession, Successor
from identity.settings import Settings, decode_secret_key
from identity.stores import LIFETIMES, Stores, create_platform, create_tenant, open_stores
from identity.tenants import NewTenant
from identity.users import NewUser
from identity.verify import Verifier, open_verifier
from tests import server

STACK = ExitStack()

SECRET_KEY = new_secret_key()
"""Of all services of this process."""

PASSWORD = "correct horse battery staple"
"""Ana's."""


def pytest_configure(config: pytest.Config) -> None:
    ours = ("IDENTITY_TEST_", "IDENTITY_FUZZ_")
    for name in [name for name in os.environ if name.startswith("IDENTITY_") and not name.startswith(ours)]:
        del os.environ[name]
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        server.start(STACK)


def pytest_unconfigure(config: pytest.Config) -> None:
    STACK.close()


@pytest.fixture(scope="session")
def database() -> Iterator[server.Database]:
    """One for all tests of this worker: each makes tenants of its own."""
    with server.new_database() as found:
        yield found


@pytest.fixture(scope="session")
def settings(database: server.Database) -> Settings:
    return settings_for(database)


def settings_for(database: server.Database, **more: Any) -> Settings:
    return Settings(
        _env_file=None,
        database_url=SecretStr(database.service_url),
        secret_key=SecretStr(SECRET_KEY),
        sign_ins_per_address=1_000_000,
        sign_ins_per_tenant=1_000_000,
        refreshes_per_session=1_000_000,
        base_url="http://identity.example.com",
        **more,
    )


@pytest.fixture(scope="session")
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    async with open_stores(settings) as found:
        yield found


@pytest.fixture(scope="session")
async def verifier(settings: Settings) -> AsyncIterator[Verifier]:
    async with open_verifier(settings) as found:
        yield found


@pytest.fixture(scope="session")
async def client(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """The whole application, in process, without a credential."""
    envelope: Any = make_app(settings)
    async with envelope.app.router.lifespan_context(envelope.app):
        transport = httpx2.ASGITransport(app=envelope)
        async with httpx2.AsyncClient(transport=transport, base_url="http://identity.example.com") as found:
            yield found


@dataclass(frozen=True)
class Api:
    """The service as the bearer of one key sees it."""

    client: httpx2.AsyncClient
    key: str | None

    async def __call__(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return await self.client.request(method, path, headers={**headers, **more.pop("headers", {})}, **more)

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self("GET", path, **more)

    async def post(self, path: str, json: Any = None, **more: Any) -> httpx2.Response:
        return await self("POST", path, **({} if json is None else {"json": json}), **more)

    async def put(self, path: str, json: Any = None, **more: Any) -> httpx2.Response:
        return await self("PUT", path, **({} if json is None else {"json": json}), **more)

    async def patch(self, path: str, json: Any = None, **more: Any) -> httpx2.Response:
        return await self("PATCH", path, json=json, **more)

    async def delete(self, path: str, **more: Any) -> httpx2.Response:
        return await self("DELETE", path, **more)


@pytest.fixture(scope="session")
async def platform_key(stores: Stores) -> str:
    key = await create_platform(stores)
    assert key is not None
    return key.key


@pytest.fixture(scope="session")
def platform(client: httpx2.AsyncClient, platform_key: str) -> Api:
    return Api(client, platform_key)


def unique(prefix: str = "t") -> str:
    """An id that no other test has."""
    return f"{prefix}-{os.urandom(5).hex()}"


@dataclass(frozen=True)
class Organisation:
    """A tenant with one of everything: app `shop`, branch `mad`, user `ana` with access, and a key of each kind."""

    id: str
    stores: Stores
    client: httpx2.AsyncClient
    admin_key: IssuedKey
    key: IssuedKey
    """Of app shop, bound to branch mad, owned by ana, with the scope orders:*."""
    signed_in: Successor
    """Ana, in app shop."""
    factor_id: str
    """Of a second factor that Ana has not confirmed."""
    invitation: SentInvitation
    """Of ben@example.com, to app shop."""

    @property
    def path(self) -> str:
        return f"/v1/tenants/{self.id}"

    @property
    def admin(self) -> Api:
        return Api(self.client, self.admin_key.key)

    async def holding(self, *scopes: str) -> Api:
        """The service as a management key with just these scopes sees it."""
        key = await self.stores.app_keys.issue(self.id, IDENTITY, NewAppKey(name="limited", scopes=scopes))
        return Api(self.client, key.key)


async def make_organisation(stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    id = unique("org")
    _, admin_key = await create_tenant(stores, NewTenant(id=id, name=f"Organisation {id}"), admin_key=True)
    assert admin_key is not None
    await stores.apps.create(id, NewApp(id="shop", name="Shop", type="web"))
    await stores.branches.create(id, "shop", NewBranch(id="mad", code="MAD", name="Madrid", type="store"))
    await stores.users.create(id, NewUser(id="ana", username="ana", email="ana@example.com"))
    await stores.user_apps.grant(id, "shop", "ana")
    new = NewAppKey(name="till", branch_id="mad", user_id="ana", scopes=("orders:*",))
    key = await stores.app_keys.issue(id, "shop", new)
    signed_in = await sign_ana_in(stores, id)
    invitation = await stores.invitations.create(id, NewInvitation(email="ben@example.com", app_ids=("shop",)))
    return Organisation(id, stores, client, admin_key, key, signed_in, await enrol_ana(stores, id), invitation)


async def sign_ana_in(stores: Stores, id: str) -> Successor:
    """As if she had given her password: it is not hashed for each test."""
    await stores.passwords.set(id, "ana", password_hash())
    holder = await stores.passwords.find(id, user_id="ana")
    assert holder is not None
    new = NewSession("ana", "shop", None, "192.0.2.7", "browser", holder.changed_at)
    signed_in = await stores.sessions.create(id, holder.ref, new, LIFETIMES)
    assert signed_in is not None
    return signed_in


async def enrol_ana(stores: Stores, id: str) -> str:
    """Of a secret that nobody is told: no code is a code of it."""
    held = await stores.factors.hold(id, "ana")
    assert held is not None
    return (await stores.factors.enrol(held, (decode_secret_key(SECRET_KEY),))).id


@cache
def password_hash() -> str:
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1).hash(PASSWORD)


@pytest.fixture
async def org(stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    return await make_organisation(stores, client)


@pytest.fixture
async def other_org(stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    return await make_organisation(stores, client)
