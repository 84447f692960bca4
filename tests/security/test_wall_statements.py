"""Every statement of every store stays inside its tenant twice: by its own WHERE, and by row-level security."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from hashlib import sha256
from types import ModuleType
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from identity import (
    app_keys,
    apps,
    branches,
    factors,
    invitations,
    key_credits,
    key_imports,
    key_leaks,
    key_rotations,
    key_usage,
    passwords,
    purging,
    sessions,
    sign_in_challenges,
    sign_ins,
    tenants,
    user_apps,
    users,
)
from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.stores import LIFETIMES, Stores, create_tenant, open_stores
from identity.tenants import NewTenant
from identity.token_text import hash_token
from identity.user_apps import Grant
from tests.conftest import Organisation, enrol_ana, make_organisation, password_hash, settings_for, unique
from tests.security.wall import CHANGED_AT, DENIED, Connection, enter, of_table, rows_of, tables, use_everything
from tests.server import Database, execute, new_database

MODULES = (
    tenants,
    apps,
    branches,
    users,
    user_apps,
    app_keys,
    key_rotations,
    key_credits,
    key_imports,
    key_leaks,
    key_usage,
    passwords,
    sessions,
    sign_ins,
    factors,
    sign_in_challenges,
    invitations,
    purging,
)
NO_TENANTS = {"sign_ins.TAKE"}
"""Of a table that is nobody's; and no service may run it but as the platform."""
STATEMENTS = {
    f"{module.__name__.removeprefix('identity.')}.{name}": (module, value)
    for module in MODULES
    for name, value in vars(module).items()
    if name.isupper()
    and not name.startswith(("SWEEP", "_"))
    and f"{module.__name__.removeprefix('identity.')}.{name}" not in NO_TENANTS
    and isinstance(value, str)
    and re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", value)
}
STATEMENTS |= {f"purging.{table}": (purging, statement) for table, statement in purging.STEPS.items()}
"""But for sweeps, which are the platform's and held by policies of their own."""
OVER_ALL_TENANTS = {"tenants.GET_MANY", "tenants.OF_REF", "tenants.DUE"}
"""The platform's, by its meaning."""
RESET, REFRESH = sha256(b"reset").digest(), sha256(b"refresh").digest()

CONSUME = """
UPDATE identity.refresh_tokens SET consumed_at = now(), successor_hash = hash, successor = hash
 WHERE tenant_id = %s AND hash = %s
"""

PURGED = "UPDATE identity.tenants SET deleted_at = '2001-01-01', purged_at = '2001-01-01' WHERE id = %s"

UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION = "23505", "23503"
CHANGES = {"name": "Taken over", "username": "mallory", "username_canonical": "mallory", "scopes": ["*"], "code": "X"}


def params(module: ModuleType, org: Organisation, tenant_id: str) -> dict[str, Any]:
    """Whatever a statement may ask for, naming this organisation's records."""
    id = {
        tenants: org.id,
        apps: "shop",
        branches: "mad",
        users: "ana",
        **dict.fromkeys((app_keys, key_rotations, key_credits), org.key.id),
        key_leaks: org.key.id,
        sessions: org.signed_in.session.session_id,
        factors: org.factor_id,
        invitations: org.invitation.id,
    }.get(module)
    row: dict[str, Any] = {
        "id": id,
        "user_id": "ana",
        "type": "store",
        "settings": {},
        "metadata": {},
        "address": {},
        "contact": {},
    }
    if module in (app_keys, key_imports):
        row |= {"id": "0" * 16, "prefix": "isk", "secret_hash": "00" * 32, "type": "secret", "environment": "live"}
        row |= {"rate_limits": [], "allowed_ips": [], "allowed_routes": [], "credits": {"remaining": 9}}
    if module is key_imports:
        row |= {"algorithm": "sha256", "ordinal": 0}
    if module is apps:
        row |= {"type": "web"}
    given: dict[str, Any] = dict.fromkeys(("if_match", "name", "domain", "status", "type", "username", "email", "code"))
    given |= {"tenant_id": tenant_id, "app_id": "shop", "branch_id": "mad", "user_id": "ana", "id": id, "ids": [id]}
    given |= {"names": [id], "usernames": ["ana"], "emails": ["ana@example.com"], "codes": ["MAD"], "only": tenant_id}
    given |= {"after": "", "limit": 50, "deleted": False, "environment": None, "by_platform": True, "after_s": 0}
    given |= {"froms": ["active"], "to": "suspended" if module in (tenants, users) else "disabled", "disabled": True}
    given |= {
        "key_id": org.key.id,
        "by": "hour",
        "start": datetime(2026, 1, 1, tzinfo=UTC),
        "end": datetime(2999, 1, 1, tzinfo=UTC),
    }
    given |= {"grace_s": 0, "random_id": "1" * 16, "secret_hash": b"\1" * 32, "reason": "taken over"}
    given |= {"add": 1, "set": None}
    given |= {"ref": org.key.id[:6], "prefix": "isk", "environment": "live" if module is key_leaks else None}
    tokens = {sign_in_challenges: sha256(b"challenge").digest(), invitations: hash_token(org.invitation.token)}
    token = tokens.get(module, RESET)
    hashes = [password_hash()] if module is passwords else [b"imported".ljust(32, b"\0")]
    given |= {"algorithms": ["sha256"], "hashes": hashes, "user_ids": ["ana"]}
    given |= {"source": "taken over", "url": None}
    given |= {"login": "ana", "hash": "taken over" if module is passwords else REFRESH, "token_hash": token}
    given |= {
        "by_email": True,
        "proves": True,
        "if_changed_at": CHANGED_AT,
        "scopes": ["*"],
        "address": "",
        "user_agent": "",
    }
    given |= {"successor_hash": sha256(b"successor").digest(), "successor": b"sealed", "lost_answer_s": 10}
    given |= {"family_hash": sha256(b"family").digest(), "every_s": 1}
    given |= {"counted_as": "ana", "known_as": "=ana", "known_names": ["=ana"]}
    given |= {"failures": 3, "window_s": 900, "pause_s": 60, "longest_s": 86_400, **asdict(LIFETIMES)}
    given |= {"factor_id": None, "password_changed_at": CHANGED_AT, "lifetime_s": 600, "secret": b"sealed", "step": 1}
    if module is sign_ins:
        given |= {"name": "ana"}
    if module is factors:
        given |= {"hash": sha256(b"code").digest()}
    given |= {"email": "ben@example.com" if module is invitations else None, "email_canonical": "ben@example.com"}
    given |= {
        "app_ids": ["shop"],
        "expires_in_s": 60,
        "invited_by": None,
        "inviter_tenant_id": None,
        "accepted_by": None,
    }
    patch = {"key": id, "changes": CHANGES}
    rows = [CHANGES | row | patch]
    if module is key_imports:  # which tells only of rows that miss something
        rows.append(row | {"id": "2" * 16, "secret_hash": "22" * 32, "branch_id": "nowhere", "ordinal": 1})
    return given | {"changes": Jsonb(CHANGES), "rows": Jsonb(rows)}


def run(connection: Connection, statement: str, given: dict[str, Any], scope: str | None) -> list[dict[str, Any]] | str:
    """What it returns, or the SQLSTATE of its refusal; without a scope, as who is held by no policy."""
    try:
        with connection.transaction():
            if scope is not None:
                enter(connection, "identity_app", scope)
            cursor = psycopg.ClientCursor(connection, row_factory=dict_row)
            cursor.execute(statement.encode(), given)
            while cursor.nextset():
                pass
            found = cursor.fetchall()
            connection.execute("SET LOCAL ROLE NONE")
            return found
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise  # a parameter that is not given here yet
        return error.sqlstate


def of_others(found: list[dict[str, Any]] | str, own: str) -> list[dict[str, Any]]:
    """Rows that are another tenant's by their key; or that have none, as a purge's, and tell of anything."""
    rows = [] if isinstance(found, str) else found
    named = [row for row in rows if row.get("tenant_id", row.get("id", own)) != own]
    return named + [row for row in rows if not row.keys() & {"tenant_id", "id"} and any(row.values())]


@pytest.fixture(scope="module")
async def org(database: Database, stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    """One for all: nothing of what they do stays."""
    org = await make_organisation(stores, client)
    await stores.app_keys.issue(org.id, IDENTITY, NewAppKey(name="ana", user_id="ana", scopes=("audit:read",)))
    await stores.user_apps.grant(org.id, IDENTITY, "ana", Grant(scopes=("audit:read",)))
    factor_id = await enrol_ana(stores, org.id)  # again: what waited went with the grant
    use_everything(database, org := replace(org, factor_id=factor_id))
    return org


@pytest.fixture
def admin(database: Database) -> Iterator[Connection]:
    with psycopg.connect(database.admin_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="module")
async def stranger(stores: Stores) -> str:
    """A tenant that has nothing of what is asked for."""
    tenant, _ = await create_tenant(stores, NewTenant(id=unique(), name="Stranger"))
    return tenant.id


def everything(connection: Connection, database: Database, tenant_id: str) -> dict[str, list[dict[str, Any]]]:
    return {table: rows_of(connection, table, tenant_id) for table in tables(database)}


def bury(connection: Connection, name: str, tenant_id: str) -> None:
    """What restores or purges needs tombstones, or it would prove nothing."""
    table, _, verb = name.partition(".")
    if name == "sessions.PRESENTED":
        connection.execute(CONSUME, [tenant_id, REFRESH])
    if table == "purging":
        connection.execute(PURGED, [tenant_id])
    if verb in ("RESTORE", "PURGE", "DUE"):
        statement = "UPDATE {table} SET deleted_at = '2001-01-01' WHERE {tenant_id} = %s"
        spared = " AND id <> 'identity'" if table == "apps" else ""
        connection.execute(of_table(statement + spared, table), [tenant_id])


def writes(statement: str) -> bool:
    return bool(re.search(r"\b(INSERT INTO|UPDATE identity|DELETE FROM|FROM identity\.refresh_session)\b", statement))


@pytest.mark.parametrize("name", STATEMENTS)
def test_in_its_own_tenant_the_statement_does_something(
    admin: Connection, database: Database, org: Organisation, name: str
) -> None:
    module, statement = STATEMENTS[name]
    bury(admin, name, org.id)
    before = everything(admin, database, org.id)
    found = run(admin, statement, params(module, org, org.id), scope=org.id)
    assert (everything(admin, database, org.id) != before) == writes(statement) or name.endswith("CREATE")
    assert found == UNIQUE_VIOLATION if name.endswith("CREATE") else isinstance(found, list) and found


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_policies_alone_hold_it(
    admin: Connection, database: Database, org: Organisation, stranger: str, name: str
) -> None:
    module, statement = STATEMENTS[name]
    bury(admin, name, org.id)
    before = everything(admin, database, org.id)
    found = run(admin, statement, params(module, org, org.id), scope=stranger)
    assert of_others(found, stranger) == []
    assert isinstance(found, list) or found == DENIED
    assert everything(admin, database, org.id) == before


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - OVER_ALL_TENANTS))
def test_its_where_alone_holds_it(
    admin: Connection, database: Database, org: Organisation, stranger: str, name: str
) -> None:
    module, statement = STATEMENTS[name]
    bury(admin, name, org.id)
    before = everything(admin, database, org.id)
    found = run(admin, statement, params(module, org, stranger), scope=None)
    assert of_others(found, stranger) == []
    assert isinstance(found, list) or found in (UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION)
    assert everything(admin, database, org.id) == before


async def test_a_tenants_own_list_names_it_in_the_statement_too() -> None:
    with new_database() as database:
        execute(database.admin_url, "ALTER TABLE identity.tenants DISABLE ROW LEVEL SECURITY")
        async with open_stores(settings_for(database)) as stores:
            ids = [unique("a"), unique("b")]
            await stores.tenants.create_many([NewTenant(id=id, name=id) for id in ids])
            assert [tenant.id for tenant in (await stores.tenants.list_own(ids[0])).items] == ids[:1]
