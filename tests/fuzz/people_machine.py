"""The machine of people: they come and go in two tenants that stay."""

from __future__ import annotations

from typing import ClassVar

from hypothesis.stateful import initialize, invariant, rule

from tests.fuzz import people, pools
from tests.fuzz.ground import PLATFORM
from tests.fuzz.model import Fields, Record
from tests.fuzz.nouns import APP, TENANT, USER, Place
from tests.fuzz.people_rules import PeopleRules

OWN = ("own", 0)
USERS: list[Fields] = [
    {"username": "stra\u00dfe", "email": "ana@example.com", "metadata": {}},
    {"username": "bob", "metadata": {}},
]


class PeopleMachine(PeopleRules):
    """Ana and Bob of either tenant, who may use what they have passwords for."""

    first_settings: ClassVar[list[Fields]] = [{"lockout": lockout} for lockout in pools.LOCKOUTS]

    brought_back = False

    @initialize()
    def settle(self) -> None:
        self.start()
        for t in (0, 1):
            self.make(PLATFORM, self.place(APP, t, 0, 0), {"name": "Shop", "type": "web", "metadata": {}})
            for n, body in enumerate(USERS):
                self.make(PLATFORM, self.place(USER, t, 0, n), body)
                self.set_password(OWN, t, pools.USER_IDS[n], pools.PASSWORDS[n])
                self.grant_to(PLATFORM, t, 0, pools.USER_IDS[n])
            self.grant_to(PLATFORM, t, 2, "ana")
            self.all_sign_in(t)

    def all_sign_in(self, t: int) -> None:
        for a, user_id in ((0, "ana"), (2, "ana"), (0, "bob")):
            self.sign_in_as(t, a, user_id, "username", "right")

    @rule(t=pools.tenants, n=pools.who_leaves, ways=pools.ways_out, is_back=pools.shown)
    def leave(self, t: int, n: int, ways: list[str], is_back: bool) -> None:
        """One way after the other, and back each time; perhaps not after the last."""
        for way in ways[:-1]:
            self.leave_once(t, n, way)
            self.come_back(t)
        self.leave_once(t, n, ways[-1])
        if is_back:
            self.come_back(t)

    def leave_once(self, t: int, n: int, way: str) -> None:
        if way in pools.PAUSES:
            self.pause(t, way)
        else:
            self.leave_by(t, n, way)
        self.service.seen[way] += 1
        self.look_at_people()

    def leave_by(self, t: int, n: int, way: str) -> None:
        """Their user, or one access: the receipt names the sessions that end, and no new one begins."""
        user, app = self.place(USER, t, 0, n), 0 if n else 2
        expected = self.open_sessions(user, pools.IDS["app"][app] if way == "revoke" else None)
        if way == "revoke":
            told = self.revoke_from(PLATFORM, t, app, user.id, shown=True)
        elif way == "delete":
            told = self.erase(PLATFORM, user, shown=True)
        else:
            told = self.move_one(PLATFORM, user, way)
        self.sign_in_as(t, app, user.id, "username", "right")
        if "receipt" in told and way != "lock":
            assert told["receipt"]["sessions_ended"] == expected

    def open_sessions(self, user: Place, app_id: str | None) -> list[str]:
        tenant = self.world.tenants[user.tenant_id]
        return [session.id for session in people.sessions_of(tenant, user.id, app_id)]

    def pause(self, t: int, way: str) -> None:
        """All who are signed in there, or to the shop, are not for as long as that lasts."""
        noun, verb = {"suspend tenant": (TENANT, "suspend"), "disable app": (APP, "disable")}[way]
        self.move_one(PLATFORM, self.place(noun, t, 0, 0), verb)

    @rule(t=pools.tenants)
    def come_back(self, t: int) -> None:
        """Whatever was left, in this tenant: all are there again, and sign in."""
        tenant = self.world.tenants[self.ids[t]]
        self.brought_back = False
        self.skip(t, pools.LONGER_THAN_A_PAUSE_S)
        self.bring_back(self.place(TENANT, t, 0, 0), tenant, {"suspended": "activate"})
        self.bring_back(self.place(APP, t, 0, 0), tenant.apps["shop"], {"disabled": "enable"})
        for n, user_id in enumerate(pools.USER_IDS[:2]):
            place = self.place(USER, t, 0, n)
            self.bring_back(place, tenant.users[user_id], {"suspended": "activate", "locked": "unlock"})
        for a in (0, 2):
            for user_id, access in self.app(t, a)[1].access.items():
                if access.status == "revoked":
                    self.grant_to(PLATFORM, t, a, user_id)
                    self.brought_back = True
        self.look_at_people()
        if self.brought_back:
            self.all_sign_in(t)

    def bring_back(self, place: Place, record: Record, verbs: dict[str, str]) -> None:
        self.brought_back = self.brought_back or record.is_deleted or record.status in verbs
        if record.is_deleted:
            self.move_one(PLATFORM, place, "restore")
        if record.status in verbs:
            self.move_one(PLATFORM, place, verbs[record.status])

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        if hasattr(self, "driver"):
            self.look_at_people()
            self.service.seen["steps"] += 1

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.look_back()
