"""Purging a whole tenant, in steps of which each is a transaction of its own: three hundred thousand users in one would
keep others waiting, and end at a timeout. It begins with a mark that nothing takes back, each step asks for it, and the
tenant's own row goes last, with its change counter: so who is cut off goes on where they were, and nobody ever restores
half a tenant."""

from __future__ import annotations

STEP_ROWS = 1_000
WAIT_S = 0.1
"""Until it is looked whether somebody else has taken their step."""

MANY = {
    "key_usage": "key_id, hour, code",
    "app_keys": "id",
    "refresh_tokens": "hash",
    "sessions": "id",
    "invitation_access": "invitation_id, app_id",
    "invitations": "id",
    "user_apps": "app_id, user_id",
    "sign_in_failures": "name",
    "users": "id",
    "branches": "app_id, id",
    "apps": "id",
}
"""What there may be very much of, by the rest of its key; what hangs on something goes before it. All else is little
for each of these, and goes with them."""


def _step(table: str, key: str) -> str:
    """The tenant's row is the lock, for one at a time. It is passed over, not waited for; and held so that whoever is
    told that a sign-in failed does not wait either."""
    return f"""
WITH held AS MATERIALIZED (
    SELECT id FROM identity.tenants
     WHERE id = %(tenant_id)s AND purged_at IS NOT NULL
       FOR NO KEY UPDATE SKIP LOCKED
), next AS MATERIALIZED (
    SELECT {key} FROM identity.{table}
     WHERE tenant_id = %(tenant_id)s AND EXISTS (SELECT FROM held)
     ORDER BY {key} LIMIT %(limit)s
), gone AS (
    DELETE FROM identity.{table}
     WHERE tenant_id = %(tenant_id)s AND ({key}) IN (SELECT {key} FROM next)
    RETURNING tenant_id
)
SELECT id, EXISTS (SELECT FROM held) AS held, (SELECT count(*) FROM gone) AS rows
  FROM identity.tenants
 WHERE id = %(tenant_id)s AND purged_at IS NOT NULL
"""


STEPS = {table: _step(table, key) for table, key in MANY.items()}

LAST = """
DELETE FROM identity.tenants
 WHERE id = %(tenant_id)s AND purged_at IS NOT NULL
RETURNING id
"""

ROWS = (
    "SELECT id, "
    + " + ".join(f"(SELECT count(*) FROM identity.{table} WHERE tenant_id = %(tenant_id)s)" for table in MANY)
    + " AS rows FROM identity.tenants WHERE id = %(tenant_id)s"
)
