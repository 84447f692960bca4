"""The stores from Python, without HTTP, on a PostgreSQL that lives as long as the program.

.venv/bin/python examples/quickstart.py
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from identity.app_keys import NewAppKey
from identity.apps import NewApp
from identity.cli.start import database
from identity.errors import Conflict
from identity.settings import Settings
from identity.stores import create_tenant, open_stores
from identity.tenants import NewTenant
from identity.users import NewUser, UserFilter
from identity.verify import Verification, open_verifier


async def main(settings: Settings) -> None:
    async with open_stores(settings) as stores, open_verifier(settings) as verifier:
        tenant, _ = await create_tenant(stores, NewTenant(id="acme", name="Acme"))
        app = await stores.apps.create("acme", NewApp(id="shop", name="Shop", type="web"))
        user = await stores.users.create("acme", NewUser(id="ana", username="Ana.García", email="ana@example.com"))
        access, _ = await stores.user_apps.grant("acme", "shop", "ana")
        print(f"tenant       {tenant.name}, {tenant.status}")
        print(f"app          {app.name}, {app.type}")
        print(f"user         {user.username}, whose access to {access.app_id} is {access.status}")

        found = await stores.users.find("acme", UserFilter(username="ANA.GARCÍA"))
        print(f"found        as ANA.GARCÍA; is it the same user? {found == user}")

        try:
            async with stores.transaction() as tx:
                await tx.users.create("acme", NewUser(id="ben", username="ben"))
                await tx.users.create("acme", NewUser(id="eve", username="ana.garcía"))
        except Conflict as error:
            print(f"rolled back  {error.code}; is there a ben? {await stores.users.exists('acme', 'ben')}")

        key = await stores.app_keys.issue("acme", "shop", NewAppKey(name="till-7", user_id="ana", scopes=("orders:*",)))
        print(f"key          {key.key[:9]}…, for {' '.join(key.scopes)}")
        for scope in ("orders:read", "stock:read"):
            verdict = await verifier.verify(Verification(key=key.key, scopes=(scope,)))
            print(f"verified     for {scope}: {verdict.code}")

        await stores.app_keys.revoke("acme", "shop", key.id, reason="till stolen")
        print(f"revoked      {(await verifier.verify(Verification(key=key.key))).code}")


if __name__ == "__main__":
    with (
        TemporaryDirectory(prefix="identity-") as directory,
        database(Settings(data_dir=Path(directory), database_url=None)) as settings,
    ):
        asyncio.run(main(settings))
