"""The adversary is worth what it catches: each way to break the rule is tried, and seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import pytest

from identity.app_keys import NewAppKey
from identity.settings import Settings
from identity.stores import open_stores
from identity.users import NewUser
from identity.verify import Known, Verifier, open_verifier
from identity.verify.batch import Batch, Carry
from identity.verify.lanes import Lanes
from identity.verify.memory import Memory
from tests.conftest import Organisation, make_organisation, settings_for
from tests.server import Database, execute, new_database
from tests.verify.harms import HARMS, victim
from tests.verify.test_adversary import ask, told


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    with new_database() as found:
        yield found


@pytest.fixture
async def place(own: Database) -> Settings:
    return settings_for(own)


@pytest.fixture
async def its(place: Settings, client: httpx2.AsyncClient) -> AsyncIterator[Organisation]:
    async with open_stores(place) as stores:
        yield await make_organisation(stores, client)


@pytest.fixture
async def worker(place: Settings) -> AsyncIterator[Verifier]:
    async with open_verifier(place) as found:
        yield found


async def is_caught(org: Organisation, worker: Verifier, name: str, step: str) -> bool:
    text = (await victim(org, name)).key
    return not all(await told(org, text, name, step, worker))


@pytest.mark.parametrize("step", ["cold, after the row is read", "warm, after the changes are read"])
async def test_whoever_joins_a_statement_in_flight_is_caught(
    its: Organisation, worker: Verifier, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    join, sent = Lanes.join, dict[Carry, Batch]()

    def joined(lanes: Lanes, carry: Carry, names: Sequence[str], *args: Any, **more: Any) -> Batch:
        on_its_way = sent.get(carry)
        if on_its_way is not None and not on_its_way.is_done and set(names) <= set(on_its_way.names):
            return on_its_way
        sent[carry] = join(lanes, carry, names, *args, **more)
        return sent[carry]

    monkeypatch.setattr(Lanes, "join", joined)
    assert await is_caught(its, worker, "key revoked", step)


@pytest.mark.parametrize("name", HARMS)
async def test_whoever_skips_the_proof_is_caught(
    its: Organisation, worker: Verifier, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Memory, "stands", lambda *_: True)
    assert await is_caught(its, worker, name, "warm, before it is sent")


async def test_whoever_remembers_a_no_is_caught(
    its: Organisation, worker: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is new raises no counter: nothing that is remembered could hang on it, unless a no is."""
    judge, remember = Verifier._judge, Memory.remember

    def judged(verifier: Verifier, key: Any, found: Any, digest: bytes) -> Known:
        known = judge(verifier, key, found, digest)
        if known.key_id and known.code != "valid":
            remember(verifier.memory, digest, known, found.rows[key.id][13], 0)
        return known

    monkeypatch.setattr(Verifier, "_judge", judged)
    await its.stores.users.create(its.id, NewUser(id="bo", username="bo"))
    key = await its.stores.app_keys.issue(its.id, "shop", NewAppKey(name="of bo", user_id="bo"))
    assert (await ask(worker, key.key)).code == "access_revoked"
    await its.stores.user_apps.grant(its.id, "shop", "bo")
    assert (await ask(worker, key.key)).code == "access_revoked", "caught: it is valid by now"


NOUNS = {
    "tenants": ("tenant suspended", "tenant deleted"),
    "apps": ("app disabled", "app deleted"),
    "branches": ("branch disabled", "branch deleted"),
    "users": ("owner suspended", "owner locked", "owner deleted"),
    "user_apps": ("access revoked",),
    "app_keys": ("key revoked", "key disabled", "key deleted", "key renamed", "scopes taken", "metadata changed"),
}


@pytest.mark.parametrize(("noun", "name"), [(noun, name) for noun, names in NOUNS.items() for name in names])
async def test_whoever_forgets_to_count_a_noun_is_caught(
    own: Database, its: Organisation, worker: Verifier, noun: str, name: str
) -> None:
    triggers = ("gather_updated", "gather_deleted")
    for trigger in triggers:
        execute(own.admin_url, f"ALTER TABLE identity.{noun} DISABLE TRIGGER {trigger}")
    try:
        assert await is_caught(its, worker, name, "warm, before it is sent")
    finally:
        for trigger in triggers:
            execute(own.admin_url, f"ALTER TABLE identity.{noun} ENABLE ALWAYS TRIGGER {trigger}")
