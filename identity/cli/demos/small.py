"""A small organisation to try things on: tenant acme, its app shop, two stores, two users and a key."""

from __future__ import annotations

from identity.app_keys import NewAppKey
from identity.apps import AppSettings, NewApp
from identity.branches import Address, NewBranch
from identity.cli.start import write_secret
from identity.settings import Settings
from identity.stores import open_stores
from identity.tenants import NewTenant
from identity.users import NewUser


async def make(settings: Settings) -> None:
    """Once: where there is an acme already, nothing."""
    async with open_stores(settings) as stores, stores.transaction() as tx:
        if await tx.tenants.exists("acme"):
            return
        await tx.tenants.create(NewTenant(id="acme", name="Acme", domain="acme.example.com"))
        app = NewApp(
            id="shop",
            name="Shop",
            type="web",
            settings=AppSettings(allowed_scopes=("orders:*", "stock:read")),
        )
        await tx.apps.create("acme", app)
        await tx.branches.create_many(
            "acme",
            "shop",
            [
                NewBranch(
                    id="mad",
                    code="MAD",
                    name="Madrid",
                    type="headquarters",
                    address=Address(city="Madrid", country="ES"),
                ),
                NewBranch(
                    id="bcn",
                    code="BCN",
                    name="Barcelona",
                    type="store",
                    address=Address(city="Barcelona", country="ES"),
                ),
            ],
        )
        await tx.users.create_many(
            "acme",
            [
                NewUser(id="ana", username="ana", email="ana@example.com", full_name="Ana García"),
                NewUser(id="ben", username="ben", email="ben@example.com", full_name="Ben Okafor"),
            ],
        )
        await tx.user_apps.grant("acme", "shop", "ana")
        key = await tx.app_keys.issue("acme", "shop", NewAppKey(name="till-1", branch_id="mad", scopes=("orders:*",)))
        write_secret(settings.data_dir / "demo_key", key.key)
