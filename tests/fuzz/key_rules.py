"""What anybody does to access and to keys, in any order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis.stateful import rule

from tests.fuzz import grants, pools
from tests.fuzz.callers import Caller
from tests.fuzz.ground import By, preferring
from tests.fuzz.model import Fields, Key, Record
from tests.fuzz.noun_rules import NounRules
from tests.fuzz.nouns import Condition

SELF_ROTATION_GRACE_S = 60


class KeyRules(NounRules):
    """And access, and keys."""

    @rule(
        by=pools.callers,
        t=pools.tenants,
        a=pools.apps,
        user_id=pools.user_ids,
        c=pools.put_conditions,
    )
    def grant(self, by: By, t: int, a: int, user_id: str, c: Condition) -> None:
        self.grant_to(self.caller(by, t), t, a, user_id, c)

    @rule(
        by=pools.callers,
        t=pools.tenants,
        a=pools.apps,
        shown=pools.shown,
        user_id=pools.user_ids,
        c=pools.conditions,
    )
    def revoke_access(self, by: By, t: int, a: int, shown: bool, user_id: str, c: Condition) -> None:
        self.revoke_from(self.caller(by, t), t, a, user_id, c, shown)

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, user_id=pools.user_ids)
    def get_access(self, by: By, t: int, a: int, user_id: str) -> None:
        self.driver.call(
            self.caller(by, t),
            self.target(t, a, "users:read"),
            "GET",
            self.path(t, a, f"users/{user_id}"),
            lambda told: (grants.find_access(*self.app(t, a), user_id), 200),
        )

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, body=pools.new_keys)
    def issue(self, by: By, t: int, a: int, body: Fields) -> None:
        self.issue_of_app(by, t, a % 2, body)

    @rule(by=pools.callers, t=pools.tenants, body=pools.new_management_keys)
    def issue_to_manage(self, by: By, t: int, body: Fields) -> None:
        self.issue_of_app(by, t, 2, body)

    def issue_of_app(self, by: By, t: int, a: int, body: Fields) -> None:
        def effect(told: Fields) -> tuple[Record, int]:
            tenant, app = self.app(t, a)
            key = grants.issue(self.world, tenant, app, body, told)
            self.driver.watch(tenant.id, key.text)
            return key, 201

        who, target = self.caller(by, t), self.target(t, a, "keys:write")
        self.driver.call(who, target, "POST", self.path(t, a, "keys"), effect, json=body)

    # Keys that there are, and that there were

    def key(self, t: int, a: int, k: int) -> tuple[Key, int]:
        """One that was issued, of this tenant if there is one, and its app; or, at times, one of this app only by name:
        then it is not found there."""
        keys = [key for key in self.world.issued if key.tenant_id == self.ids[t]] or self.world.issued
        key = keys[-1 - k % len(keys)]
        return key, a if a == 1 else pools.IDS["app"].index(key.app_id)

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, k=pools.recent)
    def get_key(self, by: By, t: int, a: int, k: int) -> None:
        key, a = self.key(t, a, k)
        self.driver.call(
            self.caller(by, t),
            self.target(t, a, "keys:read"),
            "GET",
            self.path(t, a, f"keys/{key.id}"),
            lambda told: (grants.find_key(*self.app(t, a), key.id), 200),
        )

    @rule(
        by=pools.callers,
        t=pools.tenants,
        a=pools.apps,
        k=pools.recent,
        changes=pools.any_key_changes,
        c=pools.conditions,
    )
    def change_key(self, by: By, t: int, a: int, k: int, changes: Fields, c: Condition) -> None:
        key, a = self.key(t, a, k)

        def effect(told: Fields) -> tuple[Record, int]:
            tenant, app = self.app(t, a)
            return grants.change(app, grants.find_key(tenant, app, key.id), changes, c), 200

        self.driver.call(
            self.caller(by, t),
            self.target(t, a, "keys:write"),
            "PATCH",
            self.path(t, a, f"keys/{key.id}"),
            effect,
            json=changes,
            headers=self.driver.conditional(key, c),
        )

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, k=pools.recent, verbs=pools.key_verbs)
    def move_key(self, by: By, t: int, a: int, k: int, verbs: list[str]) -> None:
        (key, a), who = self.key(t, a, k), self.caller(by, t)
        moves = {"disable": grants.disable, "enable": grants.enable, "revoke": grants.revoke}
        for verb in verbs:
            path, move = self.path(t, a, f"keys/{key.id}/{verb}"), moves[verb]

            def effect(told: Fields, move: Callable[[Key], Key] = move) -> tuple[Record, int]:
                return move(grants.find_key(*self.app(t, a), key.id)), 200

            self.driver.call(who, self.target(t, a, "keys:write"), "POST", path, effect)

    @rule(by=pools.callers, t=pools.tenants, a=pools.apps, k=pools.recent, shown=pools.shown, c=pools.conditions)
    def delete_key(self, by: By, t: int, a: int, k: int, shown: bool, c: Condition) -> None:
        key, a = self.key(t, a, k)

        def effect(told: Fields) -> tuple[Record, int]:
            tenant, app = self.app(t, a)
            return grants.delete(tenant, grants.find_key(tenant, app, key.id), c), 200 if shown else 204

        self.driver.call(
            self.caller(by, t),
            self.target(t, a, "keys:write"),
            "DELETE",
            self.path(t, a, f"keys/{key.id}"),
            effect,
            headers=self.driver.conditional(key, c) | preferring(shown),
        )

    @rule(
        by=pools.callers,
        t=pools.tenants,
        a=pools.apps,
        k=pools.recent,
        grace_s=pools.grace_s,
        verbs=pools.before_rotation,
    )
    def rotate(self, by: By, t: int, a: int, k: int, grace_s: int, verbs: list[str]) -> None:
        self.move_key(by, t, a, k, verbs)
        key, a = self.key(t, a, k)
        self.rotate_by(self.caller(by, t), t, a, key, grace_s)

    @rule(k=pools.numbers)
    def rotate_oneself(self, k: int) -> None:
        key = self.world.issued[-1 - k % len(self.world.issued)]
        t = self.ids.index(key.tenant_id)
        self.rotate_by(Caller(key), t, pools.IDS["app"].index(key.app_id), key, 0)

    def rotate_by(self, who: Caller, t: int, a: int, key: Key, grace_s: int) -> None:
        body = {"grace_s": grace_s} if grace_s else {}
        grace_s = max(grace_s, SELF_ROTATION_GRACE_S) if who.key is key else grace_s

        def effect(told: Fields) -> tuple[Record, int]:
            tenant, app = self.app(t, a)
            successor = grants.rotate(self.world, tenant, app, grants.find_key(tenant, app, key.id), grace_s, told)
            self.driver.watch(tenant.id, successor.text)
            return successor, 201

        path = self.path(t, a, f"keys/{key.id}")
        tenant = self.world.tenants.get(key.tenant_id)
        until = grants.lives_until(tenant, key) if tenant else None
        made, _ = self.driver.call(who, self.target(t, a, "keys:write"), "POST", f"{path}/rotate", effect, json=body)
        if made is not None:
            self.read_grace(key, path, grace_s, until)

    def read_grace(self, old: Key, path: str, grace_s: int, before: str | None) -> None:
        """When the old key ends: as it was to before any rotation, or sooner."""
        answer = self.service.run(self.driver.send(Caller(None), old.tenant_id, "GET", path))
        ends_at = answer.json()["expires_at"]
        if grace_s and ends_at != before:
            most = datetime.now(UTC) + timedelta(seconds=grace_s)
            ends = datetime.fromisoformat(ends_at)
            assert most - timedelta(seconds=30) < ends <= most
            assert before is None or ends < datetime.fromisoformat(before)
        if grace_s:
            old.fields["expires_at"] = ends_at
        assert old.agrees_with(answer.json())
        old.known_by(answer.headers["etag"])
