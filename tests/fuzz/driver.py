"""From the model to the service and back: each call is sent, its answer compared, and searched for what is not its
caller's to see."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx2

from tests.conftest import Api, unique
from tests.fuzz.callers import Caller, Target, judge, judge_verifier
from tests.fuzz.model import Fields, Key, Record, Refused, Tenant, World
from tests.fuzz.nouns import Condition

# Of each key something else each time; five, since a run begins with six keys.
ASKS: list[Fields] = [
    {},
    {"branch_id": "bcn"},
    {"scopes": ["orders:read"]},
    {"app_id": "till"},
    {"environment": "live", "branch_id": "mad"},
]
FILTERS: list[Fields] = [{"branch_id": "mad"}, {"user_id": "ana"}, {"app_id": "shop"}, {"type": "secret"}]
ABSENT_ETAG = '"0"'

Effect = Callable[[Fields], tuple[Record | None, int]]
"""What a call does to the model, and the status, given what was told: ids and texts are the service's to choose."""


@dataclass
class Service:
    """The same database behind two workers: tombstones are kept by one, and may be purged at once by the other."""

    loop: asyncio.AbstractEventLoop
    patient: httpx2.AsyncClient
    hasty: httpx2.AsyncClient
    platform_key: str
    admin_url: str
    """The database as a superuser, who can skip time."""
    seen: Counter[str] = field(default_factory=Counter)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)


@dataclass
class Driver:
    """One run: two tenants of its own, and the model of them."""

    service: Service
    run: str = field(default_factory=unique)
    world: World = field(default_factory=World)
    canaries: dict[str, set[bytes]] = field(default_factory=dict)
    """By tenant: what no answer to another may hold."""
    asks: Iterator[Fields] = field(default_factory=lambda: cycle(ASKS))
    filters: Iterator[Fields] = field(default_factory=lambda: cycle(FILTERS))
    buried: set[str] = field(default_factory=set)
    wrote: bool = False
    """Since all was last looked at."""

    def text(self, by: Caller) -> str:
        return self.service.platform_key if by.key is None else by.key.text

    def mark(self, tenant_id: str) -> str:
        """Stands in the metadata of all that the tenant has."""
        return f"mark-of-{tenant_id[::-1]}"

    def watch(self, tenant_id: str, *more: str) -> None:
        given = (tenant_id, self.mark(tenant_id), *more)
        self.canaries.setdefault(tenant_id, set()).update(each.encode() for each in given if each)

    async def send(
        self, by: Caller, of: str | None, method: str, path: str, *, hasty: bool = False, **more: Any
    ) -> httpx2.Response:
        """`of` is the tenant that the answer may speak of."""
        to = by.key.tenant_id if by.key else of
        return await self.ask(self.text(by), to, method, path, hasty=hasty, **more)

    async def ask(
        self, credential: str | None, to: str | None, method: str, path: str, *, hasty: bool = False, **more: Any
    ) -> httpx2.Response:
        """By whoever has that credential, or none."""
        client = self.service.hasty if hasty else self.service.patient
        answer = await Api(client, credential)(method, path, **more)
        self.service.seen[str(answer.status_code)] += 1
        self.must_not_leak(to, answer)
        assert answer.status_code < 500, f"{method} {path}: {answer.text}"
        return answer

    def must_not_leak(self, to: str | None, answer: httpx2.Response) -> None:
        told = repr(answer.headers.raw).encode() + answer.content
        for tenant_id, canaries in self.canaries.items():
            leaked = {each for each in canaries if each in told} if tenant_id != to and to is not None else set()
            assert not leaked, f"{leaked} of {tenant_id} told to {to}: {answer.text}"

    def call(
        self, by: Caller, target: Target, method: str, path: str, effect: Effect, **more: Any
    ) -> tuple[Record | None, Fields]:
        """Sent, and compared with what the model makes of it: the record, and what was told."""
        answer = self.service.run(self.send(by, target.tenant_id, method, path, **more))
        self.wrote = self.wrote or method != "GET"
        told: Fields = answer.json() if answer.content else {}
        try:
            judge(self.world, by, target)
            record, status = effect(told)
        except Refused as refused:
            self.must_be_refused(answer, refused)
            return None, told
        assert answer.status_code == status, f"{method} {path}: {status} expected, not {answer.status_code} {told}"
        if record is not None:
            if told:
                assert record.agrees_with(told), f"{method} {path}: {record.fields} expected, not {told}"
            record.known_by(answer.headers.get("etag"))
        return record, told

    def must_be_refused(self, answer: httpx2.Response, refused: Refused) -> None:
        assert answer.status_code == refused.status, f"{refused} expected, not {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"
        code = answer.json()["code"]
        assert code in refused.codes, f"{refused} expected, not {code}"
        self.service.seen[code] += 1

    def conditional(self, record: Record | None, condition: Condition) -> dict[str, str]:
        """The headers of a condition."""
        known = record.etag if record and record.etag else ABSENT_ETAG
        former = record.former_etags[-1] if record and record.former_etags else ABSENT_ETAG
        header = {"fresh": known, "stale": f'"1", {former}', "any": "*"}
        if condition == "absent":
            return {"If-None-Match": "*"}
        return {"If-Match": header[condition]} if condition in header else {}

    def verify(self, by: Caller, key: Key, asked: Fields, answer: httpx2.Response) -> None:
        """The answer to a verification by this caller."""
        try:
            judge_verifier(self.world, by)
        except Refused as refused:
            self.must_be_refused(answer, refused)
            return
        code = self.world.verdict(key, asked)
        is_seen = by.key is None or (by.key.tenant_id == key.tenant_id and by.may(f"keys:verify/{key.app_id}"))
        self.must_be_verdict(answer, key, code if is_seen else "not_found")

    def must_be_verdict(self, answer: httpx2.Response, key: Key, code: str) -> None:
        told = answer.json()
        assert answer.status_code == 200
        assert (told["code"], told["valid"]) == (code, code == "valid"), f"{code} expected of {key.fields}: {told}"
        self.service.seen[code] += 1
        if code == "not_found":
            assert {name for name, value in told.items() if value is not None} == {"code", "valid"}
        else:
            expected = {name: key.fields[name] for name in told if name in key.fields}
            assert {"tenant_id", "scopes", "metadata", "expires_at", "name"} <= expected.keys()
            assert told | expected | {"key_id": key.id} == told

    async def look(self, tenant_ids: list[str]) -> None:
        """All verdicts (of a key that is gone, once), and all lists of these tenants."""
        platform = Caller(None)
        for key in [key for key in self.world.issued if key.id not in self.buried]:
            asked, body = next(self.asks), {"key": key.text}
            answer = await self.send(platform, key.tenant_id, "POST", "/v1/keys/verify", hasty=True, json=body | asked)
            self.verify(platform, key, asked, answer)
            if self.world.verdict(key, {}) == "not_found":
                self.buried.add(key.id)
        for tenant_id in tenant_ids:
            await self.look_at(tenant_id)

    async def look_at(self, tenant_id: str) -> None:
        tenant = self.world.tenants.get(tenant_id)
        path = f"/v1/tenants/{tenant_id}"
        if tenant is None or tenant.is_deleted:
            answer = await self.send(Caller(None), tenant_id, "GET", path)
            self.must_be_refused(answer, Refused(404, "tenant_not_found"))
            return
        by = self.looker(tenant)
        for name, records in (("apps", tenant.apps), ("users", tenant.users)):
            await self.look_at_list(by, tenant_id, f"{path}/{name}", records)
        await self.look_at_list(by, tenant_id, f"{path}/keys", tenant.keys, has_tombstones=False)
        where = next(self.filters)
        some = {id: key for id, key in tenant.keys.items() if where.items() <= key.fields.items()}
        await self.must_list(by, tenant_id, f"{path}/keys", where, some, "id", limit=5)
        for app in tenant.apps.values():
            if not app.is_deleted and app.id != "identity":
                await self.look_at_list(by, tenant_id, f"{path}/apps/{app.id}/branches", app.branches)
                living = {id: each for id, each in app.access.items() if not tenant.users[id].is_deleted}
                of_app = f"{path}/apps/{app.id}/users"
                await self.look_at_list(by, tenant_id, of_app, living, has_tombstones=False, key="user_id")
        for user in tenant.users.values():
            if not user.is_deleted:
                living = {
                    app.id: app.access[user.id]
                    for app in tenant.apps.values()
                    if user.id in app.access and not app.is_deleted
                }
                of_user = f"{path}/users/{user.id}/apps"
                await self.look_at_list(by, tenant_id, of_user, living, has_tombstones=False, key="app_id")

    def looker(self, tenant: Tenant) -> Caller:
        """The tenant's own admin where there is a live one."""
        live = [key for key in tenant.keys.values() if "*" in key.scopes and self.world.verdict(key, {}) == "valid"]
        return Caller(next((key for key in live if key.app_id == "identity"), None))

    async def look_at_list(
        self, by: Caller, of: str, path: str, records: Any, *, has_tombstones: bool = True, key: str = "id"
    ) -> None:
        for deleted in (False, True) if has_tombstones else (False,):
            expected = {id: each for id, each in records.items() if each.is_deleted == deleted}
            query = {"deleted": "true"} if deleted else {}
            await self.must_list(by, of, path, query, expected, key, limit=5)

    async def must_list(
        self, by: Caller, of: str | None, path: str, query: dict[str, Any], expected: Any, key: str, *, limit: int
    ) -> None:
        """Every page: each that is expected, once, as it is, in order."""
        items = await self.pages(by, of, path, query, limit)
        assert [item[key] for item in items] == sorted(expected), f"{path} {query}: {sorted(expected)} expected"
        for item in items:
            assert expected[item[key]].agrees_with(item), f"{path}: {expected[item[key]].fields} expected, not {item}"

    async def pages(self, by: Caller, of: str | None, path: str, query: dict[str, Any], limit: int) -> list[Fields]:
        items: list[Fields] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await self.send(by, of, "GET", path, params={**query, "limit": str(limit), **cursor})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["next"] is None:
                return items
            cursor = {"cursor": page["next"]}
