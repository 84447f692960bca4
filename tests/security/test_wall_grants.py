"""What each role may do is written down here, and all else is refused."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Organisation
from tests.security.wall import BOOKKEEPING, DENIED, ROLES, acting_as, attempt, enter, of_table, tables, use_everything
from tests.server import Database

RIGHTS = """
SELECT privilege || ' ' || relname || '.' || attname
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS privilege
 WHERE relnamespace = 'identity'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
   AND has_column_privilege(%(role)s, pg_class.oid, attname, privilege)
 UNION ALL
SELECT privilege || ' ' || relname
  FROM pg_class, unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
 WHERE relnamespace = 'identity'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
   AND has_table_privilege(%(role)s, pg_class.oid, privilege)
"""

JUDGED = {
    "tenants": "id ref status deleted_at",
    "apps": "tenant_id id status deleted_at",
    "branches": "tenant_id app_id id status deleted_at",
    "users": "tenant_id id status deleted_at",
    "user_apps": "tenant_id app_id user_id status",
    "app_keys": "tenant_id id app_id branch_id user_id prefix secret_hash type environment name scopes metadata"
    " expires_at disabled_at revoked_at credits rate_limits allowed_ips allowed_routes algorithm",
    "key_last_uses": "tenant_id key_id last_used_at created_at updated_at",
    "key_limits": "tenant_id key_id remaining refilled_at counts created_at updated_at",
    "tenant_changes": "tenant_id ref n changes",
    "key_usage": "tenant_id key_id hour code count",
    "usage_workers": "id sequence created_at updated_at",
}
"""What the verifier may read: what a verdict says, is judged or proved by."""

FIXED = {
    *("id", "tenant_id", "ref", "created_at", "updated_at"),
    *(
        "app_id",
        "branch_id",
        "user_id",
        "key_id",
        "prefix",
        "secret_hash",
        "type",
        "environment",
        "rotated_from",
        "algorithm",
        "prefix_shown",
    ),
}
"""What a row is for as long as it is; but the type of an app or a branch may change."""

NOT_WRITTEN = {"key_last_uses", "key_usage", "tenant_counters", "tenant_changes", "gathered_changes", *BOOKKEEPING}

FORBIDDEN = [
    "CREATE TABLE identity.mine (id text)",
    "CREATE VIEW identity.mine AS SELECT 1 AS one",
    "CREATE FUNCTION identity.mine() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE TABLE public.mine (id text)",
    "CREATE SCHEMA mine",
    "TRUNCATE identity.key_last_uses",
    "TRUNCATE identity.users CASCADE",
    "DROP TABLE identity.key_last_uses",
    "DROP POLICY tenant ON identity.users",
    "CREATE POLICY mine ON identity.users USING (true)",
    "ALTER TABLE identity.users DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE identity.users NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE identity.users DISABLE TRIGGER ALL",
    "ALTER TABLE identity.users DISABLE TRIGGER USER",
    "ALTER TABLE identity.users OWNER TO CURRENT_USER",
    "ALTER TABLE identity.users ADD COLUMN mine text",
    "CREATE TRIGGER mine AFTER INSERT ON identity.users FOR EACH ROW EXECUTE FUNCTION identity.touch()",
    "CREATE INDEX ON identity.users (full_name)",
    "CREATE OR REPLACE FUNCTION identity.current_tenant() RETURNS text LANGUAGE sql RETURN 'mine'",
    "CREATE TEMP TABLE t (id text); CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION identity.count_living()",
    "CREATE TEMP TABLE t (id text); CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION identity.start_counters()",
    "CREATE TEMP TABLE t (id text); CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION identity.number_changes()",
    "CREATE TEMP TABLE t (id text); CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION identity.gather_changes()",
    "SELECT setval('identity.tenant_refs', 0)",
    "SET LOCAL row_security = off; SELECT FROM identity.users",
    "SET LOCAL session_replication_role = replica",
    "SET LOCAL ROLE identity_owner",
    "SET LOCAL ROLE identity_reader",
    "SET LOCAL ROLE pg_read_all_data",
    "RESET ROLE; SET ROLE identity_owner",
    "SELECT set_config('role', 'identity_owner', false)",
    "SET SESSION AUTHORIZATION identity_owner",
    "RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION identity_owner",
    "RESET ROLE; SELECT FROM identity.users",
    "SET ROLE NONE; DELETE FROM identity.users",
    "GRANT identity_owner TO CURRENT_USER",
    "ALTER ROLE identity_app BYPASSRLS",
    "CREATE ROLE mine",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT rolpassword FROM pg_authid",
]


def rights(database: Database, role: str) -> set[str]:
    with psycopg.connect(database.admin_url) as connection:
        return {right for [right] in connection.execute(RIGHTS, {"role": role}).fetchall()}


def test_the_verifier_reads_what_is_judged_and_writes_uses_and_what_is_taken_alone(database: Database) -> None:
    inserted = {
        "key_last_uses": JUDGED["key_last_uses"],
        "key_usage": JUDGED["key_usage"],
        "usage_workers": "id sequence",
    }
    assert rights(database, "identity_verifier") == {
        *(f"SELECT {table}.{column}" for table, columns in JUDGED.items() for column in columns.split()),
        *(f"INSERT {table}.{column}" for table, columns in inserted.items() for column in columns.split()),
        *("UPDATE key_last_uses.last_used_at", "UPDATE key_usage.count"),
        *(f"UPDATE key_limits.{column}" for column in ("remaining", "refilled_at", "counts")),
        *("UPDATE usage_workers.sequence", "DELETE usage_workers"),
    }


SWEPT = {
    "idempotency_keys": "tenant_id caller id created_at",
    "key_usage": "tenant_id key_id hour code",
    "app_keys": "tenant_id id revoked_at expires_at",
    "sessions": "tenant_id id expires_at",
    "refresh_tokens": "tenant_id hash expires_at",
    "password_resets": "tenant_id user_id expires_at",
    "invitations": "tenant_id id expires_at",
    "sign_in_challenges": "tenant_id token_hash expires_at",
    "sign_in_failures": "tenant_id name failed_at paused_until",
    "users": "tenant_id id deleted_at",
    "branches": "tenant_id app_id id deleted_at",
    "apps": "tenant_id id deleted_at",
}
"""What the platform may take away, and read of it."""


SIGNING_KEYS = "id public_key private_key starts_at"


def test_the_platform_reads_tenants_keeps_signing_keys_and_sweeps_what_it_cannot_read(database: Database) -> None:
    found = rights(database, "identity_platform")
    assert {right for right in found if not right.startswith("SELECT tenants.")} == {
        *(f"INSERT signing_keys.{column}" for column in SIGNING_KEYS.split()),
        *(f"SELECT signing_keys.{column}" for column in f"{SIGNING_KEYS} created_at updated_at".split()),
        *(
            "UPDATE signing_keys.private_key",
            "DELETE signing_keys",
            "DELETE sign_in_limits",
            "UPDATE sign_in_limits.paid_until",
        ),
        *(f"INSERT sign_in_limits.{column}" for column in ("subject", "paid_until")),
        *(f"SELECT sign_in_limits.{column}" for column in ("subject", "paid_until", "created_at", "updated_at")),
        *(f"SELECT {table}.{column}" for table, columns in SWEPT.items() for column in columns.split()),
        *(right for table in SWEPT for right in (f"DELETE {table}", f"UPDATE {table}.updated_at")),
    }


def test_a_kept_answer_is_never_changed_nor_taken_away_by_the_service(database: Database) -> None:
    found = {right.split(".")[0] for right in rights(database, "identity_app") if "idempotency_keys" in right}
    assert found == {"SELECT idempotency_keys", "INSERT idempotency_keys"}


@pytest.mark.parametrize("table", SWEPT)
async def test_the_platform_takes_nothing_away_before_its_day_is_over(
    database: Database, org: Organisation, table: str
) -> None:
    use_everything(database, org)
    await org.stores.app_keys.revoke(org.id, "shop", org.key.id)
    with acting_as(database.service_url, "identity_platform") as connection:
        assert attempt(connection, of_table("DELETE FROM {table} WHERE {tenant_id} = %s", table), org.id) == 0


def test_the_reader_only_reads_what_filters_ask_and_the_login_itself_may_do_nothing(database: Database) -> None:
    login = psycopg.conninfo.conninfo_to_dict(database.service_url)["user"]
    found = {right.split(".")[0] for right in rights(database, "identity_reader")}
    assert {right for right in found if not right.endswith("_of_tenant")} == {"SELECT users", "SELECT branches"}
    assert rights(database, str(login)) == set()


@pytest.mark.parametrize("view", ["users_of_tenant", "branches_of_tenant"])
async def test_a_view_of_the_reader_shows_each_tenant_itself(database: Database, org: Organisation, view: str) -> None:
    """And may be written through by nobody."""
    with acting_as(database.service_url, "identity_app") as connection:
        assert connection.execute(f"SELECT FROM identity.{view}".encode()).rowcount == 0
        connection.execute("SELECT set_config('identity.tenant_id', %s, false)", [org.id])
        tenants = connection.execute(f"SELECT DISTINCT tenant_id FROM identity.{view}".encode()).fetchall()
        assert tenants == [(org.id,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"DELETE FROM identity.{view}".encode())


def test_the_service_never_changes_what_a_row_is(database: Database) -> None:
    updates = {
        right.removeprefix("UPDATE ") for right in rights(database, "identity_app") if right.startswith("UPDATE")
    }
    assert {each for each in updates if each.split(".")[1] in FIXED} == {"apps.type", "branches.type"}


def test_the_service_writes_no_last_use_no_counter_and_no_migration(database: Database) -> None:
    found = {tuple(right.split(".")[0].split()) for right in rights(database, "identity_app")}
    assert {each for each in found if each[1] in NOT_WRITTEN} == {
        ("SELECT", "key_last_uses"),
        ("SELECT", "key_usage"),
        ("DELETE", "key_usage"),
        ("SELECT", "tenant_counters"),
        ("SELECT", "applied_migrations"),
    }
    assert {verb for verb, _ in found} == {"SELECT", "INSERT", "UPDATE", "DELETE"}


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_none_of_the_services_roles_may(database: Database, org: Organisation, statement: str) -> None:
    for role in ROLES:
        with acting_as(database.service_url, role, org.id) as connection:
            assert attempt(connection, statement) == DENIED, role


@pytest.mark.parametrize("statement", ["SELECT FROM {table}", "DELETE FROM {table}", "SELECT count(*) FROM {table}"])
def test_the_login_gains_nothing_by_resetting_its_role(database: Database, org: Organisation, statement: str) -> None:
    with acting_as(database.service_url, "identity_app", org.id) as connection:
        connection.execute("RESET ROLE")
        for table in tables(database):
            assert attempt(connection, of_table(statement, table)) == DENIED, table


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("identity_verifier", "SELECT username FROM identity.users"),
        ("identity_verifier", "SELECT settings FROM identity.tenants"),
        ("identity_verifier", "SELECT * FROM identity.app_keys"),
        ("identity_verifier", "SELECT FROM identity.tenant_counters"),
        ("identity_verifier", "UPDATE identity.app_keys SET revoked_at = NULL"),
        ("identity_verifier", "UPDATE identity.key_last_uses SET key_id = 'another'"),
        ("identity_verifier", "DELETE FROM identity.key_last_uses"),
        ("identity_verifier", "UPDATE identity.app_keys SET credits = NULL"),
        ("identity_verifier", "UPDATE identity.key_limits SET key_id = 'another'"),
        ("identity_verifier", "INSERT INTO identity.key_limits (tenant_id, key_id) VALUES ('a', 'b')"),
        ("identity_verifier", "DELETE FROM identity.key_limits"),
        ("identity_app", "UPDATE identity.key_limits SET key_id = 'another'"),
        ("identity_app", "DELETE FROM identity.key_limits"),
        ("identity_platform", "SELECT username FROM identity.users"),
        ("identity_platform", "SELECT name FROM identity.app_keys"),
        ("identity_platform", "SELECT secret_hash FROM identity.app_keys"),
        ("identity_platform", "UPDATE identity.app_keys SET revoked_at = NULL"),
        ("identity_platform", "SELECT count FROM identity.key_usage"),
        ("identity_platform", "SELECT FROM identity.usage_workers"),
        ("identity_platform", "UPDATE identity.signing_keys SET public_key = '{}'"),
        ("identity_app", "SELECT FROM identity.signing_keys"),
        ("identity_verifier", "SELECT FROM identity.signing_keys"),
        ("identity_verifier", "UPDATE identity.key_usage SET hour = now()"),
        ("identity_verifier", "DELETE FROM identity.key_usage"),
        (
            "identity_app",
            "INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count) SELECT 'a', 'b', now(), 'c', 1",
        ),
        ("identity_app", "UPDATE identity.key_usage SET count = 0"),
        ("identity_app", "SELECT FROM identity.usage_workers"),
        ("identity_platform", "UPDATE identity.tenants SET name = 'Mine'"),
        ("identity_platform", "DELETE FROM identity.tenants"),
        ("identity_app", "UPDATE identity.tenants SET ref = 'AAAAAA'"),
        ("identity_app", "UPDATE identity.app_keys SET secret_hash = sha256('')"),
        ("identity_app", "UPDATE identity.users SET created_at = now()"),
        ("identity_app", "UPDATE identity.users SET tenant_id = 'another'"),
        (
            "identity_app",
            "INSERT INTO identity.key_last_uses (tenant_id, key_id, last_used_at) VALUES ('a', 'b', now())",
        ),
        ("identity_app", "UPDATE identity.tenant_counters SET living = 0"),
        ("identity_app", "UPDATE identity.tenant_changes SET n = 0"),
        ("identity_app", "DELETE FROM identity.tenant_changes"),
        ("identity_app", "SELECT FROM identity.gathered_changes"),
        ("identity_app", "DELETE FROM identity.gathered_changes"),
        ("identity_verifier", "UPDATE identity.tenant_changes SET n = 0"),
        ("identity_verifier", "SELECT FROM identity.gathered_changes"),
    ],
)
def test_a_role_is_held_to_its_columns(database: Database, org: Organisation, role: str, statement: str) -> None:
    with acting_as(database.service_url, role, org.id) as connection:
        assert attempt(connection, statement) == DENIED


def test_a_tenants_counts_stay_until_it_is_purged(database: Database, org: Organisation) -> None:
    use_everything(database, org)
    with psycopg.connect(database.admin_url) as connection:
        for moves, deleted in (("deleted_at = now()", 0), ("purged_at = now()", 1)):
            connection.execute(f"UPDATE identity.tenants SET {moves} WHERE id = %s".encode(), [org.id])
            enter(connection, "identity_app", org.id)
            assert attempt(connection, "DELETE FROM identity.key_usage") == deleted
            connection.execute("RESET ROLE")
        connection.rollback()
