"""Sweeps: what has had its time goes, of all tenants, in small steps and by one worker at a time. Rows are locked
before they go, and those that somebody else holds are passed over: whoever ends them, in an order of its own, would
else be met crosswise."""

from __future__ import annotations

from typing import NamedTuple

TENANTS_AT_ONCE = 30
"""In one step."""


class Swept(NamedTuple):
    """What a step of a sweep over all tenants took away, and after which tenant the next begins; None at the end."""

    rows: int
    after: str | None


def sweep(table: str, key: str, since: str, *, kept: str = "") -> str:
    """Of all tenants at once: what is `kept` for so long since then. By now(), since no index knows a clock that runs;
    only the key is returned, which is all that the platform may read beside."""
    return f"""
WITH old AS MATERIALIZED (
    SELECT {key} FROM identity.{table}
     WHERE {since} < now(){kept and f" - interval '{kept}'"} AND {_alone(table)}
     ORDER BY {since} LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM identity.{table} WHERE ({key}) IN (SELECT {key} FROM old)
RETURNING {key}
"""


def sweep_by_tenant(
    table: str, key: str, since: str, kept: str, *, of_one: str = "%(limit)s", of_all: str = "%(limit)s"
) -> str:
    """Of some tenants after others. `since` tells from when on a row's time counts, NULL where it does not; `kept` is
    how long, by the tenant's settings maybe. Of a tenant that is being purged everything goes anyway."""
    return f"""
WITH asked AS MATERIALIZED (
    SELECT id, now() - make_interval({kept}) AS kept_from
      FROM identity.tenants
     WHERE id > %(after)s AND purged_at IS NULL AND {_alone(table)}
     ORDER BY id LIMIT %(tenants)s
), old AS MATERIALIZED (
    SELECT each.* FROM asked CROSS JOIN LATERAL (
        SELECT {key} FROM identity.{table}
         WHERE tenant_id = asked.id AND {since} < asked.kept_from
         ORDER BY {since} LIMIT {of_one}
           FOR UPDATE SKIP LOCKED) AS each
     LIMIT {of_all}
), gone AS (
    DELETE FROM identity.{table} WHERE ({key}) IN (SELECT {key} FROM old)
    RETURNING tenant_id
)
SELECT (SELECT count(*) FROM gone) AS rows, max(id) AS last FROM asked
"""


def _alone(table: str) -> str:
    return f"(SELECT pg_try_advisory_xact_lock(hashtextextended('sweep {table}', 0)))"
