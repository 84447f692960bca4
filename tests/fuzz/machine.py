"""The machine: whatever is done, verdicts, lists and refusals are the model's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from hypothesis.stateful import initialize, invariant, rule

from tests.fuzz import pools
from tests.fuzz.callers import Caller, Target, judge, judge_credential
from tests.fuzz.ground import By
from tests.fuzz.key_rules import KeyRules
from tests.fuzz.model import App, Fields, Key, Record, Refused, folded, living
from tests.fuzz.nouns import TENANT, USER, Noun

# A list that is wrong stays wrong until it is looked at, where a verdict may come and go: so the one now and then (and
# at the end), the other after each write.
LISTS_EVERY = int(os.environ.get("IDENTITY_FUZZ_LISTS_EVERY", "4"))


class Machine(KeyRules):
    """Two tenants whose apps, branches and users have the same ids, and whoever holds a key."""

    writes = 0

    @initialize()
    def settle(self) -> None:
        """Something to act on from the start: else most calls would find nothing."""
        self.start()
        for tenant in (0, 1):
            for noun, body in pools.FIRST:
                self.create(("own", 0), tenant, 0, 0, (noun, body))
            self.create(("own", 0), tenant, 0, 1, (USER, {"username": "bob", "email": "bob@example.com"}))
            self.grant(("own", 0), tenant, 0, "ana", "none")
            for body in pools.FIRST_KEYS:
                self.issue(("own", 0), tenant, 0, body)

    @rule(by=pools.callers, t=pools.tenants, k=pools.numbers, asked=pools.asked)
    def verify(self, by: By, t: int, k: int, asked: Fields) -> None:
        who, key = self.caller(by, t), self.world.issued[-1 - k % len(self.world.issued)]
        work = self.driver.send(who, key.tenant_id, "POST", "/v1/keys/verify", json={"key": key.text, **asked})
        self.driver.verify(who, key, asked, self.service.run(work))

    @rule(k=pools.numbers)
    def whoami(self, k: int) -> None:
        key = self.world.issued[-1 - k % len(self.world.issued)]
        answer = self.service.run(self.driver.send(Caller(key), key.tenant_id, "GET", "/v1/keys/whoami"))
        try:
            judge_credential(self.world, Caller(key))
        except Refused as refused:
            self.driver.must_be_refused(answer, refused)
        else:
            self.driver.must_be_verdict(answer, key, "valid")

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, n=pools.which, what=pools.lists)
    def list(self, by: By, t: int, a: int, n: int, what: tuple[Noun, Fields]) -> None:
        noun, where = what
        place, who = self.place(noun, t, a, n), self.caller(by, t)
        if noun is TENANT:
            return
        self.compare(
            who,
            place.target("read"),
            place.list_path,
            where,
            lambda: {id: each for id, each in place.siblings(self.world).items() if matches(noun, each, where)},
        )

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, of_app=pools.shown, where=pools.key_filters)
    def list_keys(self, by: By, t: int, a: int, of_app: bool, where: Fields) -> None:
        """Of the tenant, or of one app."""
        target = self.target(t, a, "keys:read") if of_app else Target("keys:read", self.ids[t])
        path = self.path(t, a, "keys") if of_app else f"/v1/tenants/{self.ids[t]}/keys"
        within = {"app_id": target.app_id} if of_app else {}

        def expected() -> dict[str, Key]:
            keys = self.world.tenants[self.ids[t]].keys
            wanted = within.items() | where.items()
            return {id: key for id, key in keys.items() if wanted <= key.fields.items()}

        self.compare(self.caller(by, t), target, path, where, expected)

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, status=pools.access_statuses)
    def list_access(self, by: By, t: int, a: int, status: str) -> None:
        def expected() -> dict[str, Record]:
            tenant, app = self.app(t, a)
            found = {id: each for id, each in app.access.items() if living(tenant.users, id)}
            return {id: each for id, each in found.items() if each.status == status}

        who, target, path = self.caller(by, t), self.target(t, a, "users:read"), self.path(t, a, "users")
        self.compare(who, target, path, {"status": status}, expected, "user_id")

    @rule(by=pools.callers, t=pools.tenants, user_id=pools.user_ids)
    def list_apps_of_user(self, by: By, t: int, user_id: str) -> None:
        def expected() -> dict[str, Record]:
            tenant = self.world.tenants[self.ids[t]]
            if living(tenant.users, user_id) is None:
                raise Refused(404, "user_not_found")
            return {app.id: app.access[user_id] for app in tenant.apps.values() if has(app, user_id)}

        target, path = Target("users:read", self.ids[t]), f"/v1/tenants/{self.ids[t]}/users/{user_id}/apps"
        self.compare(self.caller(by, t), target, path, {}, expected, "app_id")

    @rule(by=pools.callers, t=pools.tenants)
    def list_tenants(self, by: By, t: int) -> None:
        """Each sees itself; the platform here the one that has this domain."""
        who = self.caller(by, t)
        where = {"domain": f"one.{self.driver.run}.example.com"} if who.is_platform else {}

        def expected() -> dict[str, Record]:
            of = [each for id, each in self.world.tenants.items() if who.key is None or id == who.key.tenant_id]
            return {each.id: each for each in of if not each.is_deleted and where.items() <= each.fields.items()}

        self.compare(who, Target("tenants:read"), "/v1/tenants", where, expected)

    def compare(
        self,
        who: Caller,
        target: Target,
        path: str,
        where: Fields,
        expected: Callable[[], Mapping[str, Record]],
        key: str = "id",
    ) -> None:
        """The list with what the model has, or the refusals."""
        try:
            judge(self.world, who, target)
            records = expected()
        except Refused as refused:
            answer = self.service.run(self.driver.send(who, target.tenant_id, "GET", path, params=where))
            self.driver.must_be_refused(answer, refused)
        else:
            self.service.run(self.driver.must_list(who, target.tenant_id, path, where, records, key, limit=2))

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        """Reading changes nothing: after it there is nothing new to see."""
        if not hasattr(self, "driver"):
            return
        if self.driver.wrote:
            self.writes += 1
            is_time = self.writes % LISTS_EVERY == 0
            self.service.run(self.driver.look([self.ids[each] for each in self.touched] if is_time else []))
            self.touched = [] if is_time else self.touched
        self.driver.wrote = False
        self.service.seen["steps"] += 1

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.driver.buried.clear()
            self.service.run(self.driver.look(self.ids))


def has(app: App, user_id: str) -> bool:
    return user_id in app.access and not app.is_deleted


def matches(noun: Noun, record: Record, where: Fields) -> bool:
    """Whether a list so filtered holds it."""
    wanted = {name: value for name, value in where.items() if name != "deleted"}
    spelling = folded if noun is USER else str
    return record.is_deleted == ("deleted" in where) and all(
        record.fields[name] is not None and spelling(record.fields[name]) == spelling(value)
        for name, value in wanted.items()
    )
