"""Statements that must stay fast use their index, under row-level security, in a tenant of 100,000 users."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from psycopg.rows import tuple_row

from identity import purging
from identity.app_keys import AppKeyChanges, AppKeyFilter, NewAppKey
from identity.apps import AppFilter
from identity.branches import BranchChanges, BranchFilter, NewBranch
from identity.db import Session, in_scope, settings_of
from identity.exports import export_user
from identity.factors import Proof
from identity.invitations import InvitationFilter, NewInvitation
from identity.key_credits import TopUp
from identity.key_imports import NewImportedKey
from identity.key_text import KeyText
from identity.key_usage import UsageFilter
from identity.sessions import NewSession
from identity.sign_in_challenges import NewChallenge
from identity.sign_ins import Rate
from identity.stores import LIFETIMES, Stores, open_stores
from identity.tenants import TenantChanges, TenantFilter
from identity.token_text import new_token
from identity.users import NewUser, UserChanges, UserFilter
from identity.verify.statements import IMPORTED, LIVE, SETTINGS, TAKE
from tests import server
from tests.conftest import settings_for

LOAD = """
SET ROLE identity_owner;
INSERT INTO identity.tenants (id, name, domain)
SELECT 'vast', 'Vast', 'vast.example.com' UNION ALL
SELECT 't' || n, 'Tenant ' || n, 't' || n || '.example.com' FROM generate_series(1, 5000) AS n;
INSERT INTO identity.apps (tenant_id, id, name, type) SELECT id, 'shop', 'Shop', 'web' FROM identity.tenants;
INSERT INTO identity.apps (tenant_id, id, name, type) VALUES ('vast', 'desk', 'Desk', 'web');
INSERT INTO identity.users
       (tenant_id, id, username, username_canonical, email, email_canonical, full_name, metadata)
SELECT tenant, 'u' || n, 'user' || n, 'user' || n, n || '@example.com', n || '@example.com', 'Person ' || n,
       jsonb_build_object('department', n % 1000)
  FROM (SELECT 'vast' AS tenant, generate_series(1, 100000) AS n
         UNION ALL SELECT 't' || n, n FROM generate_series(1, 5000) AS n) AS given;
INSERT INTO identity.branches (tenant_id, app_id, id, code, name, type, metadata)
SELECT 'vast', 'shop', 'b' || n, 'B' || n, 'Branch ' || n, 'store', jsonb_build_object('region', n % 1000)
  FROM generate_series(1, 20000) AS n;
INSERT INTO identity.user_apps (tenant_id, app_id, user_id)
SELECT tenant_id, CASE WHEN id > 'u2' THEN 'shop' ELSE 'desk' END, id FROM identity.users
 WHERE tenant_id = 'vast' AND right(id, 1) = '0';
INSERT INTO identity.app_keys (tenant_id, id, app_id, prefix, secret_hash, name)
SELECT id, ref || lpad('1', 16, '0'), 'shop', 'isk', sha256('x'), 'Key' FROM identity.tenants WHERE id <> 'vast';
INSERT INTO identity.app_keys (tenant_id, id, app_id, branch_id, user_id, prefix, secret_hash, name, credits)
SELECT 'vast', ref || lpad(n::text, 16, '0'), 'shop', 'b' || n, 'u' || n, 'isk', sha256('x'), 'Key', '{}'
  FROM identity.tenants, generate_series(1, 20000) AS n WHERE tenants.id = 'vast';
INSERT INTO identity.key_limits (tenant_id, key_id, remaining)
SELECT tenant_id, id, 1000 FROM identity.app_keys WHERE tenant_id = 'vast';
INSERT INTO identity.app_keys (tenant_id, id, app_id, prefix, secret_hash, algorithm, name)
SELECT 'vast', ref || lpad('i' || n, 16, '0'), 'shop', 'isk', sha256(n::text::bytea), 'sha256', 'Imported'
  FROM identity.tenants, generate_series(1, 20000) AS n WHERE tenants.id = 'vast';
INSERT INTO identity.idempotency_keys (tenant_id, caller, id, request_hash, status, answer)
SELECT 'vast', 'key:' || n, 'id', 'hash', 201, 'sealed' FROM generate_series(1, 50000) AS n;
INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
SELECT 'vast', ref || lpad(n::text, 16, '0'), date_trunc('hour', now()) - make_interval(hours => n / 10), 'valid', 1
  FROM identity.tenants, generate_series(1, 20000) AS n WHERE tenants.id = 'vast';
INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
SELECT 'vast', ref || lpad(n::text, 16, '0'), '2020-01-01', 'valid', 1
  FROM identity.tenants, generate_series(1, 20000) AS n WHERE tenants.id = 'vast';
UPDATE identity.app_keys SET revoked_at = '2020-01-01' WHERE tenant_id = 'vast' AND right(id, 3) = '001';
INSERT INTO identity.passwords (tenant_id, user_id, hash) SELECT 'vast', id, 'hash' FROM identity.users
 WHERE tenant_id = 'vast';
INSERT INTO identity.sessions (tenant_id, id, app_id, user_id, scopes, address, user_agent, expires_at, ends_at)
SELECT 'vast', 's' || substr(user_id, 2), app_id, user_id, '{}', '', '', now() + interval '7 days',
       now() + interval '30 days'
  FROM identity.user_apps WHERE tenant_id = 'vast';
INSERT INTO identity.refresh_tokens (tenant_id, hash, session_id, expires_at)
SELECT 'vast', sha256(id::bytea), id, now() + make_interval(days => 7) FROM identity.sessions WHERE tenant_id = 'vast';
INSERT INTO identity.sign_in_failures (tenant_id, name, failures)
SELECT 'vast', 'u' || n, 1 FROM generate_series(1, 20000) AS n;
INSERT INTO identity.factors (tenant_id, id, user_id, secret, confirmed_at)
SELECT 'vast', 'f' || substr(id, 2), id, 'sealed', now() FROM identity.users
 WHERE tenant_id = 'vast' AND right(id, 1) = '0';
INSERT INTO identity.recovery_codes (tenant_id, hash, factor_id)
SELECT 'vast', sha256((id || n)::bytea), id FROM identity.factors, generate_series(1, 3) AS n
 WHERE tenant_id = 'vast';
INSERT INTO identity.sign_in_challenges (tenant_id, token_hash, app_id, user_id, password_changed_at, expires_at)
SELECT 'vast', sha256(user_id::bytea), app_id, user_id, now(), now() + interval '10 minutes'
  FROM identity.user_apps WHERE tenant_id = 'vast';
INSERT INTO identity.password_resets (tenant_id, user_id, token_hash)
SELECT 'vast', id, sha256(id::bytea) FROM identity.users WHERE tenant_id = 'vast' AND right(id, 1) = '0';
INSERT INTO identity.invitations (tenant_id, id, email, email_canonical, token_hash, expires_at)
SELECT 'vast', 'i' || n, n || '@example.com', n || '@example.com', sha256(n::text::bytea), now() + interval '7 days'
  FROM generate_series(1, 20000) AS n;
INSERT INTO identity.invitation_access (tenant_id, invitation_id, app_id, scopes)
SELECT 'vast', id, 'shop', '{}' FROM identity.invitations;
ANALYZE identity.invitations, identity.invitation_access;
INSERT INTO identity.sign_in_limits (subject, paid_until)
SELECT sha256(n::text::bytea), now() FROM generate_series(1, 20000) AS n;
SELECT gin_clean_pending_list('identity.users_by_metadata'), gin_clean_pending_list('identity.branches_by_metadata');
ANALYZE identity.factors, identity.recovery_codes, identity.sign_in_challenges, identity.password_resets;
ANALYZE identity.sign_in_limits;
ANALYZE identity.passwords, identity.sessions, identity.refresh_tokens, identity.sign_in_failures;
ANALYZE identity.key_usage;
ANALYZE identity.idempotency_keys, identity.key_limits;
ANALYZE identity.tenants, identity.apps, identity.users, identity.branches, identity.user_apps, identity.app_keys;
"""
SCANS = """
SELECT sum(seq_scan)::int FROM pg_stat_xact_user_tables
 WHERE schemaname = 'identity'
   AND relname IN ('tenants', 'apps', 'users', 'branches', 'user_apps', 'app_keys', 'idempotency_keys', 'key_usage',
                   'key_limits', 'passwords', 'sessions', 'refresh_tokens', 'sign_in_failures', 'factors',
                   'recovery_codes', 'sign_in_challenges', 'password_resets', 'sign_in_limits',
                   'invitations', 'invitation_access')
"""
FEW = 250
"""Blocks that a statement may touch; the smallest of these tables has more."""


@dataclass
class Plan:
    """What EXPLAIN ANALYZE tells of one statement, and of its triggers the sequential scans that they made."""

    indexes: set[str] = field(default_factory=set)
    scanned: list[str] = field(default_factory=list)
    blocks: int = 0

    def add(self, node: dict[str, Any]) -> None:
        self.indexes |= {node["Index Name"]} if "Index Name" in node else set()
        self.scanned += [node["Relation Name"]] if node["Node Type"] == "Seq Scan" else []
        for below in node.get("Plans", ()):
            self.add(below)


def touched(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"]) + int(node["Shared Read Blocks"])


@dataclass(frozen=True)
class Explained:
    """A session that has each statement explained before it runs it."""

    session: Session
    plan: Plan

    async def run(self, statement: str, params: dict[str, Any], row_factory: Any) -> list[Any]:
        scope, _, last = statement.rpartition(";")
        explain = f"{scope}; EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {last}"
        for _ in ("a session's first call of a trigger reads the catalog too", "and this one does not"):
            async with self.session.transaction() as trial:
                [[[explained]]] = await trial.run(explain, params, tuple_row)
                raise psycopg.Rollback
        self.plan.add(explained["Plan"])
        self.plan.blocks += touched(explained["Plan"])
        [(before,)] = await self.session.run(SCANS, params, tuple_row)
        rows = await self.session.run(statement, params, row_factory)
        [(after,)] = await self.session.run(SCANS, params, tuple_row)
        self.plan.scanned += ["when it ran"] * (after - before)
        return rows

    def acting_as(self, scope: Any) -> Explained:
        return self

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Explained]:
        yield self

    savepoint = transaction


@pytest.fixture(scope="module")
def big() -> Iterator[server.Database]:
    with server.new_database() as database:
        server.execute(database.admin_url, LOAD)
        yield database


@pytest.fixture(scope="module")
async def stores_of_big(big: server.Database) -> AsyncIterator[Stores]:
    async with open_stores(settings_for(big, statement_timeout_s=30)) as found:
        yield found


TOKEN = new_token("irt", "000000")
TWO_HOURS_AGO = datetime.now(UTC) - timedelta(hours=2)
EITHER_WAY = {"already_granted", "user_apps_by_user"}
"""Both hold all three columns of the key."""
OF_ITS_KEY = {"key_taken", "app_keys_by_app"}
"""Likewise, where the app is given too."""
LEAVING = {"user_taken", "sessions_by_user", "refresh_tokens_by_session", "app_keys_by_user"}


async def changed_at(s: Stores) -> datetime | None:
    found = await s.passwords.find("vast", user_id="u500")
    assert found is not None
    return found.changed_at


async def sign_in(s: Stores) -> None:
    """And on, twice with one token."""
    new = NewSession("u500", "shop", None, "192.0.2.7", "browser", await changed_at(s), "f500")
    made = await s.sessions.create("vast", "000000", new, LIFETIMES)
    assert made is not None
    found = [await s.sessions.refresh("vast", "shop", made.refresh_token, LIFETIMES) for _ in range(2)]
    assert None not in found


async def challenge(s: Stores) -> None:
    new = NewChallenge("u500", "shop", None, await changed_at(s))
    assert await s.challenges.create("vast", "000000", new) is not None


async def enrol(s: Stores) -> None:
    held = await s.factors.hold("vast", "u500")
    assert held is not None
    await s.factors.enrol(held, (b"",))


async def use_recovery_code(s: Stores) -> None:
    held = await s.factors.hold("vast", "u500")
    assert held is not None
    await s.factors.prove(held, Proof(recovery_code="none"), (b"",))


Operation = Callable[[Stores, str], Awaitable[Any]]


def users(after: str | None = None, **asked: str) -> Operation:
    return lambda s, _: s.users.list("vast", UserFilter(**asked), after=after)


def branches(after: str | None = None, **asked: str) -> Operation:
    return lambda s, _: s.branches.list("vast", "shop", BranchFilter(**asked), after=after)


USERS = {
    'username eq "USER500"': "username_taken",
    'userName sw "user500"': "username_taken",
    'email sw "500@" or username eq "user7"': "email_taken",
    'full_name eq "Person 500"': "users_by_full_name",
    'full_name sw "Person 500" and status eq "active"': "users_by_full_name",
    'created_at lt "2020-01-01T00:00:00Z"': "users_by_creation",
    'updated_at gt "2100-01-01T00:00:00Z"': "users_by_change",
    "metadata.department eq 501": "users_by_metadata",
    'metadata[department eq 501] and not (username sw "user5")': "users_by_metadata",
    "metadata.department eq 501 or metadata.department eq 502": "users_by_metadata",
}
USERS_SORTED = {
    "-created_at": (None, "users_by_creation"),
    "username": ('["user5","u5"]', "username_taken"),
    "-email": ('["500@example.com","u500"]', "email_taken"),
    "full_name": ('["Person 500","u500"]', "users_by_full_name"),
    "-updated_at": (None, "users_by_change"),
}
FAST: dict[str, tuple[Operation, set[str]]] = {
    "get a tenant": (lambda s, _: s.tenants.get("vast"), {"tenant_taken"}),
    "find a tenant": (lambda s, _: s.tenants.find(TenantFilter(domain="vast.example.com")), {"domain_taken"}),
    "list tenants": (lambda s, _: s.tenants.list(after="t2"), {"tenant_taken"}),
    "change a tenant": (lambda s, _: s.tenants.update("vast", TenantChanges(name="B")), {"tenant_taken"}),
    "get an app": (lambda s, _: s.apps.get("vast", "shop"), {"app_taken"}),
    "find an app": (lambda s, _: s.apps.find("vast", AppFilter(name="Shop")), {"app_name_taken"}),
    "get a user": (lambda s, _: s.users.get("vast", "u500"), {"user_taken"}),
    "get users": (lambda s, _: s.users.get_many("vast", ["u500", "u70000"]), {"user_taken"}),
    "find a user by name": (lambda s, _: s.users.find("vast", UserFilter(username="USER500")), {"username_taken"}),
    "find a user by e-mail": (lambda s, _: s.users.find("vast", UserFilter(email="500@example.com")), {"email_taken"}),
    "hold users by id": (lambda s, _: s.users.hold_named("vast", ids=["u500", "u7"]), {"user_taken"}),
    "hold users by name": (lambda s, _: s.users.hold_named("vast", usernames=["USER500"]), {"username_taken"}),
    "hold users by e-mail": (lambda s, _: s.users.hold_named("vast", emails=["500@example.com"]), {"email_taken"}),
    "list users": (lambda s, _: s.users.list("vast"), {"user_taken"}),
    "list more users": (lambda s, _: s.users.list("vast", after="u500"), {"user_taken"}),
    **{f"users where {asked}": (users(filter=asked), {index}) for asked, index in USERS.items()},
    **{f"users by {order}": (users(after, sort=order), {index}) for order, (after, index) in USERS_SORTED.items()},
    "branches where metadata": (branches(filter="metadata.region eq 501"), {"branches_by_metadata"}),
    "branches by name": (branches('["Branch 5","b5"]', sort="name"), {"branches_by_name"}),
    "branches where name": (branches(filter='name sw "Branch 50"'), {"branches_by_name"}),
    "keys where name": (
        lambda s, _: s.app_keys.list("vast", AppKeyFilter(filter='name eq "none"')),
        {"app_keys_by_name"},
    ),
    "keys by name": (
        lambda s, _: s.app_keys.list("vast", AppKeyFilter(sort="-name"), after='["Key","0"]', limit=5),
        {"app_keys_by_name"},
    ),
    "create a user": (lambda s, _: s.users.create("vast", NewUser(username="new")), set()),
    "change a user": (lambda s, _: s.users.update("vast", "u500", UserChanges(username="new")), {"user_taken"}),
    "upsert users by name": (
        lambda s, _: s.users.upsert("vast", [NewUser(username=f"user{n}") for n in range(5)]),
        {"username_taken"},
    ),
    "upsert users by id": (lambda s, _: s.users.upsert("vast", [NewUser(id="u500", username="new")]), set()),
    "suspend a user": (lambda s, _: s.users.suspend("vast", "u500"), LEAVING),
    "delete a user": (lambda s, _: s.users.delete("vast", "u500"), LEAVING),
    "get a branch": (lambda s, _: s.branches.get("vast", "shop", "b500"), {"branch_taken"}),
    "find a branch": (
        lambda s, _: s.branches.find("vast", "shop", BranchFilter(code="B500")),
        {"branch_code_taken"},
    ),
    "hold branches by id": (lambda s, _: s.branches.hold_named("vast", "shop", ids=["b500"]), {"branch_taken"}),
    "hold branches by code": (
        lambda s, _: s.branches.hold_named("vast", "shop", codes=["B500"]),
        {"branch_code_taken"},
    ),
    "list more branches": (lambda s, _: s.branches.list("vast", "shop", after="b500"), {"branch_taken"}),
    "change a branch": (
        lambda s, _: s.branches.update("vast", "shop", "b500", BranchChanges(name="B")),
        {"branch_taken"},
    ),
    "upsert branches by code": (
        lambda s, _: s.branches.upsert("vast", "shop", [NewBranch(code="B500", name="B", type="store")]),
        {"branch_code_taken"},
    ),
    "grant access": (lambda s, _: s.user_apps.grant("vast", "shop", "u30000"), set()),
    "ask for access": (lambda s, _: s.user_apps.has_access("vast", "shop", "u500"), EITHER_WAY),
    "revoke access": (lambda s, _: s.user_apps.revoke("vast", "shop", "u500"), EITHER_WAY),
    "users of an app": (lambda s, _: s.user_apps.list_of_app("vast", "shop", after="u500"), {"already_granted"}),
    "apps of a user": (lambda s, _: s.user_apps.list_of_user("vast", "u500"), {"user_apps_by_user"}),
    "issue a key": (
        lambda s, _: s.app_keys.issue("vast", "shop", NewAppKey(name="K", branch_id="b5", user_id="u5")),
        {"app_taken"},
    ),
    "get a key": (lambda s, key: s.app_keys.get("vast", "shop", key), OF_ITS_KEY),
    "what keys were rotated to": (lambda s, _: s.app_keys.list("vast", limit=5), {"app_keys_by_rotation"}),
    "keys of an app": (lambda s, _: s.app_keys.list("vast", AppKeyFilter(app_id="desk")), {"app_keys_by_app"}),
    "keys of a user": (lambda s, _: s.app_keys.list("vast", AppKeyFilter(user_id="u500")), {"app_keys_by_user"}),
    "keys of a branch": (
        lambda s, _: s.app_keys.list("vast", AppKeyFilter(app_id="shop", branch_id="b500")),
        {"app_keys_by_branch"},
    ),
    "change a key": (lambda s, key: s.app_keys.update("vast", "shop", key, AppKeyChanges(name="K")), OF_ITS_KEY),
    "rotate a key": (lambda s, key: s.key_rotations.rotate("vast", "shop", key, grace_s=60), OF_ITS_KEY),
    "top a key up": (lambda s, key: s.key_credits.top_up("vast", "shop", key, TopUp(add=1)), {"key_limit_taken"}),
    "revoke a key": (lambda s, key: s.app_keys.revoke("vast", "shop", key), OF_ITS_KEY),
    "report a leak": (
        lambda s, key: s.key_leaks.report(
            "vast", KeyText("isk", "live", key, sha256(b"x").digest()), "search", "https://example.com"
        ),
        {"key_leak_taken"},
    ),
    "import keys": (
        lambda s, _: s.key_imports.create_many(
            "vast", "shop", [NewImportedKey(name="K", hash="ab" * 32, algorithm="sha256-hex")]
        ),
        {"imported_key_taken"},
    ),
    "usage of a key": (lambda s, key: s.key_usage.counts("vast", key_id=key), {"key_usage_taken"}),
    "usage of an app": (
        lambda s, _: s.key_usage.counts("vast", UsageFilter.model_validate({"from": TWO_HOURS_AGO}), app_id="shop"),
        {"key_usage_by_hour"},
    ),
    "usage of a tenant": (
        lambda s, _: s.key_usage.counts("vast", UsageFilter.model_validate({"from": TWO_HOURS_AGO})),
        {"key_usage_by_hour"},
    ),
    "sweep old counts": (lambda s, _: s.key_usage.sweep(after="u", limit=20, days=90), {"key_usage_by_hour"}),
    "find no old counts": (lambda s, _: s.key_usage.sweep(after="", limit=20, days=90), {"key_usage_by_hour"}),
    "sweep dead keys": (lambda s, _: s.app_keys.sweep(after="u", limit=500, days=90), {"app_keys_by_death"}),
    "find no dead keys": (lambda s, _: s.app_keys.sweep(after="", limit=500, days=90), {"app_keys_by_death"}),
    "find whose password it is": (
        lambda s, _: s.passwords.find("vast", login="500@example.com", app_id="shop"),
        {"email_taken"},
    ),
    "set passwords": (
        lambda s, _: s.passwords.set_many("vast", {f"u{n}": "hash" for n in range(500, 510)}),
        {"password_taken", "sessions_by_user"},
    ),
    "know passwords": (
        lambda s, _: s.passwords.known("vast", {f"u{n}": "hash" for n in range(500, 510)}),
        {"password_taken"},
    ),
    "set a password": (lambda s, _: s.passwords.set("vast", "u500", "hash"), {"password_taken", "sessions_by_user"}),
    "count a failure": (
        lambda s, _: s.sign_ins.failed("vast", "u500", failures=10, window_s=900, pause_s=60),
        {"tenant_taken"},
    ),
    "refresh": (lambda s, _: s.sessions.refresh("vast", "shop", TOKEN, LIFETIMES), {"refresh_token_taken"}),
    "judge a session": (lambda s, _: s.sessions.find_live("vast", "s500", LIFETIMES), {"session_taken"}),
    "list sessions": (lambda s, _: s.sessions.list("vast", "u500"), {"sessions_by_user"}),
    "end a user's sessions": (lambda s, _: s.sessions.end_all("vast", "u500"), {"sessions_by_user"}),
    "end a token's session": (lambda s, _: s.sessions.end_by_token("vast", TOKEN), {"refresh_token_taken"}),
    "sweep sessions": (lambda s, _: s.sessions.sweep(limit=50), {"sessions_by_expiry"}),
    "sweep refresh tokens": (lambda s, _: s.sessions.sweep_tokens(limit=50), {"refresh_tokens_by_expiry"}),
    "sweep failures": (lambda s, _: s.sign_ins.sweep(limit=50), {"sign_in_failures_by_age"}),
    "sweep deleted users": (lambda s, _: s.users.sweep(after="u", limit=50, after_s=0), {"users_deleted"}),
    "sweep deleted branches": (lambda s, _: s.branches.sweep(after="u", limit=50, after_s=0), {"branches_deleted"}),
    "sweep deleted apps": (lambda s, _: s.apps.sweep(after="u", limit=50, after_s=0), {"apps_deleted"}),
    "tenants to be purged": (lambda s, _: s.tenants.due_for_purge(after_s=0, after="", limit=50), {"tenants_deleted"}),
    "sweep allowances": (lambda s, _: s.sign_ins.sweep_limits(limit=20), {"sign_in_limits_by_age"}),
    "sweep resets": (lambda s, _: s.passwords.sweep(limit=50), {"password_resets_by_expiry"}),
    "sweep challenges": (lambda s, _: s.challenges.sweep(limit=50), {"sign_in_challenges_by_expiry"}),
    "sign in and refresh": (lambda s, _: sign_in(s), {"refresh_token_taken"}),
    "take an allowance": (lambda s, _: s.sign_ins.take(Rate(b"a", 60), Rate(b"t", 60)), set()),
    "what has failed": (lambda s, _: s.sign_ins.find("vast", "u500"), {"sign_in_failure_taken"}),
    "judge a refresh token": (
        lambda s, _: s.sessions.find_by_token("vast", TOKEN, LIFETIMES),
        {"refresh_token_taken"},
    ),
    "get a session": (lambda s, _: s.sessions.get("vast", "u500", "s500"), {"session_taken", "sessions_by_user"}),
    "end a session": (lambda s, _: s.sessions.end("vast", "u500", "s500"), {"session_taken", "sessions_by_user"}),
    "rehash a password": (
        lambda s, _: s.passwords.rehash("vast", "u500", "hash", if_changed_at=datetime.now(UTC)),
        {"password_taken"},
    ),
    "make a reset": (lambda s, _: s.passwords.make_reset("vast", "u7"), {"user_taken"}),
    "find a reset": (lambda s, _: s.passwords.find_by_reset("vast", TOKEN), {"token_hash_taken"}),
    "redeem a reset": (lambda s, _: s.passwords.redeem("vast", "u500", TOKEN, "hash"), {"token_hash_taken"}),
    "challenge": (lambda s, _: challenge(s), {"password_taken"}),
    "find a challenge": (lambda s, _: s.challenges.find("vast", TOKEN), {"sign_in_challenge_taken"}),
    "take a challenge": (lambda s, _: s.challenges.take("vast", TOKEN), {"sign_in_challenge_taken"}),
    "list factors": (lambda s, _: s.factors.list("vast", "u500"), {"factors_by_user", "recovery_codes_by_factor"}),
    "get a factor": (lambda s, _: s.factors.get("vast", "u500", "f500"), {"factor_taken", "factors_by_user"}),
    "hold a factor": (lambda s, _: s.factors.hold("vast", "u500"), {"factors_by_user"}),
    "enrol a factor": (lambda s, _: enrol(s), {"factors_by_user"}),
    "use a recovery code": (lambda s, _: use_recovery_code(s), {"recovery_code_taken"}),
    "remove a factor": (lambda s, _: s.factors.remove("vast", "u500", "f500"), {"factor_taken", "factors_by_user"}),
    "reset factors": (lambda s, _: s.factors.reset("vast", "u500"), {"factors_by_user"}),
    "usage of a user's keys": (
        lambda s, _: s.key_usage.of_user("vast", "u500", since=TWO_HOURS_AGO),
        {"key_usage_taken"},
    ),
    "export a user": (lambda s, _: export_user(s, "vast", "u500"), {"user_taken"}),
    "invite": (
        lambda s, _: s.invitations.create("vast", NewInvitation(email="a@b", app_ids=("shop",))),
        {"invitation_token_taken"},
    ),
    "get an invitation": (lambda s, _: s.invitations.get("vast", "i500"), {"invitation_taken"}),
    "list invitations": (lambda s, _: s.invitations.list("vast", after="i500", limit=20), {"invitation_taken"}),
    "find an invitation": (
        lambda s, _: s.invitations.list("vast", InvitationFilter(email="500@example.com")),
        {"invitations_by_email"},
    ),
    "send an invitation again": (lambda s, _: s.invitations.resend("vast", "i500"), {"invitation_taken"}),
    "withdraw an invitation": (lambda s, _: s.invitations.withdraw("vast", "i500"), {"invitation_taken"}),
    "find whom a token invites": (
        lambda s, _: s.invitations.find_by_token("vast", TOKEN),
        {"invitation_token_taken"},
    ),
    "hold an invitation": (
        lambda s, _: s.invitations.hold("vast", TOKEN, user_id="u500"),
        {"invitation_token_taken"},
    ),
    "accept an invitation": (lambda s, _: s.invitations.accept("vast", "i500", "u500"), {"invitation_taken"}),
    "what a user accepted": (
        lambda s, _: s.invitations.list("vast", InvitationFilter(accepted_by="u500")),
        {"invitations_by_user"},
    ),
    "sweep invitations": (lambda s, _: s.invitations.sweep(limit=50), {"invitations_by_expiry"}),
    "sweep kept answers": (lambda s, _: s.idempotency.sweep(limit=500), {"idempotency_keys_by_age"}),
}


@pytest.mark.parametrize(("operation", "indexes"), FAST.values(), ids=FAST)
async def test_it_uses_its_index_and_reads_little_else(
    stores_of_big: Stores, operation: Operation, indexes: set[str]
) -> None:
    plan = Plan()
    async with stores_of_big.transaction() as tx:
        key = (await tx.tenants.get("vast")).ref + "500".zfill(16)
        await operation(Stores(Explained(tx.session, plan)), key)
        raise psycopg.Rollback
    assert not indexes or indexes & plan.indexes
    assert plan.scanned == []
    assert plan.blocks <= FEW


@pytest.mark.parametrize("table", [table for table in purging.STEPS if table != "apps"])
async def test_a_step_of_a_purge_finds_its_rows_and_theirs_by_indexes(stores_of_big: Stores, table: str) -> None:
    """But for apps, the last: under them nothing is left."""
    plan = Plan()
    async with stores_of_big.transaction() as tx:
        await tx.tenants.delete("vast")
        await tx.tenants.begin_purge("vast", after_s=0)
        step = in_scope(purging.STEPS[table])
        await Explained(tx.session, plan).run(step, {"tenant_id": "vast", "limit": 20}, tuple_row)
        raise psycopg.Rollback
    assert plan.scanned == []
    assert plan.blocks <= FEW


async def test_usage_of_an_app_looks_up_no_key_for_each_count(stores_of_big: Stores) -> None:
    """Of 7,200 counts; a tree of blocks that was walked for each would be touched three times as often at least."""
    plan, month = Plan(), UsageFilter.model_validate({"from": datetime.now(UTC) - timedelta(days=30)})
    async with stores_of_big.transaction() as tx:
        found = await Stores(Explained(tx.session, plan)).key_usage.counts("vast", month, app_id="shop")
    assert sum(each.count for each in found.items) > 7_000
    assert plan.blocks < 7_000


def plan_of(big: server.Database, statement: str, types: str, *params: Any) -> Plan:
    """On a lane."""
    lane = settings_of(big.service_url, **SETTINGS)
    plan = Plan()
    with psycopg.connect(lane, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(f"PREPARE asked ({types}) AS {statement}".encode())
        places = ", ".join(["%s"] * len(params))
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({places})"
        found = connection.execute(explain.encode(), params).fetchone()
    assert found is not None
    plan.add(found[0][0]["Plan"])
    plan.blocks = touched(found[0][0]["Plan"])
    return plan


CHAIN = {"tenant_change_taken", "app_taken", "branch_taken", "user_taken"}


def test_a_look_up_of_the_hot_path_uses_an_index_for_each_link_of_the_chain(big: server.Database) -> None:
    [(ref,)] = server.execute(big.admin_url, "SELECT ref FROM identity.tenants WHERE id = 'vast'")
    plan = plan_of(big, LIVE, "text[]", [ref + str(n).zfill(16) for n in (1, 500, 19999)])
    assert plan.indexes - EITHER_WAY == {"tenant_ref_taken", "key_taken", *CHAIN}
    assert plan.indexes & EITHER_WAY
    assert plan.scanned == []
    assert plan.blocks <= FEW


def test_what_takes_uses_an_index_for_each_row(big: server.Database) -> None:
    [(ref,)] = server.execute(big.admin_url, "SELECT ref FROM identity.tenants WHERE id = 'vast'")
    ask = {"tenant_id": "vast", "cost": 1, "costs": {}, "times": 1}
    asked = json.dumps([ask | {"key_id": ref + str(n).zfill(16)} for n in (1, 500, 19999)])
    plan = Plan()
    with psycopg.connect(settings_of(big.service_url, **SETTINGS), cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(b"PREPARE take (jsonb) AS " + TAKE.encode())
        found = connection.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE take (%s)", [asked]).fetchone()
    assert found is not None
    plan.add(found[0][0]["Plan"])
    assert plan.indexes == {"key_limit_taken", "key_taken"}
    assert plan.scanned == []
    assert touched(found[0][0]["Plan"]) <= FEW


def test_a_look_up_of_imported_keys_does_too(big: server.Database) -> None:
    hashes = [sha256(str(n).encode()).hexdigest() for n in (1, 500, 19999)]
    plan = plan_of(big, IMPORTED, "text[], text[], text[]", ["vast"] * 3, ["sha256"] * 3, hashes)
    assert plan.indexes - EITHER_WAY == {"tenant_taken", "imported_key_taken", *CHAIN}
    assert plan.scanned == []
    assert plan.blocks <= FEW
