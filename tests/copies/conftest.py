"""Another installation, with a database and a secret key of its own; and an organisation that has one of everything."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import psycopg
import pyotp
import pytest

from identity.app_keys import AppKeyChanges, IssuedKey, NewAppKey
from identity.apps import AppChanges, NewApp
from identity.copies import Export, Import
from identity.copies.tables import COPIED
from identity.settings import Settings
from identity.stores import Stores, create_platform, open_stores
from identity.tenants import TenantChanges
from identity.user_apps import Grant
from identity.users import NewUser
from tests.conftest import Api, Organisation, make_organisation, settings_for
from tests.people.conftest import worker
from tests.security.wall import of_table, rows_of, use_everything
from tests.server import Database, new_database

PASSPHRASE = "nine quiet herons at dawn"


@dataclass(frozen=True)
class Installation:
    """Its database, and its service."""

    database: Database
    settings: Settings
    stores: Stores
    client: httpx2.AsyncClient
    platform_key: str

    @property
    def platform(self) -> Api:
        return Api(self.client, self.platform_key)

    async def copy(self, tenant_id: str) -> bytes:
        export = Export(tenant_id, PASSPHRASE, self.settings.secret_keys)
        return b"".join([line async for line in export.lines(self.stores)])

    async def take(self, copy: bytes, *, dry_run: bool = False, passphrase: str = PASSPHRASE) -> Import:
        done = Import(io.BytesIO(copy), lambda: passphrase, self.settings.secret_keys)
        await done.run(self.stores, dry_run=dry_run)
        return done

    async def verified(self, key: str) -> str:
        found: str = (await self.platform.post("/v1/keys/verify", {"key": key})).json()["code"]
        return found

    def holds(self, tenant_id: str) -> dict[str, list[dict[str, object]]]:
        """All that is copied of it."""
        with psycopg.connect(self.database.admin_url) as connection:
            return {name: found for name in COPIED if (found := rows_of(connection, name, tenant_id))}

    def purge(self, tenant_id: str) -> None:
        with psycopg.connect(self.database.admin_url) as connection:
            connection.execute(of_table("DELETE FROM {table} WHERE {tenant_id} = %s", "tenants"), [tenant_id])


@pytest.fixture(scope="session")
def here(
    database: Database, settings: Settings, stores: Stores, client: httpx2.AsyncClient, platform_key: str
) -> Installation:
    return Installation(database, settings, stores, client, platform_key)


@pytest.fixture(scope="session")
async def there() -> AsyncIterator[Installation]:
    with new_database() as database:
        settings = settings_for(database)
        async with open_stores(settings) as stores, worker(settings) as client:
            key = await create_platform(stores)
            assert key is not None
            yield Installation(database, settings, stores, client, key.key)


@dataclass(frozen=True)
class Full:
    """An organisation, and what it has besides."""

    org: Organisation
    totp: pyotp.TOTP
    """Of Ben, whose password is Ana's."""
    spent: str
    """The code by which he confirmed it."""
    keys: dict[str, IssuedKey]
    """By what verify says of them."""


@pytest.fixture(scope="session")
async def full(here: Installation) -> Full:
    org = await make_organisation(here.stores, here.client)
    use_everything(here.database, org)
    totp, spent = await _add_ben(here, org.id)
    return Full(org, totp, spent, {"valid": org.key, **await _outgrow(here.stores, org.id)})


async def _add_ben(here: Installation, id: str) -> tuple[pyotp.TOTP, str]:
    stores = here.stores
    await stores.users.create(id, NewUser(id="ben", username="Ben Ökonom", metadata={"desk": 1e300, "say": "'\"\\\n"}))
    await stores.user_apps.grant(id, "shop", "ben", Grant(scopes=("orders:read",)))
    ana = await stores.passwords.find(id, user_id="ana")
    assert ana is not None
    assert ana.hash is not None
    await stores.passwords.set(id, "ben", ana.hash)
    async with stores.transaction() as tx:
        held = await tx.factors.hold(id, "ben")
        assert held is not None
        enrolled = await tx.factors.enrol(held, here.settings.secret_keys)
        held = await tx.factors.hold(id, "ben")
        assert held is not None
        totp = pyotp.TOTP(enrolled.secret)
        spent = totp.at(int(time.time()))
        assert await tx.factors.confirm(held, spent, here.settings.secret_keys)
    return totp, spent


async def _outgrow(stores: Stores, id: str) -> dict[str, IssuedKey]:
    """What could not be made any more as it is now: under tombstones, over quotas, with scopes that are no longer
    allowed, without the limits that its predecessor had."""
    await stores.users.create(id, NewUser(id="cid", username="cid", email="cid@example.com"))
    await stores.user_apps.grant(id, "shop", "cid")
    issue = stores.app_keys.issue
    of_cid = await issue(id, "shop", NewAppKey(name="of cid", user_id="cid"))
    await stores.apps.create(id, NewApp(id="old", name="Old", type="web"))
    of_old = await issue(id, "old", NewAppKey(name="of old"))
    limited = NewAppKey.model_validate(
        {
            "name": "limited",
            "credits": {"remaining": 7},
            "rate_limits": [{"name": "minute", "limit": 5, "window_s": 60}],
        }
    )
    first = await issue(id, "shop", limited)
    freed = await stores.key_rotations.rotate(id, "shop", first.id)
    while freed.id < first.id:  # that it comes after the one from which it could inherit
        first, freed = freed, await stores.key_rotations.rotate(id, "shop", freed.id)
    await stores.app_keys.update(id, "shop", freed.id, AppKeyChanges(credits=None, rate_limits=()))
    second = await issue(id, "shop", limited)
    limited_still = await stores.key_rotations.rotate(id, "shop", second.id, grace_s=3600)
    await stores.users.delete(id, "cid")
    await stores.users.create(id, NewUser(id="cid2", username="cid"))
    await stores.apps.delete(id, "old")
    await stores.apps.update(id, "shop", AppChanges.model_validate({"settings": {"allowed_scopes": ["stock:*"]}}))
    await stores.tenants.update(id, TenantChanges.model_validate({"settings": {"max_users": 1, "max_apps": 1}}))
    return {"user_deleted": of_cid, "app_deleted": of_old, "revoked": first, "freed": freed, "limited": limited_still}
