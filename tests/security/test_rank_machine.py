"""Whatever people do with management keys, in any order: nobody comes to more than was in the hands that did it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.errors import Unavailable
from identity.stores import Stores, create_tenant
from identity.tenants import PLATFORM, NewTenant
from tests.conftest import Api, unique
from tests.server import Database

T = TypeVar("T")
Powers = frozenset[tuple[str, str]]
"""In which tenant, what."""

NOUNS = ("users", "apps", "keys")
EVERYTHING = frozenset(
    {"*", "keys:verify", "keys:verify/shop", *(f"{n}:{v}" for n in NOUNS for v in ("read", "write"))}
)
INCLUDES = {
    "*": EVERYTHING,
    "keys:verify": frozenset({"keys:verify", "keys:verify/shop"}),
    **{f"{noun}:write": frozenset({f"{noun}:write", f"{noun}:read"}) for noun in NOUNS},
}

LIVE = """
SELECT id, tenant_id, scopes FROM identity.app_keys
 WHERE id = ANY (%s) AND revoked_at IS NULL AND disabled_at IS NULL
   AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""

EXAMPLES = int(os.environ.get("IDENTITY_FUZZ_EXAMPLES", "15"))
# To shrink takes minutes: that is for whoever looks for a bug, not for CI.
PHASES = (Phase.generate, Phase.shrink) if "IDENTITY_FUZZ_SHRINK" in os.environ else (Phase.generate,)
SCOPES = st.lists(st.sampled_from(sorted(EVERYTHING)), max_size=3, unique=True)
PEOPLE = st.integers(0, 3)
ANY = st.integers(0, 1000)


@dataclass
class World:
    """The service on its own event loop, and what came of all calls."""

    loop: asyncio.AbstractEventLoop
    api: Api
    stores: Stores
    connection: psycopg.Connection[Any]
    answers: Counter[str] = field(default_factory=Counter)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def prepare(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What must be there; a machine with too much to do is asked again."""
        for _ in range(20):
            with suppress(Unavailable):
                return self.run(work())
        return self.run(work())


class Rank(RuleBasedStateMachine):
    """Four people, some of a tenant and the others of the platform; each has a key to work with, and one that may be
    asleep."""

    world: ClassVar[World]
    of_tenant: ClassVar[int]

    @initialize(
        working=st.lists(SCOPES, min_size=4, max_size=4),
        other=st.lists(SCOPES, min_size=4, max_size=4),
        asleep=st.lists(st.sampled_from(["disabled_at", "expires_at", None]), min_size=4, max_size=4),
    )
    def start(self, working: list[list[str]], other: list[list[str]], asleep: list[str | None]) -> None:
        stores = self.world.stores
        new = self.world.prepare(lambda: create_tenant(stores, NewTenant(id=unique("rank"), name="Rank")))
        self.tenant_id = new[0].id
        self.tenants = {PLATFORM: [self.tenant_id, PLATFORM], self.tenant_id: [self.tenant_id]}
        self.keys: dict[str, str] = {}
        self.hands: list[dict[str, str]] = [{}, {}, {}, {}]
        for person, hand in enumerate(self.hands):
            tenant_id = self.tenant_id if person < self.of_tenant else PLATFORM
            news = [
                NewAppKey(name="working", scopes=("keys:write", *(scope for scope in working[person] if scope != "*"))),
                NewAppKey(name="other", scopes=tuple(other[person])),
            ]
            for key in self.world.prepare(partial(stores.app_keys.issue_many, tenant_id, IDENTITY, news)):
                self.keys[key.id] = tenant_id
                hand[key.id] = key.key
            if column := asleep[person]:
                statement = f"UPDATE identity.app_keys SET {column} = '2001-01-01' WHERE id = %s"
                self.world.connection.execute(statement.encode(), [list(hand)[1]])
        self.now, self.in_doubt = self.powers(), Powers()

    def powers(self) -> list[Powers]:
        """What the keys in each hand may do now, by a rule of its own."""
        found = self.world.connection.execute(LIVE, [list(self.keys)]).fetchall()
        each = {
            id: {(reached, one) for reached in self.tenants[tenant] for scope in scopes for one in included(scope)}
            for id, tenant, scopes in found
        }
        self.awake = each.keys()
        return [frozenset().union(*(each.get(id, set()) for id in hand)) for hand in self.hands]

    def act(self, who: int, by: int, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call by one key in somebody's hand; then nobody has more than they had, or than who acted had."""
        hand = self.hands[who]
        texts = [text for id, text in hand.items() if id in self.awake] or list(hand.values())
        more = {} if body is None else {"json": body}
        caller = Api(self.world.api.client, texts[by % len(texts)])
        answer = self.world.run(caller(method, path, **more))
        busy = answer.status_code == 503  # a machine with too much to do, which may yet do it
        self.world.answers["503" if busy else f"{answer.status_code // 100}xx"] += 1
        told: dict[str, Any] = answer.json() if answer.status_code in (200, 201) else {}
        if "key" in told:
            self.keys[told["id"]] = told["tenant_id"]
            self.hands[who][told["id"]] = told["key"]
        before, self.now = self.now, self.powers()
        acted = before[who] | self.in_doubt
        self.in_doubt = acted if busy else self.in_doubt
        for person, (had, has) in enumerate(zip(before, self.now, strict=True)):
            assert has <= had | acted, f"{person} gained {sorted(has - had - acted)}"
        return told

    def target(self, which: int, verb: str = "") -> str:
        id = list(self.keys)[which % len(self.keys)]
        return f"/v1/tenants/{self.keys[id]}/apps/identity/keys/{id}{verb}"

    @rule(who=PEOPLE, by=ANY, scopes=SCOPES, elsewhere=st.booleans())
    def create(self, who: int, by: int, scopes: list[str], elsewhere: bool) -> None:
        tenant_id = PLATFORM if elsewhere else self.tenant_id
        path = f"/v1/tenants/{tenant_id}/apps/identity/keys"
        self.act(who, by, "POST", path, {"name": "new", "scopes": scopes})

    @rule(who=PEOPLE, by=ANY, which=ANY, grace_s=st.sampled_from([0, 3600]))
    def rotate(self, who: int, by: int, which: int, grace_s: int) -> None:
        self.act(who, by, "POST", self.target(which, "/rotate"), {"grace_s": grace_s})

    @rule(who=PEOPLE, by=ANY)
    def rotate_oneself(self, who: int, by: int) -> None:
        id = list(self.hands[who])[by % len(self.hands[who])]
        self.act(who, by, "POST", f"/v1/tenants/{self.keys[id]}/apps/identity/keys/{id}/rotate")

    @rule(who=PEOPLE, by=ANY, which=ANY, scopes=SCOPES)
    def change_scopes(self, who: int, by: int, which: int, scopes: list[str]) -> None:
        self.act(who, by, "PATCH", self.target(which), {"scopes": scopes})

    @rule(who=PEOPLE, by=ANY, which=ANY, at=st.sampled_from([None, "2001-01-01T00:00:00Z", "2100-01-01T00:00:00Z"]))
    def change_expiry(self, who: int, by: int, which: int, at: str | None) -> None:
        self.act(who, by, "PATCH", self.target(which), {"expires_at": at})

    @rule(who=PEOPLE, by=ANY, which=ANY, verb=st.sampled_from(["/enable", "/enable", "/disable", "/revoke"]))
    def move(self, who: int, by: int, which: int, verb: str) -> None:
        self.act(who, by, "POST", self.target(which, verb))

    @rule(who=PEOPLE, by=ANY, which=ANY)
    def delete(self, who: int, by: int, which: int) -> None:
        self.act(who, by, "DELETE", self.target(which))


def included(scope: str) -> frozenset[str]:
    return INCLUDES.get(scope, frozenset({scope}))


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # the service's own thread does
@pytest.mark.parametrize("of_tenant", [4, 3, 2, 1])
async def test_nobody_gains_by_their_own_act_nor_by_another_who_has_less(
    platform: Api, stores: Stores, database: Database, of_tenant: int
) -> None:
    some = settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        Rank.world = World(asyncio.get_running_loop(), platform, stores, connection)
        Rank.of_tenant = of_tenant
        await asyncio.to_thread(run_state_machine_as_test, Rank, settings=some)
    answers = Rank.world.answers
    assert answers["5xx"] == 0
    assert min(answers["2xx"], answers["4xx"]) > 3 * EXAMPLES, "or hardly anything was tried"
