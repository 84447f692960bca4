"""Where the machines' rules stand: two tenants, whoever acts there, and the acts that several rules share."""

from __future__ import annotations

from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from tests.fuzz import grants, lives, pools
from tests.fuzz.callers import Caller, Target
from tests.fuzz.driver import Driver, Service
from tests.fuzz.model import App, Fields, Record, Refused, Tenant
from tests.fuzz.nouns import TENANT, Condition, Noun, Place

PLATFORM = Caller(None)

By = tuple[str, int]
"""Which kind of caller, and which of them."""


class Ground(RuleBasedStateMachine):
    """Two tenants whose apps, branches and users have the same ids, and whoever holds a key."""

    service: ClassVar[Service]
    first_settings: ClassVar[list[Fields]] = pools.FIRST_SETTINGS

    def start(self) -> None:
        self.driver = Driver(self.service)
        self.world = self.driver.world
        self.ids = [f"{self.driver.run}-{letter}" for letter in "ab"]
        self.touched = [0, 1]
        for tenant, settings in enumerate(self.first_settings):
            self.create_tenant(tenant, {"name": "Acme", "settings": settings})

    def create_tenant(self, tenant: int, body: Fields, by: Caller = PLATFORM) -> None:
        place = self.place(TENANT, tenant, 0, 0)
        body = self.filled(place, body) | {"id": place.id, "admin_key": True}

        def effect(told: Fields) -> tuple[Record, int]:
            if not by.is_platform:
                raise Refused(403, "platform_only")
            given = {name: value for name, value in body.items() if name != "admin_key"}
            made = lives.create(self.world, place, given)
            assert isinstance(made, Tenant)
            key = grants.admin_key(self.world, made, told["admin_key"])
            assert key.agrees_with(told["admin_key"])
            self.driver.watch(place.id, told["ref"], key.text)
            return made, 201

        self.driver.call(by, Target("tenants:write"), "POST", "/v1/tenants", effect, json=body)

    # Who and where

    def place(self, noun: Noun, tenant: int, app: int, which: int) -> Place:
        self.touched = sorted({*self.touched, tenant})
        pool = pools.IDS[noun.name]
        id = self.ids[tenant] if noun is TENANT else pool[which % len(pool)]
        return Place(noun, self.ids[tenant], pools.APP_IDS[app % 2], id)

    def caller(self, by: By, tenant: int) -> Caller:
        """The platform, an admin of this tenant or of the other, or anybody with a key, dead or alive."""
        (kind, which), issued = by, self.world.issued
        if kind == "any":
            return Caller(issued[which % len(issued)])
        tenant_id = self.ids[tenant if kind == "own" else 1 - tenant]
        admins = [key for key in issued if key.tenant_id == tenant_id and key.scopes == ["*"]]
        admins = [key for key in admins if key.app_id == "identity"]
        return PLATFORM if kind == "platform" or not admins else Caller(admins[which % len(admins)])

    def filled(self, place: Place, body: Fields) -> Fields:
        """With what must differ from tenant to tenant, and from run to run."""
        filled = dict(body)
        if isinstance(body.get("domain"), str):
            filled["domain"] = f"{body['domain']}.{self.driver.run}.example.com"
        if body.get("metadata", None) is not None and "of" not in body["metadata"]:
            filled["metadata"] = body["metadata"] | {"of": self.driver.mark(place.tenant_id)}
        return filled

    def app(self, tenant: int, app: int) -> tuple[Tenant, App]:
        """Once a call was judged, both are there."""
        of = self.world.tenants[self.ids[tenant]]
        return of, of.apps[self.app_id(app)]

    def app_id(self, app: int) -> str:
        return pools.IDS["app"][app % 3]

    def path(self, tenant: int, app: int, below: str) -> str:
        return f"/v1/tenants/{self.ids[tenant]}/apps/{self.app_id(app)}/{below}"

    def target(self, tenant: int, app: int, scope: str) -> Target:
        self.touched = sorted({*self.touched, tenant})
        return Target(scope, self.ids[tenant], self.app_id(app))

    def access(self, tenant: int, app: int, user_id: str) -> Record | None:
        """If it was ever granted."""
        of = self.world.tenants.get(self.ids[tenant])
        found = of.apps.get(self.app_id(app)) if of else None
        return found.access.get(user_id) if found else None

    # What is done

    def make(self, who: Caller, place: Place, body: Fields) -> None:
        body = self.filled(place, body) | {"id": place.id}
        self.driver.call(
            who,
            place.target("write"),
            "POST",
            place.list_path,
            lambda told: (lives.create(self.world, place, body), 201),
            json=body,
        )

    def erase(self, who: Caller, place: Place, c: Condition = "none", shown: bool = False) -> Fields:
        """What was told."""
        return self.driver.call(
            who,
            place.target("write"),
            "DELETE",
            place.path,
            lambda told: (lives.delete(self.world, place, c), 200 if shown else 204),
            headers=self.driver.conditional(place.find(self.world), c) | preferring(shown),
        )[1]

    def move_one(self, who: Caller, place: Place, verb: str) -> Fields:
        def effect(told: Fields) -> tuple[Record, int]:
            is_back = verb == "restore"
            return lives.restore(self.world, place) if is_back else lives.move(self.world, place, verb), 200

        target = place.target("write", platform_only=True, reaches_tombstone=verb == "restore")
        return self.driver.call(who, target, "POST", f"{place.path}/{verb}", effect)[1]

    def grant_to(
        self, who: Caller, t: int, a: int, user_id: str, c: Condition = "none", scopes: list[str] | None = None
    ) -> None:
        self.driver.call(
            who,
            self.target(t, a, "users:write"),
            "PUT",
            self.path(t, a, f"users/{user_id}"),
            lambda told: grants.grant(*self.app(t, a), user_id, c, scopes),
            headers=self.driver.conditional(self.access(t, a, user_id), c),
            **({} if scopes is None else {"json": {"scopes": scopes}}),
        )

    def revoke_from(
        self, who: Caller, t: int, a: int, user_id: str, c: Condition = "none", shown: bool = False
    ) -> Fields:
        return self.driver.call(
            who,
            self.target(t, a, "users:write"),
            "DELETE",
            self.path(t, a, f"users/{user_id}"),
            lambda told: (grants.revoke_access(*self.app(t, a), user_id, c), 200 if shown else 204),
            headers=self.driver.conditional(self.access(t, a, user_id), c) | preferring(shown),
        )[1]


def preferring(shown: bool) -> dict[str, str]:
    return {"Prefer": "return=representation"} if shown else {}
