"""What a demo of any size holds: a pure function of its seed and a number, so that it can grow and be made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from identity.app_keys import Environment, NewAppKey, Type
from identity.apps import AppSettings, NewApp
from identity.branches import Address, BranchSettings, Contact, NewBranch
from identity.cli.demos.people import CITIES, COMPANIES, person
from identity.tenants import NewTenant
from identity.users import NewUser, Status

APPS = (
    NewApp(id="shop", name="Shop", type="web", settings=AppSettings(allowed_scopes=("orders:*", "customers:read"))),
    NewApp(id="till", name="Till", type="mobile", settings=AppSettings(allowed_scopes=("orders:*", "payments:*"))),
    NewApp(id="stock", name="Stock", type="api", settings=AppSettings(allowed_scopes=("stock:*",))),
)
SCOPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "shop": (("orders:read",), ("orders:read", "orders:write"), ("orders:read", "customers:read")),
    "till": (("orders:*",), ("orders:read", "payments:write"), ("payments:read",)),
    "stock": (("stock:read",), ("stock:read", "stock:write"), ("stock:*",)),
}
DEPARTMENTS = ("sales", "purchasing", "logistics", "finance", "people", "engineering")
ROLES = ("till", "kiosk", "sync", "report", "label-printer", "web-hook", "backup")
Fate = Literal["live", "disabled", "revoked"]


def app_of(n: int) -> str:
    """Branches and keys take the apps in turn."""
    return APPS[n % len(APPS)].id


def of(app_id: str, count: int) -> range:
    """Those of so many that are one app's."""
    return range([app.id for app in APPS].index(app_id), count, len(APPS))


def share(total: int, tenants: int, tenant: int) -> int:
    """How many of all are one tenant's."""
    return total // tenants + (tenant < total % tenants)


@dataclass(frozen=True)
class Plan:
    """One tenant of the demo."""

    seed: int
    tenant: int
    users: int
    branches: int
    keys: int

    @property
    def tenant_id(self) -> str:
        return f"demo-{self.seed}-{self.tenant + 1}"

    @property
    def domain(self) -> str:
        return f"{self.tenant_id}.example.com"

    def _random(self, what: str, n: int) -> Random:
        """Of its own for each, so that none depends on how many there are."""
        return Random(f"{self.seed}/{self.tenant}/{what}/{n}")  # noqa: S311 - a demo, not a secret

    def new_tenant(self) -> NewTenant:
        name = COMPANIES[(self.seed + self.tenant) % len(COMPANIES)]
        return NewTenant(id=self.tenant_id, name=name, domain=self.domain, metadata={"demo": True})

    def user_id(self, n: int) -> str:
        return f"u{n + 1:07}"

    def new_user(self, n: int) -> NewUser:
        random = self._random("user", n)
        who = person(random)
        username = f"{who.login}.{n + 1}"
        metadata = {"department": random.choice(DEPARTMENTS), "country": who.country}
        return NewUser(
            id=self.user_id(n),
            username=username,
            email=f"{username}@{self.domain}",
            full_name=who.full_name,
            metadata=metadata,
        )

    def user_status(self, n: int) -> Status:
        point = self._random("status", n).random()
        return "suspended" if point < 0.03 else "locked" if point < 0.04 else "active"

    def has_access(self, n: int, app_id: str) -> bool:
        return self._random(f"access/{app_id}", n).random() < (0.8 if app_id == "shop" else 0.3)

    def branch_id(self, n: int) -> str:
        return f"{CITIES[n % len(CITIES)][0].lower()}-{n + 1}"

    def new_branch(self, n: int) -> NewBranch:
        code, city, country, timezone, latitude, longitude = CITIES[n % len(CITIES)]
        random = self._random("branch", n)
        where = Address(city=city, country=country, latitude=latitude, longitude=longitude)
        who = person(random)
        return NewBranch(
            id=self.branch_id(n),
            code=f"{code}-{n + 1}",
            name=f"{city} {n + 1}",
            type="headquarters" if n == 0 else random.choice(("store", "store", "store", "office", "warehouse")),
            address=where,
            contact=Contact(name=who.full_name, email=f"{code.lower()}-{n + 1}@{self.domain}"),
            settings=BranchSettings(timezone=timezone),
        )

    def branch_is_disabled(self, n: int) -> bool:
        return self._random("branch status", n).random() < 0.02

    def new_key(self, n: int) -> NewAppKey:
        random = self._random("key", n)
        app_id = app_of(n)
        type: Type = random.choices(("secret", "restricted", "public", "service"), (60, 20, 10, 10))[0]
        environment: Environment = "test" if random.random() < 0.1 else "live"
        scopes = random.choice([each for each in SCOPES[app_id] if type == "secret" or "*" not in "".join(each)])
        branch_id = self._some_branch(random, app_id) if random.random() < 0.6 else None
        owner = self._some_user(random, app_id) if type != "service" and random.random() < 0.5 else None
        return NewAppKey(
            name=f"{random.choice(ROLES)} {n + 1}",
            type=type,
            environment=environment,
            scopes=scopes,
            branch_id=branch_id,
            user_id=owner,
        )

    def key_fate(self, n: int) -> Fate:
        point = self._random("key status", n).random()
        return "revoked" if point < 0.01 else "disabled" if point < 0.02 else "live"

    def _some_branch(self, random: Random, app_id: str) -> str | None:
        of_app = of(app_id, self.branches)
        return self.branch_id(random.choice(of_app)) if of_app else None

    def _some_user(self, random: Random, app_id: str) -> str | None:
        """One who may use the app, if one is met soon."""
        for _ in range(5 if self.users else 0):
            n = random.randrange(self.users)
            if self.has_access(n, app_id):
                return self.user_id(n)
        return None


def plans(seed: int, tenants: int, users: int, branches: int, keys: int) -> Iterator[Plan]:
    for n in range(tenants):
        yield Plan(seed, n, share(users, tenants, n), share(branches, tenants, n), share(keys, tenants, n))
