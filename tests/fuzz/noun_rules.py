"""What anybody does to tenants, apps, branches and users, in any order."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.fuzz import grants, lives, pools
from tests.fuzz.callers import Caller, Target
from tests.fuzz.driver import Driver, Service
from tests.fuzz.model import Fields, Record, Refused, Tenant
from tests.fuzz.nouns import TENANT, Condition, Noun, Place

PLATFORM = Caller(None)

By = tuple[str, int]
"""Which kind of caller, and which of them."""


class NounRules(RuleBasedStateMachine):
    """Two tenants whose apps, branches and users have the same ids, and whoever holds a key."""

    service: ClassVar[Service]

    def start(self) -> None:
        self.driver = Driver(self.service)
        self.world = self.driver.world
        self.ids = [f"{self.driver.run}-{letter}" for letter in "ab"]
        self.touched = [0, 1]
        for tenant, settings in enumerate(pools.FIRST_SETTINGS):
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

    # Tenants, apps, branches, users

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, what=pools.bodies)
    def create(self, by: By, t: int, a: int, n: int, what: tuple[Noun, Fields]) -> None:
        noun, body = what
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        if noun is TENANT:
            self.create_tenant(t, body, who)
            return
        body = self.filled(place, body) | {"id": place.id}
        self.driver.call(
            who,
            place.target("write"),
            "POST",
            place.list_path,
            lambda told: (lives.create(self.world, place, body), 201),
            json=body,
        )

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, what=pools.bodies, c=pools.put_conditions)
    def put(self, by: By, t: int, a: int, n: int, what: tuple[Noun, Fields], c: Condition) -> None:
        noun, body = what
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        body = self.filled(place, body)

        def effect(told: Fields) -> tuple[Record, int]:
            record, status = lives.put(self.world, who, place, body, c)
            if noun is TENANT and status == 201:
                self.driver.watch(place.id, told["ref"])
            return record, status

        self.driver.call(
            who,
            place.target("write", reaches_tombstone=True),
            "PUT",
            place.path,
            effect,
            json=body,
            headers=self.driver.conditional(place.find(self.world), c),
        )

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, what=pools.changes, c=pools.conditions)
    def patch(self, by: By, t: int, a: int, n: int, what: tuple[Noun, Fields], c: Condition) -> None:
        noun, changes = what
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        changes = self.filled(place, changes)
        self.driver.call(
            who,
            place.target("write"),
            "PATCH",
            place.path,
            lambda told: (lives.patch(self.world, who, place, changes, c), 200),
            json=changes,
            headers=self.driver.conditional(place.find(self.world), c),
        )

    @rule(
        by=pools.callers,
        t=pools.tenants,
        a=pools.apps,
        n=pools.which,
        noun=pools.nouns,
        c=pools.conditions,
        shown=pools.which,
    )
    def delete(self, by: By, t: int, a: int, n: int, noun: Noun, c: Condition, shown: bool) -> None:
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        headers = self.driver.conditional(place.find(self.world), c) | self.preferring(shown)
        self.driver.call(
            who,
            place.target("write"),
            "DELETE",
            place.path,
            lambda told: (lives.delete(self.world, place, c), 200 if shown else 204),
            headers=headers,
        )

    def preferring(self, shown: bool) -> dict[str, str]:
        return {"Prefer": "return=representation"} if shown else {}

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, what=pools.moves)
    def move(self, by: By, t: int, a: int, n: int, what: tuple[Noun, list[str]]) -> None:
        noun, verbs = what
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        if verbs[0] == "restore":
            place = self.tombstone(place)
        for verb in verbs:
            self.move_one(who, place, verb)

    def tombstone(self, place: Place) -> Place:
        """One of its siblings, if there is one: the others are only refused."""
        siblings = place.siblings(self.world) if place.noun is not TENANT else {}
        return next((replace(place, id=id) for id, each in siblings.items() if each.is_deleted), place)

    def move_one(self, who: Caller, place: Place, verb: str) -> None:
        def effect(told: Fields) -> tuple[Record, int]:
            is_back = verb == "restore"
            return lives.restore(self.world, place) if is_back else lives.move(self.world, place, verb), 200

        target = place.target("write", platform_only=True, reaches_tombstone=verb == "restore")
        self.driver.call(who, target, "POST", f"{place.path}/{verb}", effect)

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, noun=pools.nouns, is_over=pools.is_over)
    def purge(self, by: By, t: int, a: int, n: int, noun: Noun, is_over: bool) -> None:
        place, who = self.tombstone(self.place(noun, t, a, n)), self.caller(by, t)

        def effect(told: Fields) -> tuple[None, int]:
            lives.purge(self.world, place, is_over=is_over)
            return None, 204

        target = place.target("write", platform_only=True, reaches_tombstone=True)
        self.driver.call(who, target, "POST", f"{place.path}/purge", effect, hasty=is_over)

    @precondition(lambda self: hasattr(self, "driver") and self.fallen())
    @rule()
    def revive(self) -> None:
        """A tenant that fell, in one step: nothing else can happen there."""
        t, by = self.fallen()[0], ("platform", 0)
        tenant = self.world.tenants.get(self.ids[t])
        if tenant is None:
            self.create_tenant(t, {"name": "Acme"})
        else:
            self.move(by, t, 0, 0, (TENANT, ["restore", "activate"]))

    def fallen(self) -> list[int]:
        found = [self.world.tenants.get(id) for id in self.ids]
        return [t for t, each in enumerate(found) if each is None or each.is_deleted or each.status == "suspended"]

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, noun=pools.nouns)
    def get(self, by: By, t: int, a: int, n: int, noun: Noun) -> None:
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        self.driver.call(who, place.target("read"), "GET", place.path, lambda told: (place.get(self.world), 200))
