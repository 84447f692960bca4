"""Keys whose every link (key, tenant, app, branch, owner, access) is in each of its states: the whole product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from identity.key_text import base62, compose, hash_secret
from tests.conftest import unique

Faults = frozenset[str]
SECRET = base62(2**255, 43)


def subsets(*codes: str) -> list[Faults]:
    return [frozenset(each) for each in chain.from_iterable(combinations(codes, n) for n in range(len(codes) + 1))]


KEYS = [*subsets("revoked", "disabled", "expired"), frozenset({"not_found"})]
TENANTS = subsets("tenant_deleted", "tenant_suspended")
APPS = subsets("app_deleted", "app_disabled")
BRANCHES = [None, *subsets("branch_deleted", "branch_disabled")]
USERS = [*subsets("user_deleted", "user_suspended"), *subsets("user_deleted", "user_locked")[2:]]
"""Suspended and locked are one column: never both."""
ACCESS = ("active", "revoked", "missing")
OWNERS = [None, *product(USERS, ACCESS)]


@dataclass(frozen=True)
class Case:
    """A key, and all that is wrong with it or above it, as the codes by which a verdict may say so."""

    tenant_id: str
    app_id: str
    branch_id: str | None
    user_id: str | None
    key_id: str
    faults: Faults

    @property
    def text(self) -> str:
        return compose("isk", "live", self.key_id, SECRET)


def named(faults: Faults) -> str:
    return "-".join(sorted(faults)).replace("_", "-") or "live"


def make_cases(admin_url: str) -> list[Case]:
    """Everything is made alive, since nothing may be made under a tombstone; then the parents come to harm."""
    run = unique("chain")
    tenants = {f"{run}-{named(tenant)}": tenant for tenant in TENANTS}
    with psycopg.connect(admin_url) as connection:
        put(connection, "tenants", [{"id": id, "name": id} for id in tenants])
        found = connection.execute("SELECT id, ref FROM identity.tenants WHERE id = ANY (%s)", [list(tenants)])
        cases = list(_cases(tenants, dict(found.fetchall())))
        for table, rows in _parents(tenants).items():
            put(connection, table, rows)
        put(connection, "app_keys", [_key(case) for case in cases if "not_found" not in case.faults])
        for table, tenant_id in (
            ("tenants", "id"),
            ("apps", "tenant_id"),
            ("branches", "tenant_id"),
            ("users", "tenant_id"),
        ):
            _harm(connection, table, tenant_id, list(tenants))
    return cases


def put(connection: psycopg.Connection[Any], table: str, rows: Sequence[dict[str, Any]]) -> None:
    statement = sql.SQL(
        "INSERT INTO identity.{table} ({columns}) "
        "SELECT {columns} FROM jsonb_populate_recordset(NULL::identity.{table}, %s)"
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    connection.execute(statement.format(table=sql.Identifier(table), columns=columns), [Jsonb(list(rows))])


def _harm(connection: psycopg.Connection[Any], table: str, tenant_id: str, tenants: list[str]) -> None:
    statement = sql.SQL(
        "UPDATE identity.{} SET status = coalesce(substring(id FROM 'suspended|disabled|locked'), 'active'),"
        " deleted_at = CASE WHEN id ~ 'deleted' THEN now() END WHERE {} = ANY (%s)"
    )
    connection.execute(statement.format(sql.Identifier(table), sql.Identifier(tenant_id)), [tenants])


def _cases(tenants: dict[str, Faults], refs: dict[str, str]) -> Iterator[Case]:
    links = product(KEYS, tenants.items(), APPS, BRANCHES, OWNERS)
    for number, (key, (tenant_id, tenant), app, branch, owner) in enumerate(links):
        user, access = owner or (None, "active")
        lost: Faults = frozenset() if access == "active" else frozenset({"access_revoked"})
        yield Case(
            tenant_id,
            named(app),
            None if branch is None else named(branch),
            None if user is None else f"{named(user)}.{access}",
            refs[tenant_id] + base62(number, 16),
            key | tenant | app | lost | (branch or frozenset()) | (user or frozenset()),
        )


def _parents(tenants: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    apps = [
        {"tenant_id": tenant, "id": named(app), "name": named(app), "type": "web"} for tenant in tenants for app in APPS
    ]
    users = [
        {"tenant_id": tenant, "id": id, "username": id, "username_canonical": id, "metadata": {}}
        for tenant in tenants
        for id in (f"{named(user)}.{access}" for user, access in product(USERS, ACCESS))
    ]
    branches = [
        {"tenant_id": app["tenant_id"], "app_id": app["id"], "id": id, "code": id, "name": id, "type": "store"}
        for app in apps
        for id in (named(branch) for branch in BRANCHES if branch is not None)
    ]
    return {"apps": apps, "users": users, "branches": branches, "user_apps": list(_access(apps, users))}


def _access(apps: list[dict[str, Any]], users: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for app, user in product(apps, users):
        status = user["id"].rpartition(".")[2]
        if app["tenant_id"] == user["tenant_id"] and status != "missing":
            revoked_at = "2001-01-01T00:00:00Z" if status == "revoked" else None
            key = {"tenant_id": app["tenant_id"], "app_id": app["id"], "user_id": user["id"]}
            yield key | {"status": status, "granted_at": "2001-01-01T00:00:00Z", "revoked_at": revoked_at}


def _key(case: Case) -> dict[str, Any]:
    past = {
        code: "2001-01-01T00:00:00Z" if code in case.faults else None for code in ("revoked", "disabled", "expired")
    }
    return {
        "tenant_id": case.tenant_id,
        "id": case.key_id,
        "app_id": case.app_id,
        "branch_id": case.branch_id,
        "user_id": case.user_id,
        "prefix": "isk",
        "secret_hash": f"\\x{hash_secret(SECRET).hex()}",
        "type": "secret",
        "environment": "live",
        "name": "till",
        "scopes": ["orders:*"],
        "metadata": {},
        "revoked_at": past["revoked"],
        "disabled_at": past["disabled"],
        "expires_at": past["expired"] or "2100-01-01T00:00:00Z",
    }
