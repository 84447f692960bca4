"""The links of the OpenAPI document lead where they say: followed by nothing but what they tell."""

from __future__ import annotations

from typing import Any

import httpx2

from identity.api import ROUTES
from identity.api.openapi.examples import EXAMPLES
from identity.api.routes import Route
from tests.api.samples import each, one
from tests.api.test_openapi import operation_of
from tests.conftest import Api, unique

LINKING = [route for route in ROUTES if any("links" in answer for answer in operation_of(route)["responses"].values())]


def links_of(route: Route, status: int) -> dict[str, Any]:
    links: dict[str, Any] = operation_of(route)["responses"][str(status)].get("links", {})
    return links


def value_of(expression: str, sent: Any, answer: httpx2.Response) -> Any:
    """A runtime expression, as far as ours go: one member of a body."""
    source, _, name = expression.partition("#/")
    return {"$request.body": sent, "$response.body": answer.json()}[source][name]


class Walk:
    """One operation after the other, each by a link of one before."""

    def __init__(self, caller: Api) -> None:
        self.caller = caller
        self.past: dict[str, tuple[Any, httpx2.Response]] = {}

    async def start(self, name: str, body: Any) -> Any:
        return await self._send(one(name), {}, body)

    async def follow(self, origin: str, name: str, body: Any = None) -> Any:
        sent, answer = self.past[origin]
        link = links_of(one(origin), answer.status_code)[name]
        ids = {each: value_of(expression, sent, answer) for each, expression in link.get("parameters", {}).items()}
        if "requestBody" in link:
            body = {each: value_of(expression, sent, answer) for each, expression in link["requestBody"].items()}
        return await self._send(one(link["operationId"]), ids, body)

    async def _send(self, route: Route, ids: dict[str, str], body: Any) -> Any:
        answer = await self.caller(route.method, route.path.format(**ids), **({} if body is None else {"json": body}))
        assert answer.status_code == route.status, answer.text
        self.past[route.name] = (body, answer)
        return answer.json()


async def test_they_lead_from_a_tenant_to_a_key_and_its_end(platform: Api) -> None:
    walk = Walk(platform)
    await walk.start("create_a_tenant", {"id": unique("org"), "name": "Acme"})
    await walk.follow("create_a_tenant", "create_app", EXAMPLES["create_app"].request)
    await walk.follow("create_app", "issue_key", {"name": "till-7"})
    assert (await walk.follow("issue_key", "verify_key"))["code"] == "valid"
    assert (await walk.follow("verify_key", "revoke_key", {}))["revoked_at"] is not None
    assert (await walk.follow("verify_key", "verify_key"))["code"] == "revoked"


@each(LINKING)
def test_they_name_operations_and_all_that_those_need(route: Route) -> None:
    for status in operation_of(route)["responses"]:
        for link in links_of(route, int(status)).values():
            target = one(link["operationId"])
            assert set(link.get("parameters", {})) == set(target.params)
