"""A POST that makes something may be sent again under its Idempotency-Key: one effect, one answer."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import itertools
import json
import secrets
from typing import Any

import httpx2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from identity.api import ROUTES
from identity.api.once import Seal
from identity.api.routes import Route
from identity.api.sweeping import sweep_over_all
from identity.errors import Conflict
from identity.settings import Settings, decode_secret_key
from identity.stores import Stores
from tests.api.problems import told
from tests.api.samples import each, one, path_of, send
from tests.conftest import Api, Organisation
from tests.server import Database, execute

MAKING = [route for route in ROUTES if route.makes]
CALLERS = itertools.count()


def new_key() -> str:
    return secrets.token_urlsafe(16)


def under(key: str, **more: Any) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": key}, **more}


def rows(database: Database, tenant_id: str) -> list[Any]:
    statement = "SELECT caller, id, request_hash, answer FROM identity.idempotency_keys WHERE tenant_id = %s"
    return execute(database.admin_url, statement, tenant_id)


def test_every_post_that_makes_or_adds_something_honours_it() -> None:
    assert {route.name for route in ROUTES if route.is_done_once} == {
        *("create_a_tenant", "create_app", "create_branch", "create_user", "issue_key", "rotate_key", "top_up_key"),
        *("enrol_factor", "create_invitation", "resend_invitation"),
    }


@each(MAKING)
async def test_twenty_at_once_have_one_effect_and_one_answer(
    route: Route, org: Organisation, platform: Api, database: Database
) -> None:
    key = new_key()
    answers = await asyncio.gather(*(send(platform, route, org, **under(key)) for _ in range(20)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in made}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in made) == 19
    for header in ("Location", "ETag", "Content-Type"):
        assert len({answer.headers[header] for answer in made}) == 1
    if route.name in ("issue_key", "rotate_key"):
        use = {"ip": "192.0.2.7", "method": "GET", "path": "/orders/7"}
        verified = await platform.post("/v1/keys/verify", {"key": made[0].json()["key"], **use})
        assert verified.json()["code"] == "valid"
    statement = "SELECT count(*) FROM identity.app_keys WHERE tenant_id = %s AND app_id = 'shop'"
    expected = 2 if route.name in ("issue_key", "rotate_key") else 1
    assert execute(database.admin_url, statement, org.id) == [(expected,)]


async def test_credits_that_twenty_add_at_once_are_added_once(org: Organisation) -> None:
    keys = f"{org.path}/apps/shop/keys"
    issued = await org.admin.post(keys, {"name": "till-9", "credits": {"remaining": 10}})
    path, key = f"{keys}/{issued.json()['id']}/credits", new_key()
    answers = await asyncio.gather(*(org.admin.post(path, {"add": 5}, **under(key)) for _ in range(20)))
    assert {(answer.status_code, answer.json()["credits"]["remaining"]) for answer in answers} == {(200, 15)}
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 19
    assert told(await org.admin.post(path, {"add": 6}, **under(key))) == (422, "idempotency_key_reused")
    assert (await org.admin.post(path, {"add": 5})).json()["credits"]["remaining"] == 20


async def test_another_body_under_the_same_key_is_refused(org: Organisation) -> None:
    key, path = new_key(), f"{org.path}/users"
    assert (await org.admin.post(path, {"username": "bo"}, **under(key))).status_code == 201
    answer = await org.admin.post(path, {"username": "cy"}, **under(key))
    assert told(answer) == (422, "idempotency_key_reused")
    assert (await org.admin.get(f"{path}?username=cy")).json()["items"] == []


async def test_another_tenant_caller_or_route_is_independent(
    org: Organisation, other_org: Organisation, platform: Api
) -> None:
    key, second = new_key(), await org.holding("*")
    for caller, path in (
        (org.admin, f"{org.path}/users"),
        (other_org.admin, f"{other_org.path}/users"),
        (second, f"{org.path}/apps/shop/branches"),
        (org.admin, f"{org.path}/apps/shop/branches"),
        (platform, f"{org.path}/apps/shop/branches"),
    ):
        body = {"username": "bo", "code": f"B{next(CALLERS)}", "name": "B", "type": "store"}
        wanted = ("username",) if path.endswith("users") else ("code", "name", "type")
        answer = await caller.post(path, {name: body[name] for name in wanted}, **under(key))
        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer.headers


async def test_while_the_first_is_not_answered_the_second_waits_and_is_told_so(
    org: Organisation, stores: Stores, settings: Settings
) -> None:
    key, path = new_key(), f"{org.path}/users"
    assert (await org.admin.post(path, {"username": "bo"}, **under(key))).status_code == 201
    [row] = await in_tenant(stores, org.id)
    async with stores.transaction() as tx:
        assert await tx.idempotency.hold(org.id, row)
        answer = await org.admin.post(path, {"username": "bo"}, **under(key))
        assert told(answer) == (409, "idempotency_in_progress")
        assert answer.headers["Retry-After"] == "1"
    assert (await org.admin.post(path, {"username": "bo"}, **under(key))).status_code == 201


async def in_tenant(stores: Stores, tenant_id: str) -> list[bytes]:
    found = await stores.idempotency._run("SELECT id FROM identity.idempotency_keys", tenant_id)
    return [bytes(row["id"]) for row in found]


async def test_an_error_is_not_kept(org: Organisation, stores: Stores) -> None:
    key, path = new_key(), f"{org.path}/users"
    assert told(await org.admin.post(path, {"username": "ana"}, **under(key))) == (409, "username_taken")
    assert await in_tenant(stores, org.id) == []
    assert (await org.admin.delete(f"{path}/ana")).status_code == 204
    assert (await org.admin.post(path, {"username": "ana"}, **under(key))).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "clé".encode()])
async def test_a_key_that_is_none_is_refused(key: str, org: Organisation) -> None:
    answer = await org.admin.post(f"{org.path}/users", {"username": "bo"}, **under(key))
    assert told(answer) == (400, "invalid_request")


async def test_two_keys_are_refused(org: Organisation, client: httpx2.AsyncClient) -> None:
    headers = [("Authorization", f"Bearer {org.admin_key.key}"), *[("Idempotency-Key", each) for each in ("a", "b")]]
    answer = await client.post(f"{org.path}/users", json={"username": "bo"}, headers=headers)
    assert told(answer) == (400, "invalid_request")


async def test_who_reads_the_database_and_has_the_secret_key_opens_nothing(
    org: Organisation, database: Database, settings: Settings
) -> None:
    """But with the Idempotency-Key, which is nowhere, all of it opens: so the test would see a wrong derivation."""
    key = new_key()
    issued = await org.admin.post(f"{org.path}/apps/shop/keys", {"name": "till-9"}, **under(key))
    text = issued.json()["key"]
    [(caller, id, request_hash, sealed)] = rows(database, org.id)
    assert settings.secret_key is not None
    secret_key = decode_secret_key(settings.secret_key.get_secret_value())
    stored = json.dumps([caller, *(base64.b64encode(each).decode() for each in (id, request_hash, sealed))])
    for hidden in (key, text, text.rsplit("_", 1)[1]):
        assert hidden not in stored
        assert base64.b64encode(hidden.encode()).decode().rstrip("=") not in stored
    for guess in (b"", id, request_hash, caller.encode(), b"0" * 22, new_key().encode()):
        with pytest.raises(InvalidTag):
            opened(secret_key, guess, id, sealed)
    assert text in opened(secret_key, key.encode(), id, sealed)


def opened(secret_key: bytes, idempotency_key: bytes, id: bytes, sealed: bytes) -> str:
    derivation = HKDF(SHA256(), length=32, salt=None, info=b"identity idempotency\0" + id)
    return AESGCM(derivation.derive(secret_key + idempotency_key)).decrypt(sealed[:12], sealed[12:], id).decode()


def test_while_the_secret_key_changes_both_open_and_afterwards_the_loss_is_told() -> None:
    old, new = b"o" * 32, b"n" * 32
    seal = Seal(b"key", b"id", (old,))
    sealed = seal.close(b"answer")
    assert sealed != seal.close(b"answer")
    assert dataclasses.replace(seal, secret_keys=(new, old)).open(sealed) == b"answer"
    with pytest.raises(Conflict, match="sealed under a key that is gone"):
        dataclasses.replace(seal, secret_keys=(new,)).open(sealed)


async def test_rows_older_than_a_day_go_and_younger_ones_stay(
    org: Organisation, stores: Stores, database: Database
) -> None:
    ages = ("23 hours 59 minutes", "24 hours 1 minute", "25 hours", "30 days")
    statement = """
        INSERT INTO identity.idempotency_keys (tenant_id, caller, id, request_hash, status, answer, created_at)
        SELECT %s, 'key:' || n, 'x', 'x', 201, 'x', clock_timestamp() - %s::interval FROM generate_series(1, 400) AS n
    """
    for age in ages:
        execute(database.admin_url, statement.replace("'key:'", f"'{age}'"), org.id, age)
    await sweep_over_all(stores.idempotency.sweep)
    assert {caller.split(" minutes")[0] for caller, *_ in rows(database, org.id)} == {"23 hours 59"}
    assert len(rows(database, org.id)) == 400


async def test_without_the_header_each_is_a_new_one(org: Organisation, stores: Stores) -> None:
    for _ in range(2):
        assert (await send(org.admin, one("issue_key"), org)).status_code == 201
    assert await in_tenant(stores, org.id) == []


async def test_on_what_makes_nothing_it_means_nothing(org: Organisation, stores: Stores) -> None:
    path = path_of(one("revoke_key"), org)
    for reason in ("lost", "stolen"):
        assert (await org.admin.post(path, {"reason": reason}, **under("k"))).json()["revoke_reason"] == "lost"
    assert await in_tenant(stores, org.id) == []
