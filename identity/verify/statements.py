"""The questions that a lane asks of the database, each prepared once."""

from __future__ import annotations

_CHAIN = """
SELECT k.tenant_id, k.app_id, k.branch_id, k.user_id, k.id AS key_id, k.name, k.type, k.environment,
       array_to_json(k.scopes)::text AS scopes, k.metadata::text AS metadata, k.expires_at::text AS expires_at,
       k.prefix, encode(k.secret_hash, 'hex') AS secret_hash,
       c.ref || ':' || c.n || ':' || c.xmin AS counter,
       CASE WHEN k.revoked_at IS NOT NULL            THEN 'revoked'
            WHEN k.disabled_at IS NOT NULL           THEN 'disabled'
            WHEN k.expires_at <= clock_timestamp()   THEN 'expired'
            WHEN t.deleted_at IS NOT NULL            THEN 'tenant_deleted'
            WHEN t.status = 'suspended'              THEN 'tenant_suspended'
            WHEN a.deleted_at IS NOT NULL            THEN 'app_deleted'
            WHEN a.status = 'disabled'               THEN 'app_disabled'
            WHEN b.deleted_at IS NOT NULL            THEN 'branch_deleted'
            WHEN b.status = 'disabled'               THEN 'branch_disabled'
            WHEN u.deleted_at IS NOT NULL            THEN 'user_deleted'
            WHEN u.status = 'suspended'              THEN 'user_suspended'
            WHEN u.status = 'locked'                 THEN 'user_locked'
            WHEN k.user_id IS NOT NULL AND g.status IS DISTINCT FROM 'active' THEN 'access_revoked'
            ELSE 'valid' END AS code
  FROM (SELECT asked.*, id, status, deleted_at FROM {asked} OFFSET 0) AS t
  JOIN identity.tenant_changes AS c ON c.tenant_id = t.id
  JOIN identity.app_keys AS k ON k.tenant_id = t.id AND {key}
  JOIN identity.apps AS a ON a.tenant_id = k.tenant_id AND a.id = k.app_id
  LEFT JOIN identity.branches AS b ON b.tenant_id = k.tenant_id AND b.app_id = k.app_id AND b.id = k.branch_id
  LEFT JOIN identity.users AS u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
  LEFT JOIN identity.user_apps AS g ON g.tenant_id = k.tenant_id AND g.app_id = k.app_id AND g.user_id = k.user_id
"""
"""The whole chain of each key, the first link that fails, and the change counter in the same snapshot. OFFSET 0 keeps
the planner from joining the keys by their tenant alone, which read every key of the tenant for each one asked."""

LIVE = _CHAIN.format(
    asked="unnest($1::text[]) AS asked (key_id) JOIN identity.tenants ON ref = left(asked.key_id, 6)",
    key="k.id = t.key_id AND k.algorithm IS NULL",
)

IMPORTED = _CHAIN.format(
    asked="unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, algorithm, hash)"
    " JOIN identity.tenants ON id = asked.tenant_id",
    key="k.algorithm = t.algorithm AND k.secret_hash = decode(t.hash, 'hex')",
)
"""Keys of another system, which only their own tenant knows, by what their whole text comes to."""

PROOF = """
SELECT date_part('epoch', clock_timestamp()), string_agg(ref || ':' || n || ':' || xmin, ',')
  FROM identity.tenant_changes WHERE ref = ANY ($1::text[])
"""

CHANGES = """
SELECT ref || ':' || n || ':' || xmin, array_to_json(changes)::text
  FROM identity.tenant_changes WHERE ref = ANY ($1::text[])
"""

WHERE_WE_ARE = """
SELECT pg_is_in_recovery(), pg_postmaster_start_time()::text
"""

PREPARED = {"live": LIVE, "imported": IMPORTED, "proof": PROOF, "changes": CHANGES}

SETTINGS = {
    "role": "identity_verifier",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "timezone": "UTC",
}
"""A custom plan would cost ten times the look-up; and of few keys the indexes know all, whatever a planner guesses."""


def array(texts: list[str]) -> bytes:
    """Of ids and refs, in which nothing needs to be escaped."""
    return b'{"' + '","'.join(texts).encode() + b'"}'
