"""What anybody does to tenants, apps, branches and users, in any order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis.stateful import precondition, rule

from tests.fuzz import lives, pools
from tests.fuzz.ground import By, Ground
from tests.fuzz.model import Fields, Record
from tests.fuzz.nouns import TENANT, Condition, Noun, Place


class NounRules(Ground):
    """What befalls them all."""

    # Tenants, apps, branches, users

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, what=pools.bodies)
    def create(self, by: By, t: int, a: int, n: int, what: tuple[Noun, Fields]) -> None:
        noun, body = what
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        if noun is TENANT:
            self.create_tenant(t, body, who)
            return
        self.make(who, place, body)

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
        self.erase(who, place, c, shown)

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
