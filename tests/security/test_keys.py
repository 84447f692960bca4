"""A key's text is good as it was issued, to the letter; and who has it wrong learns nothing."""

from __future__ import annotations

import hmac
import random
from collections.abc import Callable
from itertools import pairwise
from math import gcd

import psycopg
import pytest

from identity.app_keys import IssuedKey
from identity.errors import Unavailable
from identity.key_text import ALPHABET, CHECKSUM_CHARS, base62, compose, new_random_id, new_secret, parse
from identity.settings import Settings
from identity.tenants import NewTenant
from identity.verify import LIVE, MALFORMED, NOT_FOUND, Verification, Verifier, open_verifier, verdict
from tests.conftest import Organisation
from tests.server import Database, execute

RANDOM = random.Random(62)


async def without_a_database(settings: Settings) -> Verifier:
    async with open_verifier(settings) as closed:
        return closed


def one_character_changed(text: str) -> list[str]:
    others = ALPHABET + "_-. é"
    return [text[:n] + other + text[n + 1 :] for n in range(len(text)) for other in others if other != text[n]]


def two_swapped(text: str) -> list[str]:
    neighbours = [n for n in range(len(text) - 1) if text[n] != text[n + 1]]
    return [text[:n] + text[n + 1] + text[n] + text[n + 2 :] for n in neighbours]


def longer(text: str) -> list[str]:
    more = (*ALPHABET, "_", " ", "\n")
    return [before + text for before in more] + [text + after for after in more]


GARBLED: dict[str, Callable[[str], list[str]]] = {
    "one character changed": one_character_changed,
    "two characters swapped": two_swapped,
    "cut short": lambda text: [text[:n] for n in range(len(text))] + [text[n:] for n in range(1, len(text))],
    "longer": longer,
    "other case": lambda text: [text.upper(), text.lower(), text.swapcase(), text.title()],
    "nothing like it": lambda text: [
        " ",
        "\0",
        "____",
        "😀" * 81,
        "isk_live_",
        text * 2,
        text[::-1],
        "\ud800",
        "a" * 10**5,
    ],
}


@pytest.mark.parametrize("how", GARBLED)
async def test_a_garbled_key_is_malformed_and_never_asks_the_database(
    org: Organisation, settings: Settings, how: str
) -> None:
    closed = await without_a_database(settings)
    for text in GARBLED[how](org.key.key):
        assert await closed.look_up(text) == MALFORMED, text
    with pytest.raises(Unavailable):
        await closed.look_up(org.key.key)


Parts = tuple[str, str, str, str]


def parts(key: IssuedKey) -> Parts:
    prefix, environment, id, tail = key.key.split("_")
    return prefix, environment, id, tail[:-CHECKSUM_CHARS]


FORGED: dict[str, Callable[[Parts, Parts], Parts]] = {
    "another type's prefix": lambda own, other: ("ipk", *own[1:]),
    "a longer prefix": lambda own, other: ("iskk", *own[1:]),
    "the other environment": lambda own, other: (own[0], "test", *own[2:]),
    "another key's secret": lambda own, other: (*own[:3], other[3]),
    "another key's id": lambda own, other: (*own[:2], other[2], own[3]),
    "another key's random part": lambda own, other: (*own[:2], own[2][:6] + other[2][6:], own[3]),
    "a new id": lambda own, other: (*own[:2], own[2][:6] + new_random_id(), own[3]),
    "a new secret": lambda own, other: (*own[:3], new_secret()),
    "the secret in the other case": lambda own, other: (*own[:3], own[3].swapcase()),
    "half of the secret": lambda own, other: (*own[:3], own[3][:21] + "0" * 22),
}


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_key_with_a_right_checksum_is_not_found(
    org: Organisation, other_org: Organisation, verifier: Verifier, how: str
) -> None:
    for other in (other_org.key, org.admin_key):
        text = compose(*FORGED[how](parts(org.key), parts(other)))
        assert parse(text) is not None
        assert await verifier.look_up(text) == NOT_FOUND
    assert (await verifier.look_up(org.key.key)).code == "valid"


async def test_a_key_with_another_tenants_ref_is_not_found(
    org: Organisation, other_org: Organisation, verifier: Verifier
) -> None:
    prefix, environment, id, secret = parts(org.key)
    assert await verifier.look_up(compose(prefix, environment, other_org.key.id[:6] + id[6:], secret)) == NOT_FOUND


def test_ten_thousand_guesses_that_are_well_formed_meet_no_key(org: Organisation, database: Database) -> None:
    ref = org.key.id[:6]
    ids = [(ref if n % 2 else base62(RANDOM.randrange(62**6), 6)) + new_random_id() for n in range(10_000)]
    assert all(parse(compose("isk", "live", id, new_secret())) for id in ids)
    with psycopg.connect(database.service_url, options="-c role=identity_verifier") as connection:
        cursor = psycopg.RawCursor(connection)
        assert cursor.execute(LIVE, [ids]).fetchall() == []
        assert len(cursor.execute(LIVE, [[*ids, org.key.id]]).fetchall()) == 1


async def test_three_hundred_guesses_at_the_secret_of_a_key_are_not_found(
    org: Organisation, verifier: Verifier
) -> None:
    for _ in range(300):
        assert await verifier.look_up(compose("isk", "live", org.key.id, new_secret())) == NOT_FOUND


@pytest.mark.parametrize("state", ["revoked", "disabled", "expired", "tenant_suspended"])
async def test_with_a_wrong_secret_the_state_of_a_key_is_not_told(
    org: Organisation, verifier: Verifier, database: Database, state: str
) -> None:
    column = {"expired": "expires_at"}.get(state, f"{state}_at")
    if state == "tenant_suspended":
        await org.stores.tenants.suspend(org.id)
    else:
        execute(database.admin_url, f"UPDATE identity.app_keys SET {column} = '2001-01-01' WHERE id = %s", org.key.id)
    assert (await verifier.look_up(org.key.key)).code == state
    wrong = compose("isk", "live", org.key.id, new_secret())
    assert await verifier.verify(Verification(key=wrong, environment="test", app_id="elsewhere")) == verdict(
        NOT_FOUND.answer
    )


async def test_the_secret_is_compared_in_constant_time(
    org: Organisation, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert (await verifier.look_up(org.key.key)).code == "valid"
    key = parse(org.key.key)
    assert key is not None
    assert compared == [(key.secret_hash, key.secret_hash)]


@pytest.mark.parametrize("code", ["malformed", "not_found"])
async def test_of_a_key_that_is_none_of_ours_the_answer_tells_nothing_else(org: Organisation, code: str) -> None:
    text = compose("isk", "live", org.key.id, new_secret()) if code == "not_found" else org.key.key[:-1]
    answer = (await org.admin.post("/v1/keys/verify", {"key": text})).json()
    assert {name: value for name, value in answer.items() if value is not None} == {"valid": False, "code": code}


def test_refs_walk_through_all_there_are_before_one_repeats(database: Database) -> None:
    refs = [ref for [ref] in execute(database.admin_url, "SELECT identity.next_ref() FROM generate_series(1, 20000)")]
    assert len(set(refs)) == 20_000
    numbers = [sum(ALPHABET.index(digit) * 62**n for n, digit in enumerate(reversed(ref))) for ref in refs]
    [step] = {(after - before) % 62**6 for before, after in pairwise(numbers)}
    assert gcd(step, 62**6) == 1


async def test_a_purged_tenants_ref_and_keys_never_come_back(org: Organisation, verifier: Verifier) -> None:
    tenants, before = org.stores.tenants, await org.stores.tenants.get(org.id)
    await tenants.delete(org.id)
    await tenants.purge(org.id, after_s=0)
    again = await tenants.create(NewTenant(id=org.id, name="Again"))
    assert again.ref != before.ref
    assert await verifier.look_up(org.key.key) == NOT_FOUND


def test_key_ids_and_secrets_do_not_repeat() -> None:
    assert len({new_random_id() for _ in range(20_000)}) == 20_000
    assert len({new_secret() for _ in range(20_000)}) == 20_000
