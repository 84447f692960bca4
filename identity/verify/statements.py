"""What a lane asks of the database, each statement prepared once."""

from __future__ import annotations

_CHAIN = """
SELECT t.id AS tenant_id, k.app_id, k.branch_id, k.user_id, k.id AS key_id, k.name, k.type, k.environment,
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
            ELSE 'valid' END AS code,
       k.credits IS NOT NULL OR k.rate_limits <> '[]' AS is_limited,
       array_to_json(nullif(k.allowed_ips, '{{}}'))::text AS allowed_ips,
       nullif(k.allowed_routes, '[]')::text AS allowed_routes
  FROM {asked},
       LATERAL (SELECT id, status, deleted_at FROM identity.tenants
                 WHERE {tenant} OFFSET 0) AS t,
       LATERAL (SELECT ref, n, xmin FROM identity.tenant_changes
                 WHERE tenant_id = t.id OFFSET 0) AS c,
       LATERAL (SELECT id, app_id, branch_id, user_id, prefix, type, environment, name, scopes, metadata, secret_hash,
                       expires_at, revoked_at, disabled_at, credits, rate_limits, allowed_ips, allowed_routes
                  FROM identity.app_keys
                 WHERE tenant_id = t.id AND {key} OFFSET 0) AS k,
       LATERAL (SELECT status, deleted_at FROM identity.apps
                 WHERE tenant_id = t.id AND id = k.app_id OFFSET 0) AS a
  LEFT JOIN LATERAL (SELECT status, deleted_at FROM identity.branches
                      WHERE tenant_id = t.id AND app_id = k.app_id AND id = k.branch_id OFFSET 0) AS b ON true
  LEFT JOIN LATERAL (SELECT status, deleted_at FROM identity.users
                      WHERE tenant_id = t.id AND id = k.user_id OFFSET 0) AS u ON true
  LEFT JOIN LATERAL (SELECT status FROM identity.user_apps
                      WHERE tenant_id = t.id AND app_id = k.app_id AND user_id = k.user_id OFFSET 0) AS g ON true
"""
"""The whole chain of each key, the first link that fails, and the change counter in the same snapshot. Each link is
LATERAL, with an OFFSET 0: one row by its key, whatever a planner guesses of tables that nobody has analysed yet. Left
to itself it read all keys of a tenant for each one asked, 3 ms a key instead of 0.008."""

LIVE = _CHAIN.format(
    asked="unnest($1::text[]) AS asked (key_id)",
    tenant="ref = left(asked.key_id, 6)",
    key="id = asked.key_id AND algorithm IS NULL",
)

IMPORTED = _CHAIN.format(
    asked="unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, algorithm, hash)",
    tenant="id = asked.tenant_id",
    key="algorithm = asked.algorithm AND secret_hash = decode(asked.hash, 'hex')",
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

SLOTS = 20
"""In which a window is counted. What was taken counts until all of its slot has left the window: so never more than the
limit passes in any span as long as the window, and what was taken is given back a slot late at most."""

TAKE = f"""
WITH asked AS (
    SELECT tenant_id, key_id, cost, costs, times
      FROM jsonb_to_recordset($1::jsonb)
           AS asked (tenant_id text, key_id text, cost bigint, costs jsonb, times bigint)
), held AS (
    SELECT moved.tenant_id, moved.key_id, cost, costs, times, credits, rate_limits, remaining, refilled_at, counts,
           clock_timestamp() AS at
      FROM asked
      JOIN identity.key_limits AS moved USING (tenant_id, key_id)
      JOIN identity.app_keys AS key ON key.tenant_id = moved.tenant_id AND key.id = moved.key_id
     ORDER BY moved.tenant_id, moved.key_id
       FOR UPDATE OF moved SKIP LOCKED
), weighed AS (
    SELECT held.*, windows, least(times, fits, present / nullif(cost, 0)) AS granted, present
      FROM held
     CROSS JOIN LATERAL (
         SELECT CASE WHEN credits IS NOT NULL THEN identity.refilled(credits, remaining, refilled_at, at) END AS present
     ) AS credit
     CROSS JOIN LATERAL (
         SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]') AS windows,
                min(greatest(w."limit" - w.used, 0) / nullif(w.cost, 0)) AS fits
           FROM (
               SELECT r.name, r."limit", r.window_s, place, slot, slots, used, first,
                      coalesce((costs ->> r.name)::bigint, held.cost) AS cost
                 FROM jsonb_to_recordset(rate_limits) AS r (name text, "limit" bigint, window_s bigint)
                CROSS JOIN LATERAL (
                    SELECT r.name || ' ' || r.window_s AS place,
                           floor(extract(epoch FROM at) * {SLOTS} / r.window_s)::bigint AS slot
                ) AS now
                CROSS JOIN LATERAL (
                    SELECT coalesce(jsonb_object_agg(key, value), '{{}}') AS slots, min(key::bigint) AS first,
                           coalesce(sum(value::bigint), 0)::bigint AS used
                      FROM jsonb_each(counts -> place)
                     WHERE key::bigint BETWEEN slot - {SLOTS} AND slot + {SLOTS}
                ) AS counted
           ) AS w
     ) AS rates
), taken AS (
    UPDATE identity.key_limits AS moved
       SET remaining = coalesce(present - granted * cost, moved.remaining),
           refilled_at = identity.last_refill(credits, weighed.refilled_at, at),
           counts = (
               SELECT coalesce(jsonb_object_agg(place, CASE WHEN w.cost = 0 THEN slots ELSE slots || jsonb_build_object(
                          slot, coalesce((slots ->> slot::text)::bigint, 0) + granted * w.cost) END), '{{}}')
                 FROM jsonb_to_recordset(windows) AS w (place text, slot bigint, slots jsonb, cost bigint))
      FROM weighed
     WHERE moved.tenant_id = weighed.tenant_id AND moved.key_id = weighed.key_id
       AND granted > 0 AND (cost > 0 OR costs <> '{{}}')
)
SELECT tenant_id, key_id, granted, present - granted * cost, windows, extract(epoch FROM at) FROM weighed
 UNION ALL
SELECT tenant_id, key_id, times, NULL, '[]', 0
  FROM asked
 WHERE NOT EXISTS (SELECT FROM identity.key_limits AS moved
                    WHERE moved.tenant_id = asked.tenant_id AND moved.key_id = asked.key_id)
"""
"""All or none of a key's limits, for as many of those that ask the same as there is room for. Whoever has the row
locked is not waited for, or a lane and all others that it carries would wait too: that key is asked again. The clock is
read once a row, and by it both slots and refills are counted."""

PREPARED = {"live": LIVE, "imported": IMPORTED, "proof": PROOF, "changes": CHANGES, "take": TAKE}

SETTINGS = {
    "role": "identity_verifier",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_memoize": "off",
    "timezone": "UTC",
}
"""A custom plan would cost ten times the look-up; and of few keys the indexes know all, whatever a planner guesses."""


def array(texts: list[str]) -> bytes:
    """Of ids and refs, in which nothing needs to be escaped."""
    return b'{"' + '","'.join(texts).encode() + b'"}'
