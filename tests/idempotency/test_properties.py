"""Whatever is sent under whichever key, in any order: what a model of a few lines says, and no effect more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.stores import Stores
from tests.api.problems import told
from tests.conftest import Api, Organisation, make_organisation
from tests.idempotency.keyed import is_replayed, under
from tests.server import Database, execute

BODIES: dict[str, list[dict[str, Any]]] = {
    "users": [{"username": "bo"}, {"username": "cy"}, {"username": "ana"}, {"username": "\0"}],
    "apps/shop/keys": [{"name": "bo"}, {"name": "cy"}, {"name": "bo", "branch_id": "nowhere"}, {"name": ""}],
}
"""Two that are good, though of a username only once; one that the database refuses, and one that we do."""
REFUSED = {"users": "username_taken", "apps/shop/keys": "branch_not_found"}


@dataclass(frozen=True)
class Step:
    """One request, sent so many times at once."""

    caller: int
    org: int
    noun: str
    key: str
    body: int
    times: int


STEPS = st.lists(
    st.builds(
        Step,
        caller=st.integers(0, 2),
        org=st.integers(0, 1),
        noun=st.sampled_from(sorted(BODIES)),
        key=st.sampled_from(["k1", "k2"]),
        body=st.integers(0, 3),
        times=st.integers(1, 3),
    ),
    min_size=1,
    max_size=20,
)


@dataclass
class Model:
    """What was done under which key, and which names are taken."""

    done: dict[tuple[int, int, str, str], tuple[int, bytes]] = field(default_factory=dict)
    names: set[tuple[int, int]] = field(default_factory=set)

    def expected(self, step: Step) -> str:
        if step.caller < 2 and step.caller != step.org:
            return "tenant_not_found"
        if step.body == 3:
            return "invalid_request"
        kept = self.done.get((step.caller, step.org, step.noun, step.key))
        if kept is not None:
            return "again" if kept[0] == step.body else "idempotency_key_reused"
        if step.body == 2 or (step.noun == "users" and (step.org, step.body) in self.names):
            return REFUSED[step.noun]
        return "made"

    def did(self, step: Step, content: bytes) -> None:
        self.done[step.caller, step.org, step.noun, step.key] = (step.body, content)
        if step.noun == "users":
            self.names.add((step.org, step.body))


def came_of(answer: httpx2.Response) -> str:
    if answer.status_code == 201:
        return "again" if is_replayed(answer) else "made"
    return told(answer)[1]


async def take(step: Step, model: Model, callers: list[Api], orgs: list[Organisation]) -> str:
    path, body = f"{orgs[step.org].path}/{step.noun}", BODIES[step.noun][step.body]
    calls = [callers[step.caller].post(path, body, **under(step.key)) for _ in range(step.times)]
    answers = await asyncio.gather(*calls)
    expected = model.expected(step)
    others = "again" if expected == "made" else expected
    assert Counter(map(came_of, answers)) == Counter([expected, *[others] * (step.times - 1)])
    if expected == "made":
        model.did(step, answers[0].content)
    if "again" in (expected, others):
        _, content = model.done[step.caller, step.org, step.noun, step.key]
        assert {answer.content for answer in answers} == {content}
    return expected


EFFECTS = """
SELECT (SELECT count(*) FROM identity.users WHERE tenant_id = ANY (%s) AND id <> 'ana')
     + (SELECT count(*) FROM identity.app_keys WHERE tenant_id = ANY (%s) AND name IN ('bo', 'cy')),
       (SELECT count(*) FROM identity.idempotency_keys WHERE tenant_id = ANY (%s))
"""


@dataclass
class World:
    """The service on its own event loop, and what came of all steps."""

    loop: asyncio.AbstractEventLoop
    platform: Api
    stores: Stores
    database: Database
    came: Counter[str] = field(default_factory=Counter)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def live(self, steps: list[Step]) -> None:
        orgs = [await make_organisation(self.stores, self.platform.client) for _ in range(2)]
        callers, model = [orgs[0].admin, orgs[1].admin, self.platform], Model()
        for step in steps:
            self.came[await take(step, model, callers, orgs)] += 1
        ids = [org.id for org in orgs]
        assert execute(self.database.admin_url, EFFECTS, ids, ids, ids) == [(len(model.done), len(model.done))]


async def test_effects_are_as_many_as_callers_paths_and_keys_that_succeeded(
    platform: Api, stores: Stores, database: Database
) -> None:
    world = World(asyncio.get_running_loop(), platform, stores, database)

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def lives(steps: list[Step]) -> None:
        world.run(world.live(steps))

    await asyncio.to_thread(lives)
    seen = {"made", "again", "idempotency_key_reused", "tenant_not_found", "invalid_request", *REFUSED.values()}
    assert world.came.keys() == seen
    assert min(world.came.values()) > 10, world.came
