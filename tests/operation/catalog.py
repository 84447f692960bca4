"""What a schema is made of, as its catalogs tell it: two databases with equal answers are equal."""

from __future__ import annotations

from typing import Any

import psycopg

ACL = "(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce({}, acldefault('{}', {}))) AS a)"

# The order of columns is left out: a migration can add one at the end only.
CATALOG = f"""
WITH tables AS (
    SELECT * FROM pg_class
     WHERE relnamespace = 'identity'::regnamespace AND relname !~ '^(_?yoyo_|applied_migrations)')
SELECT 'schema', nspname, jsonb_build_array(nspowner::regrole, {ACL.format("nspacl", "n", "nspowner")},
       obj_description(oid, 'pg_namespace')) FROM pg_namespace WHERE nspname = 'identity'
UNION ALL
SELECT 'relation ' || relkind::text, relname, jsonb_build_array(relowner::regrole, relpersistence, relrowsecurity,
       relforcerowsecurity, reloptions, {ACL.format("relacl", "r", "relowner")}, obj_description(oid, 'pg_class'),
       CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END) FROM tables WHERE relkind <> 'i'
UNION ALL
SELECT 'column', relname || '.' || attname, jsonb_build_array(format_type(atttypid, atttypmod), attnotnull,
       pg_get_expr(adbin, adrelid), collname, attidentity, attgenerated, attstorage,
       (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(attacl) AS acl), col_description(attrelid, attnum))
  FROM tables AS t JOIN pg_attribute ON attrelid = t.oid LEFT JOIN pg_collation AS c ON c.oid = attcollation
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attnum > 0 AND NOT attisdropped AND relkind <> 'i'
UNION ALL
SELECT 'constraint', relname || '.' || conname,
       jsonb_build_array(pg_get_constraintdef(c.oid), convalidated, obj_description(c.oid, 'pg_constraint'))
  FROM tables AS t JOIN pg_constraint AS c ON conrelid = t.oid
UNION ALL
SELECT 'index', relname, jsonb_build_array(pg_get_indexdef(t.oid), indisvalid, indisreplident,
       obj_description(t.oid, 'pg_class')) FROM tables AS t JOIN pg_index ON indexrelid = t.oid
UNION ALL
SELECT 'policy', relname || '.' || polname, jsonb_build_array(polcmd, polpermissive,
       (SELECT array_agg(role::regrole::text ORDER BY 1) FROM unnest(polroles) AS role),
       pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy'))
  FROM tables AS t JOIN pg_policy AS p ON polrelid = t.oid
UNION ALL
SELECT 'trigger', relname || '.' || tgname,
       jsonb_build_array(pg_get_triggerdef(g.oid), tgenabled, obj_description(g.oid, 'pg_trigger'))
  FROM tables AS t JOIN pg_trigger AS g ON tgrelid = t.oid WHERE NOT tgisinternal
UNION ALL
SELECT 'function', oid::regprocedure::text, jsonb_build_array(pg_get_functiondef(oid), proowner::regrole,
       {ACL.format("proacl", "f", "proowner")}, obj_description(oid, 'pg_proc'))
  FROM pg_proc WHERE pronamespace = 'identity'::regnamespace AND prokind <> 'a'
UNION ALL
SELECT 'sequence', relname, to_jsonb(s) - 'seqrelid' FROM tables AS t JOIN pg_sequence AS s ON seqrelid = t.oid
UNION ALL
SELECT 'database', '', to_jsonb({ACL.format("datacl", "d", "datdba")}) FROM pg_database
 WHERE datname = current_database()
"""

Catalog = dict[tuple[str, str], Any]


def read(connection: psycopg.Connection[Any]) -> Catalog:
    # with an empty search_path every name in a definition is written out
    connection.execute("SET search_path = ''")
    return {(kind, name): what for kind, name, what in connection.execute(CATALOG.encode())}


def catalog(url: str) -> Catalog:
    with psycopg.connect(url, autocommit=True) as connection:
        return read(connection)
