"""A worker that is killed at any await leaves the effect and its kept answer, or neither; and the retry answers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from identity.app_keys import NewAppKey
from identity.settings import Settings
from identity.stores import create_platform
from tests.conftest import Api, Organisation, unique
from tests.idempotency.keyed import calling, is_replayed, new_key, under
from tests.idempotency.worker import Death, When, working
from tests.server import Database, execute

KEYS_NAMED = "SELECT count(*), count(DISTINCT id) FROM identity.app_keys WHERE name = %s"
SUCCESSORS = """
SELECT count(*), (SELECT count(*) FROM identity.app_keys WHERE id = %s AND revoke_reason = 'rotated')
  FROM identity.app_keys WHERE rotated_from = %s
"""
USERS_NAMED = "SELECT count(*), count(DISTINCT id) FROM identity.users WHERE username = %s"
WHOLE_TENANTS = """
SELECT count(*), count(*) FILTER (WHERE k.scopes = '{*}' AND a.type = 'service')
  FROM identity.tenants AS t
  LEFT JOIN identity.apps AS a ON a.tenant_id = t.id
  LEFT JOIN identity.app_keys AS k ON k.tenant_id = t.id AND k.app_id = a.id
 WHERE t.id = %s
"""
KEPT = "SELECT count(*) FROM identity.idempotency_keys"


@dataclass(frozen=True)
class Aim:
    """A request that was never made before, and a statement that counts its effect: once is (1, 1)."""

    path: str
    body: dict[str, Any]
    effect: tuple[str, ...]


async def to_issue_key(org: Organisation) -> Aim:
    name = unique("till")
    return Aim(f"{org.path}/apps/shop/keys", {"name": name, "scopes": ["orders:*"]}, (KEYS_NAMED, name))


async def to_rotate_key(org: Organisation) -> Aim:
    old = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="old"))
    return Aim(f"{org.path}/apps/shop/keys/{old.id}/rotate", {}, (SUCCESSORS, old.id, old.id))


async def to_create_user(org: Organisation) -> Aim:
    name = unique("user")
    return Aim(f"{org.path}/users", {"username": name}, (USERS_NAMED, name))


async def to_create_a_tenant(org: Organisation) -> Aim:
    id = unique("new")
    return Aim("/v1/tenants", {"id": id, "name": id, "admin_key": True}, (WHOLE_TENANTS, id))


@pytest.fixture(scope="module")
async def platform(here: Organisation) -> Api:
    key = await create_platform(here.stores)
    assert key is not None
    return Api(here.client, key.key)


async def killed(settings: Settings, death: Death, caller: Api, aim: Aim, key: str) -> httpx2.Response | None:
    """The answer of a worker that dies so, or None where it died before it gave any."""
    assert caller.key is not None
    with working(settings, death) as worker:
        async with calling(worker.url, caller.key) as api:
            try:
                return await api.post(aim.path, aim.body, **under(key))
            except httpx2.TransportError:
                assert worker.was_killed()
                return None


async def verdict(caller: Api, answer: httpx2.Response) -> str:
    made = answer.json()
    text = made.get("key") or made.get("admin_key", {}).get("key")
    if text is None:
        return "no key"
    return str((await caller.post("/v1/keys/verify", {"key": text})).json()["code"])


@pytest.mark.parametrize("when", ["during", "after"])  # before one is after the one before it
@pytest.mark.parametrize("to", [to_issue_key, to_rotate_key, to_create_user, to_create_a_tenant])
async def test_killed_at_any_await_it_leaves_both_or_neither_and_the_retry_answers(
    to: Callable[[Organisation], Awaitable[Aim]],
    when: When,
    here: Organisation,
    platform: Api,
    own: Database,
    own_settings: Settings,
) -> None:
    left: Counter[str] = Counter()
    for at in itertools.count(1):
        aim, key, kept = await to(here), new_key(), execute(own.admin_url, KEPT)[0][0]
        answered = await killed(own_settings, Death(at, when), platform, aim, key)
        retried = await platform.post(aim.path, aim.body, **under(key))
        again = await platform.post(aim.path, aim.body, **under(key))
        assert (retried.status_code, again.status_code) == (201, 201)
        assert is_replayed(again)
        assert again.content == retried.content
        assert await verdict(platform, again) in ("valid", "no key")
        assert execute(own.admin_url, *aim.effect) == [(1, 1)]
        assert execute(own.admin_url, KEPT) == [(kept + 1,)]
        if answered is not None:
            assert answered.content == retried.content
            break
        left["both" if is_replayed(retried) else "neither"] += 1
    assert left["neither"] >= 8
    assert left["both"] >= 1
