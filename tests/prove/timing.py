"""Sign-ins that fail, of each kind in turn on one connection: how long the answer takes must not tell why."""

from __future__ import annotations

import random
import secrets
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from rich.table import Table

from tests.load.http import Answer, Connection, request
from tests.load.service import Database

LIMIT = 0.05
"""How far a kind's median may lie from the median of all."""
WARM_UP = 3
UNLIMITED = {"IDENTITY_SIGN_INS_PER_ADDRESS": "1000000", "IDENTITY_SIGN_INS_PER_TENANT": "1000000"}
LOCKOUT = {"failures": 1000, "window_s": 900, "pause_s": 60}
"""Who is only wrong is not to be locked out."""
RIGHT, WRONG = "seven green bottles sing", "nine blue bottles hang"
PEOPLE = ("wrong", "suspended", "locked", "locked-out", "without-password", "without-access")
KINDS = ("unknown", *PEOPLE, "no-such-app", "no-such-tenant")
LOCK_OUT = """
INSERT INTO identity.sign_in_failures (tenant_id, name, failures, paused_until)
VALUES (%s, 'locked-out', 1000, now() + interval '1 day')
"""


@dataclass(frozen=True)
class Timing:
    """How long one kind took."""

    median_ms: float
    of_all: float
    """Of the median of all."""

    @property
    def is_alike(self) -> bool:
        return abs(self.of_all - 1) <= LIMIT


async def time_sign_ins(port: int, database: Database, times: int, say: Callable[[int], object]) -> dict[str, Timing]:
    tenant_id = f"timing-{secrets.token_hex(5)}"
    connection = Connection(port)
    try:
        await _prepare(connection, database, tenant_id)
        found = await _time(connection, _attempts(tenant_id), times, say)
    finally:
        connection.close()
    return timings(found)


def timings(found_ms: Mapping[str, Sequence[float]]) -> dict[str, Timing]:
    of_all = statistics.median(each for all in found_ms.values() for each in all)
    medians = {kind: statistics.median(each) for kind, each in found_ms.items()}
    return {kind: Timing(round(each, 3), round(each / of_all, 4)) for kind, each in medians.items()}


async def _prepare(connection: Connection, database: Database, tenant_id: str) -> None:
    """Each is what their name says, and has the right password but for two."""

    async def act(method: str, below: str, body: Any = None) -> None:
        path = f"/v1/tenants{f'/{tenant_id}/{below}' if below else ''}"
        answer = await connection.ask(request(method, path, database.platform_key, body))
        if not answer.is_good:
            raise RuntimeError(f"{method} {path} answers {answer.status}")

    await act("POST", "", {"id": tenant_id, "name": "Timing", "settings": {"lockout": LOCKOUT}})
    await act("POST", "apps", {"id": "shop", "name": "Shop", "type": "web"})
    for name in PEOPLE:
        await act("POST", "users", {"id": name, "username": name})
        if name != "without-access":
            await act("PUT", f"apps/shop/users/{name}")
        if name != "without-password":
            await act("PUT", f"users/{name}/password", {"password": RIGHT})
    await act("POST", "users/suspended/suspend")
    await act("POST", "users/locked/lock")
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute(LOCK_OUT, [tenant_id])


def _attempts(tenant_id: str) -> dict[str, bytes]:
    """The password is the right one wherever there is a right one, but once."""

    def attempt(kind: str, *, tenant: str = tenant_id, app: str = "shop", login: str | None = None) -> bytes:
        password = WRONG if kind == "wrong" else RIGHT
        body = {"login": login or kind, "password": password, "app_id": app}
        return request("POST", f"/v1/tenants/{tenant}/sessions", None, body)

    elsewhere = {
        "no-such-app": attempt("no-such-app", app="none", login="without-access"),
        "no-such-tenant": attempt("no-such-tenant", tenant=f"{tenant_id}-none"),
    }
    return {kind: elsewhere.get(kind) or attempt(kind) for kind in KINDS}


async def _time(
    connection: Connection, attempts: Mapping[str, bytes], times: int, say: Callable[[int], object]
) -> dict[str, list[float]]:
    """One of each in a new order, again and again: what else the machine does befalls all alike."""
    found: dict[str, list[float]] = {kind: [] for kind in attempts}
    for n in range(-WARM_UP, times):
        for kind in random.sample(list(attempts), len(attempts)):
            took_ms = _failed(kind, await connection.ask(attempts[kind]))
            if n >= 0:
                found[kind].append(took_ms)
        say(max(0, n + 1))
    return found


def _failed(kind: str, answer: Answer) -> float:
    """In how many milliseconds."""
    if answer.status != 401 or b'"sign_in_failed"' not in answer.body:
        raise RuntimeError(f"a sign-in of the kind {kind} answers {answer.status}")
    return (answer.got_ns - answer.sent_ns) / 1e6


def table_of(found: Mapping[str, Timing]) -> Table:
    table = Table("sign-in", "median", "of all", title=f"medians within {LIMIT:.0%}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, each in found.items():
        table.add_row(
            kind.replace("-", " "),
            f"{each.median_ms:.2f} ms",
            f"[{'green' if each.is_alike else 'bold red'}]{each.of_all:.3f}[/]",
        )
    return table
