"""What is remembered is good only as far as a proof reaches that was sent after the question; a "no" is not kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from identity.app_keys import AppKeyChanges, IssuedKey, NewAppKey
from identity.settings import Settings
from identity.users import NewUser
from identity.verify import Known, Verdict, Verification, Verifier, open_verifier
from identity.verify.memory import Memory, Proof
from identity.verify.rules import parse_ips
from tests.conftest import Organisation
from tests.server import Database, execute
from tests.verify.stalls import stalled


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Verifier]:
    """One that remembers nothing yet."""
    async with open_verifier(settings) as found:
        yield found


async def ask(verifier: Verifier, key: IssuedKey) -> Verdict:
    return await verifier.verify(Verification(key=key.key))


async def issue(org: Organisation, name: str = "other") -> IssuedKey:
    return await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name=name, user_id="ana", branch_id="mad"))


async def rename(org: Organisation, key: IssuedKey, name: str) -> None:
    await org.stores.app_keys.update(org.id, "shop", key.id, AppKeyChanges(name=name))


async def test_a_no_is_not_remembered(org: Organisation, worker: Verifier) -> None:
    await org.stores.users.create(org.id, NewUser(id="bo", username="bo"))
    key = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="of bo", user_id="bo"))
    assert (await ask(worker, key)).code == "access_revoked"
    assert len(worker.memory) == 0
    await org.stores.user_apps.grant(org.id, "shop", "bo")
    assert (await ask(worker, key)).code == "valid"
    assert len(worker.memory) == 1


async def test_more_changes_than_are_named_forget_the_tenant(org: Organisation, worker: Verifier) -> None:
    other = await issue(org)
    assert (await ask(worker, org.key)).valid
    await org.stores.app_keys.revoke(org.id, "shop", org.key.id)
    for n in range(40):
        await rename(org, other, f"other {n}")
    assert (await ask(worker, org.key)).code == "revoked"


async def test_as_many_changes_as_are_named_forget_no_more_than_they_name(org: Organisation, worker: Verifier) -> None:
    key, other = org.key, await issue(org)
    remembered = await worker.look_up(key.key)
    for n in range(32):
        await rename(org, other, f"other {n}")
    assert await worker.look_up(key.key) is remembered


async def test_a_row_that_was_read_before_the_tenant_was_known_is_not_believed(
    org: Organisation, worker: Verifier
) -> None:
    """Of what changed between that row and the tenant's first counter nobody has told this worker."""
    other = await issue(org)
    with stalled("cold, after the row is read") as stall:
        early = asyncio.create_task(ask(worker, org.key))
        await stall.reached.wait()
        await org.stores.app_keys.revoke(org.id, "shop", org.key.id)
        assert (await ask(worker, other)).valid
        stall.release()
        await early
    assert (await ask(worker, org.key)).code == "revoked"


async def test_a_row_that_was_asked_for_before_all_was_forgotten_is_not_remembered(
    org: Organisation, worker: Verifier
) -> None:
    with stalled("cold, after the row is read") as stall:
        early = asyncio.create_task(ask(worker, org.key))
        await stall.reached.wait()
        worker.memory.forget_all()
        stall.release()
        assert (await early).valid
    assert len(worker.memory) == 0


async def test_a_verdict_that_is_forgotten_while_it_is_proved_is_asked_anew(
    org: Organisation, worker: Verifier
) -> None:
    remembered = await worker.look_up(org.key.key)
    with stalled("warm, after the counter is read") as stall:
        early = asyncio.create_task(worker.look_up(org.key.key))
        await stall.reached.wait()
        worker.memory.forget_all()
        stall.release()
        again = await early
    assert again.answer == remembered.answer
    assert again is not remembered


async def test_a_counter_that_has_gone_back_is_another_databases(
    org: Organisation, worker: Verifier, database: Database
) -> None:
    assert (await ask(worker, org.key)).valid
    await rename(org, org.key, "new")
    assert (await ask(worker, org.key)).name == "new"
    execute(database.admin_url, "UPDATE identity.tenant_changes SET n = n - 1 WHERE tenant_id = %s", org.id)
    epoch = worker.memory.epoch
    assert (await ask(worker, org.key)).valid
    assert worker.memory.epoch == epoch + 1


async def test_what_is_remembered_is_what_was_read(org: Organisation, worker: Verifier) -> None:
    end, numbers = datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), {"vast": 1e300, "whole": 2**63 - 1}
    new = NewAppKey(name="Señor «Á»", expires_at=end, metadata=numbers, scopes=("a", "b:*"))
    key = await org.stores.app_keys.issue(org.id, "shop", new)
    cold, warm = await ask(worker, key), await ask(worker, key)
    assert warm == cold
    assert (cold.name, cold.expires_at, cold.metadata, cold.scopes) == (new.name, end, numbers, ("a", "b:*"))
    assert cold.metadata is not None
    assert isinstance(cold.metadata["vast"], float)


async def test_a_worker_may_remember_nothing(org: Organisation, settings: Settings) -> None:
    async with open_verifier(settings.model_copy(update={"remembered_keys": 0})) as forgetful:
        assert (await ask(forgetful, org.key)).valid
        assert (await ask(forgetful, org.key)).valid
        assert len(forgetful.memory) == 0


def entry(ref: str, n: int, epoch: int = 0) -> Known:
    return Known("valid", b"", key_id="k", user_id="u", ref=ref, n=n, epoch=epoch)


def test_it_holds_no_more_than_it_may() -> None:
    memory = Memory(10)
    for n in range(100):
        memory.remember(str(n).encode(), entry(f"t{n}", 1), b"t%d:1:7" % n, 0)
        assert len(memory) <= 10
    assert memory.get(b"99") is not None
    assert memory.get(b"1") is None


def test_what_is_large_takes_the_place_of_several() -> None:
    memory = Memory(100)
    for n in range(100):
        large = Known("valid", b"x" * 10_000, ref=f"t{n}", allowed_routes=b"[]" * 5_000)
        memory.remember(str(n).encode(), large, b"t%d:0:7" % n, 0)
    assert len(memory) <= 6


async def test_rules_of_keys_that_nobody_judges_are_not_read(org: Organisation, worker: Verifier) -> None:
    """A hundred of them a key, in a batch of a thousand, would keep everybody waiting."""
    new = NewAppKey.model_validate(
        {"name": "ruled", "allowed_ips": ["192.0.2.0/24"], "allowed_routes": [{"path": "/a"}]}
    )
    key = await org.stores.app_keys.issue(org.id, "shop", new)
    parse_ips.cache_clear()
    assert (await worker.look_up(key.key)).allowed_ips == b'["192.0.2.0/24"]'
    assert parse_ips.cache_info().misses == 0


def test_an_entry_of_another_epoch_does_not_stand() -> None:
    memory, remembered = Memory(10), entry("t", 5)
    memory.forget_all()
    memory.remember(b"another", entry("t", 5, memory.epoch), b"t:5:7", 2)
    proved, moved = memory.prove(["t"], [b"t:5:7"], 3)
    assert moved == []
    assert not memory.stands(remembered, Proof(proved, now_s=0))


def test_the_same_number_of_another_version_is_another_databases() -> None:
    memory = Memory(10)
    memory.remember(b"one", entry("t", 5), b"t:5:7", 1)
    assert memory.prove(["t"], [b"t:5:8"], 2) == ({}, [])
    assert memory.epoch == 1


def test_a_proof_that_comes_after_a_later_one_still_stands() -> None:
    memory, remembered = Memory(10), entry("t", 5)
    memory.remember(b"one", remembered, b"t:5:7", 1)
    memory.learn(b"t:6:8", ["key other"], 4)
    proved, moved = memory.prove(["t"], [b"t:5:7"], asked_at_s=3)
    assert moved == []
    assert memory.stands(remembered, Proof(proved, now_s=0))
