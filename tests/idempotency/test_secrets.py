"""What is kept opens with IDENTITY_SECRET_KEY and the header together; and while the former changes, with either."""

from __future__ import annotations

import hmac
import itertools
import json
from hashlib import sha256

from pydantic import SecretStr

from identity.api.once import Seal
from identity.cli.start import new_secret_key
from identity.errors import Conflict
from identity.settings import Settings, decode_secret_key
from tests.api.problems import told
from tests.conftest import Api, Organisation, unique
from tests.idempotency.keyed import is_replayed, new_key, under
from tests.operation.apps import app
from tests.server import Database, execute

ROWS = """
SELECT tenant_id, caller, id, request_hash, answer FROM identity.idempotency_keys WHERE caller = %s
"""
NAMED = "SELECT count(*) FROM identity.app_keys WHERE name = %s"


def with_keys(settings: Settings, present: str, previous: str | None = None) -> Settings:
    given = {"secret_key": SecretStr(present), "secret_key_previous": SecretStr(previous) if previous else None}
    return settings.model_copy(update=given)


async def test_while_the_secret_key_changes_the_retry_answers_and_afterwards_it_is_told_and_not_done_again(
    here: Organisation, own: Database, own_settings: Settings
) -> None:
    old, new, third = (new_secret_key() for _ in range(3))
    name, key, path = unique("till"), new_key(), f"{here.path}/apps/shop/keys"
    answers = []
    for present, previous in ((old, None), (new, old), (old, new), (third, new)):
        async with app(with_keys(own_settings, present, previous)) as serving:
            caller = Api(serving.client, here.admin_key.key)
            answers.append(await caller.post(path, {"name": name}, **under(key)))
    made, *again, lost = answers
    assert [(answer.content, is_replayed(answer)) for answer in again] == [(made.content, True)] * 2
    assert told(lost) == (409, "idempotency_answer_lost")
    assert execute(own.admin_url, NAMED, name) == [(1,)]


def row_of(own: Database, org: Organisation) -> tuple[str, str, bytes, bytes, bytes]:
    [row, *_] = execute(own.admin_url, ROWS + " ORDER BY created_at DESC", f"key:{org.admin_key.id}")
    return row  # type: ignore[no-any-return]


class Thief:
    """Who has the whole database and IDENTITY_SECRET_KEY, and knows the code; not the header."""

    def __init__(self, settings: Settings, own: Database, org: Organisation) -> None:
        assert settings.secret_key is not None
        self.secret_key = decode_secret_key(settings.secret_key.get_secret_value())
        self.tenant_id, self.caller, self.id, self.request_hash, self.sealed = row_of(own, org)

    def tries(self, guess: str | bytes) -> str | None:
        key = guess.encode() if isinstance(guess, str) else guess
        try:
            return Seal(key, self.id, (self.secret_key,)).open(self.sealed).decode()
        except Conflict:
            return None

    def is_it(self, guess: str, path: str) -> bool:
        """The id tells a right guess before anything is opened."""
        about = json.dumps([self.tenant_id, self.caller, "POST", path]).encode()
        return hmac.digest(guess.encode(), about, sha256) == self.id


async def issued(org: Organisation, key: str) -> tuple[str, str]:
    path = f"{org.path}/apps/shop/keys"
    answer = await org.admin.post(path, {"name": unique("till")}, **under(key))
    return path, answer.json()["key"]


async def test_a_guess_is_all_that_a_thief_of_everything_but_the_header_has(
    here: Organisation, own: Database, own_settings: Settings
) -> None:
    """So a header of three letters falls at once, and one of 128 random bits does not."""
    path, text = await issued(here, "abc")
    thief = Thief(own_settings, own, here)
    letters = ("".join(each) for each in itertools.product("abc", repeat=3))
    [found] = [guess for guess in letters if thief.is_it(guess, path)]
    assert text in (thief.tries(found) or "")

    key = new_key()
    path, text = await issued(here, key)
    thief = Thief(own_settings, own, here)
    stored: list[str | bytes] = [
        thief.id,
        thief.request_hash,
        thief.sealed,
        thief.secret_key,
        thief.caller,
        thief.tenant_id,
        path,
        "abc",
    ]
    for guess in (*stored, "", key[:-1], key.lower(), key + "\0", *(new_key() for _ in range(1000))):
        assert thief.tries(guess) is None
    assert text in (thief.tries(key) or "")


async def test_a_sealed_answer_that_is_put_into_ones_own_row_does_not_open(
    here: Organisation, own: Database, own_settings: Settings
) -> None:
    """Who can write to the database and calls with a key of their own, under the very header even."""
    key = new_key()
    await issued(here, key)
    stolen = row_of(own, here)
    second = await here.holding("*")
    path, body = f"{here.path}/apps/shop/keys", {"name": unique("till")}
    assert (await second.post(path, body, **under(key))).status_code == 201
    put = "UPDATE identity.idempotency_keys SET answer = %s WHERE id <> %s AND tenant_id = %s RETURNING id"
    assert execute(own.admin_url, put, stolen[4], stolen[2], here.id)
    assert told(await second.post(path, body, **under(key))) == (409, "idempotency_answer_lost")


async def test_each_sealing_has_a_nonce_of_its_own(here: Organisation, own: Database) -> None:
    key, sealed = new_key(), []
    for _ in range(2):
        execute(own.admin_url, "DELETE FROM identity.idempotency_keys WHERE tenant_id = %s", here.id)
        name = unique("user")
        assert (await here.admin.post(f"{here.path}/users", {"username": name}, **under(key))).status_code == 201
        sealed.append(row_of(own, here))
    assert sealed[0][2] == sealed[1][2]
    assert sealed[0][4][:12] != sealed[1][4][:12]
