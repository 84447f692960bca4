"""Signing keys make themselves, come and go without a token that is refused, and lie sealed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from identity.settings import Settings
from identity.signing_keys import ANNOUNCED_S, LONGEST_TOKEN_S, new_signing_key
from identity.stores import Stores, open_stores
from identity.tokens import KeyRing, Tokens
from tests.conftest import settings_for
from tests.server import Database, execute, new_database

WAITING = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%%signing_keys%%'
"""
SECRETS = (b"s" * 32,)


@pytest.fixture(scope="module")
def installation() -> Iterator[Database]:
    """Of its own: signing keys are no tenant's."""
    with new_database() as found:
        yield found


@pytest.fixture
async def stores(installation: Database) -> AsyncIterator[Stores]:
    execute(installation.admin_url, "DELETE FROM identity.signing_keys")
    async with open_stores(settings_for(installation)) as found:
        yield found


def worker(stores: Stores, *secret_keys: bytes) -> Tokens:
    return Tokens(KeyRing(stores.signing_keys, secret_keys or SECRETS), "https://identity.example.com")


async def token(tokens: Tokens) -> str:
    return await tokens.sign("acme", "shop", "ana", scopes=("a", "b:c"), lifetime_s=300, session_id="s")


async def signer(tokens: Tokens) -> str:
    return (await tokens.keys.signing())[0]


def pass_by(installation: Database, seconds: int) -> None:
    execute(
        installation.admin_url,
        "UPDATE identity.signing_keys SET starts_at = starts_at - make_interval(secs => %s)",
        seconds,
    )


async def test_a_token_says_what_was_signed(stores: Stores) -> None:
    tokens = worker(stores)
    claims = await tokens.read(await token(tokens))
    assert claims is not None
    assert (claims.tenant_id, claims.app_id, claims.user_id, claims.key_id) == ("acme", "shop", "ana", None)
    assert (claims.scopes, claims.sid, claims.exp - claims.iat) == (("a", "b:c"), "s", 300)
    assert claims.iss == "https://identity.example.com/v1/tenants/acme"


async def test_the_first_key_is_made_once_by_all_workers(stores: Stores) -> None:
    workers = [worker(stores) for _ in range(20)]
    texts = await asyncio.gather(*(token(each) for each in workers))
    assert len(await stores.signing_keys.list()) == 1
    assert all([await workers[-1].read(text) for text in texts])


async def test_who_has_seen_no_key_waits_for_the_one_that_is_being_made(installation: Database, stores: Stores) -> None:
    async with stores.transaction() as tx:
        await tx.signing_keys.make_first(new_signing_key(SECRETS), closed=[])
        second = asyncio.create_task(stores.signing_keys.make_first(new_signing_key(SECRETS), closed=[]))
        while not second.done() and execute(installation.admin_url, WAITING) != [(1,)]:  # noqa: ASYNC110  (it is told nowhere)
            await asyncio.sleep(0.01)
    await second
    assert len(await stores.signing_keys.list()) == 1


async def test_a_key_newer_than_what_a_worker_remembers_is_read_and_asked_for_once(stores: Stores) -> None:
    old, new = worker(stores), worker(stores)
    await token(old)
    await stores.signing_keys.replace(new_signing_key(SECRETS))
    text = await token(new)
    asked: list[int] = []
    list = old.keys.store.list

    async def counted() -> object:
        asked.append(1)
        return await list()

    old.keys.store.list = counted  # type: ignore[method-assign, assignment]
    assert all(await asyncio.gather(*(old.read(text) for _ in range(50))))
    assert len(asked) == 1


async def test_a_rotated_key_is_published_before_it_signs_and_kept_until_its_last_token_has_gone(
    installation: Database, stores: Stores
) -> None:
    first = await signer(worker(stores))
    second = (await stores.signing_keys.rotate(new_signing_key(SECRETS))).id
    assert {key["kid"] for key in await worker(stores).keys.published()} == {first, second}
    assert await signer(worker(stores)) == first
    text = await token(worker(stores))
    pass_by(installation, ANNOUNCED_S)
    assert await signer(worker(stores)) == second
    pass_by(installation, LONGEST_TOKEN_S)
    assert await stores.signing_keys.sweep() == 0
    assert await worker(stores).read(text)
    pass_by(installation, ANNOUNCED_S + 1)
    assert await stores.signing_keys.sweep() == 1
    assert await worker(stores).read(text) is None


async def test_of_a_key_in_wrong_hands_no_token_is_read(stores: Stores) -> None:
    text = await token(worker(stores))
    replaced = await stores.signing_keys.replace(new_signing_key(SECRETS))
    assert await signer(worker(stores)) == replaced.id
    assert await worker(stores).read(text) is None


async def test_the_secret_key_may_change_and_may_be_lost(stores: Stores) -> None:
    first = await signer(worker(stores))
    text, other = await token(worker(stores)), os.urandom(32)
    assert await signer(worker(stores, other, *SECRETS)) == first
    lost = worker(stores, other)
    assert await signer(lost) != first, "a key that nobody can open signs nothing, and another takes its place"
    assert await lost.read(text), "its public part is not sealed"
    assert len(await stores.signing_keys.list()) == 2


async def test_no_dump_holds_a_private_key(installation: Database, stores: Stores) -> None:
    ring = worker(stores).keys
    _, key = await ring.signing()
    private = key.as_dict(private=True)["d"]
    [row] = execute(installation.admin_url, "SELECT to_jsonb(k)::text, private_key FROM identity.signing_keys AS k")
    assert isinstance(private, str)
    assert private not in row[0]
    assert private.encode() not in row[1]
    assert key.private_key.private_bytes_raw() not in row[1]  # type: ignore[union-attr]


async def test_settings_say_who_issues(settings: Settings) -> None:
    assert settings.base == "http://identity.example.com"
    assert Settings(_env_file=None, host="::1", port=1).base == "http://[::1]:1"
