"""What must hold of every table, so that a new one that lacks it fails here, is asked of the catalog."""

from __future__ import annotations

import psycopg
import pytest

from tests.security.wall import BOOKKEEPING, Connection
from tests.server import Database

TABLES = """
WITH tables AS (
    SELECT c.oid, c.relname, CASE c.relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END AS tenant_id,
           relrowsecurity, relforcerowsecurity
      FROM pg_class AS c
     WHERE relnamespace = 'identity'::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL (%(bookkeeping)s)
)
"""
NEW = (
    'CREATE TABLE identity.planted (tenant_id text COLLATE "C" REFERENCES identity.tenants ON DELETE CASCADE, id text);'
)

RULES: dict[str, tuple[str, str]] = {
    "row-level security is enabled, and forced on the owner too": (
        "SELECT relname FROM tables WHERE NOT (relrowsecurity AND relforcerowsecurity)",
        NEW + "ALTER TABLE identity.planted ENABLE ROW LEVEL SECURITY",
    ),
    "the service reads and writes by the tenant's policy": (
        """
        SELECT relname FROM tables WHERE NOT EXISTS (
            SELECT FROM pg_policies AS p
             WHERE schemaname = 'identity' AND tablename = relname AND roles = '{identity_app}' AND cmd = 'ALL'
               AND qual = format('(%%I = identity.current_tenant())', tables.tenant_id) AND with_check = qual)
        """,
        NEW + "CREATE POLICY tenant ON identity.planted TO identity_app USING (tenant_id = identity.current_tenant())",
    ),
    "no other policy lets the service in, nor anybody": (
        """
        SELECT relname || ': ' || policyname FROM tables JOIN pg_policies ON tablename = relname
         WHERE schemaname = 'identity' AND roles && '{public,identity_app}' AND policyname <> 'tenant'
           AND permissive = 'PERMISSIVE'
        """,
        "CREATE POLICY support ON identity.users USING (true)",
    ),
    "the owner has a policy, or a backfill would touch no row": (
        """
        SELECT relname FROM tables WHERE NOT EXISTS (
            SELECT FROM pg_policies AS p
             WHERE schemaname = 'identity' AND tablename = relname AND roles = '{identity_owner}' AND cmd = 'ALL'
               AND qual = 'true' AND with_check = 'true')
        """,
        NEW,
    ),
    "created_at and updated_at are there, and kept": (
        """
        SELECT relname FROM tables
         WHERE 2 > (SELECT count(*) FROM pg_attribute
                     WHERE attrelid = oid AND attname IN ('created_at', 'updated_at') AND attnotnull
                       AND atttypid = 'timestamptz'::regtype)
            OR NOT EXISTS (SELECT FROM pg_trigger
                            WHERE tgrelid = tables.oid AND tgfoid = 'identity.touch'::regproc AND tgenabled <> 'D'
                              AND pg_get_triggerdef(pg_trigger.oid) ~ 'BEFORE UPDATE ON .* FOR EACH ROW')
        """,
        "ALTER TABLE identity.users DISABLE TRIGGER touch",
    ),
    "a unique constraint begins with the tenant, or it tells one what another has": (
        """
        SELECT indexrelid::regclass::text FROM pg_index JOIN tables ON tables.oid = indrelid
         WHERE indisunique AND relname <> 'tenants' AND pg_get_indexdef(indexrelid, 1, false) <> 'tenant_id'
        """,
        "CREATE UNIQUE INDEX planted ON identity.users (id, tenant_id)",
    ),
    "a foreign key carries the tenant on both sides, and cascades": (
        """
        SELECT relname || ': ' || conname FROM pg_constraint JOIN tables ON tables.oid = conrelid
         WHERE contype = 'f' AND (confdeltype <> 'c' OR NOT EXISTS (
            SELECT FROM unnest(conkey, confkey) AS pair (child, parent)
              JOIN pg_attribute AS c ON c.attrelid = conrelid AND c.attnum = child AND c.attname = 'tenant_id'
              JOIN pg_attribute AS p ON p.attrelid = confrelid AND p.attnum = parent
                   AND p.attname = CASE confrelid WHEN 'identity.tenants'::regclass THEN 'id' ELSE 'tenant_id' END))
        """,
        "ALTER TABLE identity.users ADD CONSTRAINT planted FOREIGN KEY (tenant_id, id) REFERENCES identity.users",
    ),
    "a foreign key's columns lead an index, since a cascade is a query": (
        """
        SELECT relname || ': ' || conname FROM pg_constraint JOIN tables ON tables.oid = conrelid
         WHERE contype = 'f' AND NOT EXISTS (
            SELECT FROM pg_index
             WHERE indrelid = conrelid AND indpred IS NULL AND (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey)
        """,
        NEW,
    ),
    "a function that runs as its owner is pinned, and nobody's to call": (
        """
        SELECT proname FROM pg_proc
         WHERE pronamespace = 'identity'::regnamespace AND prosecdef
           AND (has_function_privilege('public', oid, 'EXECUTE')
                OR NOT EXISTS (SELECT FROM unnest(proconfig) AS c WHERE c ~ '^search_path=.*pg_catalog, pg_temp$'))
        """,
        """
        CREATE FUNCTION identity.planted() RETURNS int LANGUAGE sql SECURITY DEFINER
        SET search_path = identity, pg_catalog, pg_temp RETURN 1
        """,
    ),
    "a view asks as its caller, or belongs to the reader": (
        """
        SELECT relname FROM pg_class
         WHERE relnamespace = 'identity'::regnamespace AND relkind IN ('v', 'm')
           AND relowner <> 'identity_reader'::regrole AND NOT 'security_invoker=true' = ANY (coalesce(reloptions, '{}'))
        """,
        "CREATE VIEW identity.planted AS SELECT id FROM identity.users",
    ),
    "the roles stand apart: a policy to one is a policy to whoever inherits from it": (
        """
        SELECT format('%%s is a %%s', member::regrole, roleid::regrole) FROM pg_auth_members
         WHERE member::regrole::text ~ '^identity_(owner|app|verifier|platform|reader)$'
           AND (member, roleid) <> ('identity_owner'::regrole, 'identity_reader'::regrole)
        """,
        "GRANT identity_verifier TO identity_app",
    ),
    "no role may log in, or more than it was granted": (
        """
        SELECT rolname FROM pg_roles
         WHERE rolname ~ '^identity_(owner|app|verifier|platform|reader)$'
           AND (rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR rolcreatedb OR rolreplication)
        """,
        "ALTER ROLE identity_reader CREATEDB",
    ),
}


def offenders(connection: Connection, rule: str) -> list[str]:
    statement = TABLES + RULES[rule][0]
    return [name for [name] in connection.execute(statement.encode(), {"bookkeeping": list(BOOKKEEPING)}).fetchall()]


@pytest.mark.parametrize("rule", RULES)
def test_of_every_table_it_holds_that(database: Database, rule: str) -> None:
    with psycopg.connect(database.admin_url) as connection:
        assert offenders(connection, rule) == []
        connection.execute(RULES[rule][1].encode())
        assert len(offenders(connection, rule)) == 1, "this rule would not see a table that breaks it"
        connection.rollback()
