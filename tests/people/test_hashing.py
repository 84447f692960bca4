"""Hashing passwords: as dear as was promised, in a bounded room, and as dear for nobody's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, extract_parameters

from identity.hashing import NOBODYS, Hasher, TooBusy
from identity.settings import Settings
from tests.conftest import PASSWORD
from tests.people.conftest import People, at, worker
from tests.server import Database, execute


@pytest.fixture
def hasher() -> Iterator[Hasher]:
    """One works, and one more may wait."""
    found = Hasher(threads=1, queue=1)
    yield found
    found.close()


@pytest.fixture
def go_on(hasher: Hasher) -> Iterator[threading.Event]:
    """Set in the end whatever came, since closing a hasher waits for what works."""
    found = threading.Event()
    yield found
    found.set()


async def test_a_hash_is_argon2id_with_a_salt_of_its_own(hasher: Hasher) -> None:
    one, other = await hasher.hash(PASSWORD), await hasher.hash(PASSWORD)
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other
    assert await hasher.verify(one, PASSWORD)
    assert not await hasher.verify(one, PASSWORD + " ")
    assert not await hasher.verify("$2b$nonsense", PASSWORD)


async def test_nobodys_hash_costs_what_somebodys_does(hasher: Hasher) -> None:
    assert extract_parameters(NOBODYS) == extract_parameters(await hasher.hash(PASSWORD))
    assert not await hasher.verify(None, PASSWORD)


async def test_a_full_room_is_told_at_once_and_a_client_that_leaves_frees_none_of_it(
    hasher: Hasher, go_on: threading.Event
) -> None:
    """Else whoever asks and hangs up has any number hashed at once."""

    def wait() -> None:
        go_on.wait()

    async with asyncio.timeout(10):
        working, waiting = [asyncio.ensure_future(hasher.hash(PASSWORD, wait)) for _ in "12"]
        await asyncio.sleep(0)
        with pytest.raises(TooBusy):
            await hasher.verify(None, PASSWORD)
        for task in (working, waiting):
            task.cancel()
        await asyncio.wait({working, waiting})
        with pytest.raises(TooBusy):
            await hasher.verify(None, PASSWORD)
        go_on.set()
        while True:
            try:
                await hasher.hash(PASSWORD)
                break
            except TooBusy:
                await asyncio.sleep(0.01)


async def test_of_a_queue_a_part_is_kept_from_strangers(
    go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = Hasher(threads=1, queue=4)

    def wait() -> bool:
        return not go_on.wait()

    monkeypatch.setattr("identity.password_hashes.matches", lambda hash, password: wait())
    async with asyncio.timeout(10):
        strangers = [asyncio.ensure_future(hasher.verify(None, PASSWORD, by_stranger=True)) for _ in range(4)]
        await asyncio.sleep(0)
        for _ in "123":
            with pytest.raises(TooBusy):
                await hasher.verify(None, PASSWORD, by_stranger=True)
        known = asyncio.ensure_future(hasher.verify(None, PASSWORD))
        await asyncio.sleep(0)
        with pytest.raises(TooBusy):
            await hasher.hash(PASSWORD)
        go_on.set()
        assert await asyncio.gather(*strangers, known) == [False] * 5
        monkeypatch.setattr("identity.password_hashes.matches", lambda hash, password: True)
        again = [hasher.verify(PASSWORD, PASSWORD, by_stranger=True) for _ in range(4)]
        assert await asyncio.gather(*again) == [True] * 4, "all of it is free again"
    hasher.close()


async def test_a_refused_password_gives_its_room_back(hasher: Hasher) -> None:
    def refuse() -> None:
        raise ValueError("refused")

    for _ in range(4):
        with pytest.raises(ValueError, match="refused"):
            await hasher.hash(PASSWORD, refuse)


async def test_more_sign_ins_than_there_is_room_for_are_503_and_count_as_no_failure(
    people: People, settings: Settings, database: Database
) -> None:
    tight = settings.model_copy(update={"password_threads": 1, "password_queue": 0})
    async with worker(tight) as client:
        answers = await asyncio.gather(*(at(people, client).sign_in(login=name) for name in ("ana", "bob", "cy", "di")))
        busy = [answer for answer in answers if answer.status_code == 503]
        assert {answer.json()["code"] for answer in busy} == {"too_busy"}
        assert {answer.headers["Retry-After"] for answer in busy} == {"1"}
    counted = execute(database.admin_url, "SELECT 1 FROM identity.sign_in_failures WHERE tenant_id = %s", people.org.id)
    assert len(busy) == 3
    assert len(counted) + [answer.status_code for answer in answers].count(201) == 1


async def test_a_hash_of_other_parameters_is_made_anew_at_the_next_sign_in(people: People) -> None:
    """Which ends no session, since the password is the same."""
    stores, id = people.org.stores, people.org.id
    await stores.passwords.set(id, "ana", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))
    old = await stores.passwords.find(id, user_id="ana")
    session = (await people.signed_in())["session_id"]
    new = await stores.passwords.find(id, user_id="ana")
    assert old is not None
    assert new is not None
    assert new.hash is not None
    assert new.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert new.changed_at == old.changed_at
    await people.signed_in()
    assert (await people.session_ids())[0] == session
