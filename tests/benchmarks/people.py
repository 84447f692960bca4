"""What is measured of sign-ins, refreshes and introspection."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import psycopg
from argon2 import PasswordHasher

from identity.hashing import MEMORY_KIB, PASSES
from identity.token_text import hash_token, new_token
from tests.benchmarks.case import Case, Target
from tests.benchmarks.measure import Subject
from tests.benchmarks.questions import PASSWORD
from tests.benchmarks.site import Keys, Site, load_beside

TENANTS = 100
THREADS = max(1, (os.cpu_count() or 2) - 1)
"""In which the service hashes, and argon2 alone. A processor is left to the rest: what the load and PostgreSQL take of
one that hashes would be held against the service."""
SIGN_INS = 64
UNLIMITED: dict[str, Any] = {
    "sign_ins_per_address": "1000000",
    "sign_ins_per_tenant": "1000000",
    "refreshes_per_session": "1000000",
    "password_threads": str(THREADS),
    "password_queue": str(4 * SIGN_INS),
}
HASH = """
INSERT INTO identity.passwords (tenant_id, user_id, hash)
SELECT tenant_id, id, %(hash)s FROM identity.users WHERE tenant_id LIKE 'people-%%'
"""
SESSIONS = """
INSERT INTO identity.sessions (tenant_id, id, app_id, user_id, scopes, address, user_agent, expires_at, ends_at)
SELECT id, 's' || n, 'shop', 'user-' || n %% 10, '{}', '', '', now() + interval '7 days', now() + interval '30 days'
  FROM identity.tenants, generate_series(1, %(each)s) AS n WHERE id LIKE 'people-%%'
RETURNING tenant_id, id
"""
REFS = "SELECT id, ref FROM identity.tenants WHERE id LIKE 'people-%'"
TOKENS = """
INSERT INTO identity.refresh_tokens (tenant_id, hash, session_id, expires_at)
VALUES (%s, %s, %s, now() + interval '7 days')
"""


def people(site: Site) -> Keys:
    """Ten in each tenant, all with the same password."""
    made = site.keys("people", TENANTS, 100)
    with psycopg.connect(site.database.admin_url) as connection:
        if connection.execute("SELECT FROM identity.passwords LIMIT 1").fetchone() is None:
            hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
            connection.execute(HASH, {"hash": hasher.hash(PASSWORD)})
            site.write("people", [f"people-{n}:user-{m}" for n in range(1, TENANTS + 1) for m in range(10)])
    return made


def tokens(site: Site, name: str, count: int) -> str:
    """Refresh tokens of as many sessions, in a file."""
    given = {"each": count // TENANTS + 1}
    with psycopg.connect(site.database.admin_url) as connection:
        refs: dict[str, str] = dict(connection.execute(REFS).fetchall())
        connection.execute("DELETE FROM identity.sessions WHERE id LIKE 's%'")
        found = [
            (tenant_id, id, new_token("irt", refs[tenant_id]))
            for tenant_id, id in connection.execute(SESSIONS, given).fetchall()
        ]
        rows = [(tenant_id, hash_token(token), id) for tenant_id, id, token in found]
        connection.cursor().executemany(TOKENS, rows)
    return str(site.write(name, [f"{tenant_id}:{token}" for tenant_id, _, token in found]))


def _sign_in(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    subject = _signing_in(stack.enter_context(site.service("sign-in", people(site), warm=False, **UNLIMITED)), site)
    alone = replace(subject.order, ask="hash", threads=THREADS)
    return [replace(subject, name="argon2 alone", order=alone), subject]


def _signing_in(subject: Subject, site: Site) -> Subject:
    return replace(subject, order=replace(subject.order, ask="sign-in", keys=str(site.path("people"))))


def _beside(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    subject = stack.enter_context(site.service("verification", people(site), **UNLIMITED))
    order = _signing_in(subject, site).order
    beside = replace(order, connections=SIGN_INS, seconds=asked.seconds + 1.0)
    return [subject, replace(subject, name="beside sign-ins", beside=lambda: load_beside(beside))]


def _refresh(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    keys, connections = people(site), 2 * sum(OF_REFRESH)
    file = tokens(site, "tokens", connections * asked.rounds)
    subjects = [
        stack.enter_context(site.floor("update", keys)),
        stack.enter_context(site.service("refresh", keys, warm=False, **UNLIMITED)),
    ]
    return [replace(each, order=replace(each.order, ask="refresh", keys=file)) for each in subjects]


def _introspection(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    subject = stack.enter_context(site.service("verification", people(site)))
    return [subject, replace(subject, name="introspection", order=replace(subject.order, ask="introspect"))]


OF_REFRESH = (64, 16)
CASES = (
    Case(
        "sign-in",
        "sign-ins, and argon2 alone in as many threads",
        (SIGN_INS,),
        _sign_in,
        (Target("sign-in", SIGN_INS, "per_s", 0.95, "argon2 alone"),),
    ),
    Case(
        "beside-sign-ins",
        f"verifications, and the same while {SIGN_INS} sign-ins run beside them",
        (16, 1),
        _beside,
        (
            Target("beside sign-ins", 16, "p99_ms", 3.0, "verification", at_most=True),
            Target("beside sign-ins", 1, "p99_ms", 3.0, "verification", at_most=True),
        ),
    ),
    Case(
        "refresh",
        "refreshes, and a bare route that updates one row",
        OF_REFRESH,
        _refresh,
        tuple(Target("refresh", count, "per_s", 0.5, "update") for count in OF_REFRESH),
    ),
    Case(
        "introspection",
        "introspection of keys, and their verification",
        (64, 16),
        _introspection,
        tuple(Target("introspection", count, "per_s", 0.9, "verification") for count in (64, 16)),
    ),
)
