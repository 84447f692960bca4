"""What the machine found, each as the few calls that it takes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Organisation


@pytest.mark.parametrize("header", [{"If-Match": "*"}, {"If-Match": '"0"'}, {"If-None-Match": "*"}])
async def test_granting_to_nobody_is_404_whatever_the_condition(org: Organisation, header: dict[str, str]) -> None:
    answer = await org.admin.put(f"{org.path}/apps/shop/users/nobody", headers=header)
    assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")


async def test_granting_to_a_tombstone_is_404_whatever_the_condition(org: Organisation) -> None:
    await org.admin.delete(f"{org.path}/users/ana")
    answer = await org.admin.put(f"{org.path}/apps/shop/users/ana", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")


@pytest.mark.parametrize("wrong", [{"type": "web"}, {"metadata": {"much": "x" * 70_000}}])
async def test_a_put_with_a_stale_etag_is_412_whatever_else_is_wrong(org: Organisation, wrong: dict[str, Any]) -> None:
    body = {"name": "Identity", "type": "service", **wrong}
    answer = await org.admin.put(f"{org.path}/apps/identity", json=body, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
