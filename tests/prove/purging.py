"""A tenant of three hundred thousand users, with access, passwords, sessions and keys, purged beside the load."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

import psycopg

from tests.load.http import Connection, request
from tests.prove.site import Site

USERS = 300_000
GONE_WITHIN_S = 600.0
ASKED_EVERY_S = 0.02
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g"

FILL = (
    "INSERT INTO identity.tenants (id, name) VALUES (%(id)s, 'Vast')",
    """INSERT INTO identity.apps (tenant_id, id, name, type)
       VALUES (%(id)s, 'identity', 'Identity', 'service'), (%(id)s, 'shop', 'Shop', 'web')""",
    "SET LOCAL session_replication_role = replica",
    """INSERT INTO identity.users (tenant_id, id, username, username_canonical)
       SELECT %(id)s, 'u' || n, 'u' || n, 'u' || n FROM generate_series(1, %(users)s) AS n""",
    """INSERT INTO identity.user_apps (tenant_id, app_id, user_id)
       SELECT %(id)s, 'shop', 'u' || n FROM generate_series(1, %(users)s) AS n""",
    """INSERT INTO identity.passwords (tenant_id, user_id, hash)
       SELECT %(id)s, 'u' || n, %(hash)s FROM generate_series(1, %(users)s) AS n""",
    """INSERT INTO identity.app_keys (tenant_id, id, app_id, user_id, prefix, secret_hash, name)
       SELECT %(id)s, ref || lpad(n::text, 16, '0'), 'shop', 'u' || n, 'isk', sha256(n::text::bytea), 'K'
         FROM identity.tenants, generate_series(1, %(users)s / 3) AS n WHERE tenants.id = %(id)s""",
    """INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
       SELECT tenant_id, id, date_trunc('hour', now()) - make_interval(hours => n), 'valid', 1
         FROM identity.app_keys, generate_series(1, 3) AS n WHERE tenant_id = %(id)s""",
    """INSERT INTO identity.sessions (tenant_id, id, app_id, user_id, scopes, address, user_agent, expires_at, ends_at)
       SELECT %(id)s, 's' || n, 'shop', 'u' || n, '{}', '', '', now() + interval '9 days', now() + interval '9 days'
         FROM generate_series(1, %(users)s / 3) AS n""",
    """INSERT INTO identity.refresh_tokens (tenant_id, hash, session_id, expires_at)
       SELECT %(id)s, sha256((n || ' ' || m)::bytea), 's' || n, now() + interval '9 days'
         FROM generate_series(1, %(users)s / 3) AS n, generate_series(1, 2) AS m""",
    "UPDATE identity.tenant_counters SET living = %(users)s WHERE tenant_id = %(id)s AND noun = 'users'",
)
"""As a superuser, past the triggers that would judge each row."""
MONTHS_AGO = "UPDATE identity.tenants SET deleted_at = now() - interval '99 days' WHERE id = %s"


@dataclass
class Purged:
    """What came of it."""

    seconds: float = 0.0
    asked: int = 0


async def fill(admin_url: str, id: str, users: int) -> None:
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        for statement in FILL:
            await connection.execute(statement.encode(), {"id": id, "users": users, "hash": HASH})
    async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as connection:
        await connection.execute("VACUUM ANALYZE")


async def let_its_grace_pass(admin_url: str, id: str) -> None:
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(MONTHS_AGO, [id])


async def tenant_purged(site: Site, users: int = USERS) -> Purged:
    """Deleted over one worker, and its key asked for at both from then until nothing of it is left."""
    id, found = f"vast-{time.monotonic_ns()}", Purged()
    await fill(site.database.admin_url, id, users)
    admin, askers = Connection(site.ports[0]), [Connection(port) for port in site.ports]
    key = site.database.platform_key
    try:
        issued = await admin.ask(request("POST", f"/v1/tenants/{id}/apps/shop/keys", key, {"name": "K"}))
        question = request("POST", "/v1/keys/verify", key, {"key": json.loads(issued.body)["key"]})
        assert [(await asker.ask(question)).is_valid for asker in askers] == [True, True]
        assert (await admin.ask(request("DELETE", f"/v1/tenants/{id}", key))).status == 204
        await let_its_grace_pass(site.database.admin_url, id)
        begun_s = time.monotonic()
        while await _is_left(site, id):
            for asker in askers:
                answer = await asker.ask(question)
                assert (answer.is_good, answer.is_valid) == (True, False)
                found.asked += 1
            await asyncio.sleep(ASKED_EVERY_S)
            assert time.monotonic() - begun_s < GONE_WITHIN_S
        found.seconds = time.monotonic() - begun_s
    finally:
        for connection in (admin, *askers):
            connection.close()
    return found


async def _is_left(site: Site, id: str) -> bool:
    return bool(await site.execute(f"SELECT FROM identity.tenants WHERE id = '{id}'"))
