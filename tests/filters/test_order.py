"""A list comes in the order that was asked for, each once."""

from __future__ import annotations

from typing import Any

import pytest

from identity.fields import canonical
from identity.stores import Stores
from tests.api.problems import told
from tests.conftest import Api


async def ids(caller: Api, path: str, **params: Any) -> list[str]:
    found: list[str] = []
    while params.get("cursor", "") is not None:
        answer = await caller.get(path, params={"limit": 3, **params})
        assert answer.status_code == 200, answer.text
        found += [each["id"] for each in answer.json()["items"]]
        params["cursor"] = answer.json()["next"]
    return found


SORTS = ["id", "username", "email", "full_name", "status", "created_at", "last_login_at"]


@pytest.mark.parametrize("by", SORTS)
async def test_each_comes_once_in_the_order_that_was_asked_and_in_the_other(
    by: str, stores: Stores, acme: str, platform: Api
) -> None:
    """By code points of the canonical form; what is missing comes last, and of equals the lesser id first."""
    everybody = (await stores.users.list(acme, limit=500)).items
    names = {"username": "username", "email": "email"}

    def key(user: Any) -> Any:
        value = getattr(user, by)
        return (value is None, canonical(value) if by in names and value else value or "", user.id)

    in_order = [user.id for user in sorted(everybody, key=key)]
    path = f"/v1/tenants/{acme}/users"
    assert await ids(platform, path, sort=by) == in_order
    assert await ids(platform, path, sort=f"-{by}", count="true") == in_order[::-1]


async def test_a_cursor_is_of_its_filter_and_its_order(acme: str, platform: Api) -> None:
    path, asked = f"/v1/tenants/{acme}/users", {"filter": "id pr", "sort": "id", "limit": "1"}
    cursor = (await platform.get(path, params={**asked, "count": "true"})).json()["next"]
    assert (await platform.get(path, params={**asked, "cursor": cursor})).status_code == 200
    for other in ({"sort": "-id"}, {"sort": "username"}, {"filter": "id  pr"}, {"status": "active"}):
        answer = await platform.get(path, params={**asked, **other, "cursor": cursor})
        assert told(answer) == (400, "invalid_cursor")
