"""Sweeps: of some tenants after others, each of which says itself how long it keeps something, what is older goes."""

from __future__ import annotations

from typing import NamedTuple

TENANTS_AT_ONCE = 30
"""In one step."""


class Swept(NamedTuple):
    """What a step of a sweep over all tenants took away, and after which tenant the next begins; None at the end."""

    rows: int
    after: str | None


def sweep(
    table: str, key: str, since: str, setting: str, *, of_one: str = "%(limit)s", of_all: str = "%(limit)s"
) -> str:
    """By one worker at a time. `since` tells from when on a row's days count, NULL where they do not; `setting` is the
    tenant's, of how many days it keeps them."""
    return f"""
WITH asked AS (
    SELECT id, now() - make_interval(days => coalesce((settings -> '{setting}')::int, %(days)s)) AS kept_from
      FROM identity.tenants
     WHERE id > %(after)s AND (SELECT pg_try_advisory_xact_lock(hashtextextended('sweep {table}', 0)))
     ORDER BY id LIMIT %(tenants)s
), gone AS (
    DELETE FROM identity.{table}
     WHERE ({key}) IN (
           SELECT old.* FROM asked CROSS JOIN LATERAL (
               SELECT {key} FROM identity.{table}
                WHERE tenant_id = asked.id AND {since} < asked.kept_from
                ORDER BY {since} LIMIT {of_one}) AS old
            LIMIT {of_all})
    RETURNING tenant_id
)
SELECT (SELECT count(*) FROM gone) AS rows, max(id) AS last FROM asked
"""
