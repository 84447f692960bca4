"""schema/ and migrations/ tell the same story, and each migration can be taken back over rows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from identity import migrate
from identity.embedded import Place
from identity.embedded.process import binary
from tests.operation.catalog import catalog, read
from tests.operation.rows import fill, rows
from tests.server import Database, execute, new_database

SCHEMA = migrate.directory("schema") / "schema.sql"
MIGRATIONS = sorted(migrate.directory("migrations").glob("*.sql"))


def run_as_schema_sql_says(url: str) -> None:
    psql = binary(Place(SCHEMA.parent, SCHEMA.parent, None), "psql")
    command = [psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(SCHEMA), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_schema_and_migrations_make_the_same_database() -> None:
    with new_database(empty=True) as one, new_database(empty=True) as other:
        run_as_schema_sql_says(one.admin_url)
        migrate.apply(other.admin_url)
        assert catalog(one.admin_url) == catalog(other.admin_url)


def test_schema_sql_reads_every_file() -> None:
    read_in = {line.split()[1] for line in SCHEMA.read_text().splitlines() if line.startswith(r"\ir ")}
    assert read_in == {path.name for path in SCHEMA.parent.glob("*.sql")} - {SCHEMA.name}


def test_every_migration_can_be_taken_back() -> None:
    names = {path.name for path in MIGRATIONS}
    assert {f"{id}.rollback.sql" for id in migrate.ids()} == {name for name in names if name.endswith(".rollback.sql")}


def test_every_migration_goes_up_down_and_up_again_over_rows(tmp_path: Path) -> None:
    with new_database(empty=True) as database:
        url = database.admin_url
        for id in migrate.ids():
            for path in migrate.directory("migrations").glob(f"{id}.*"):
                shutil.copy(path, tmp_path)
            before = rows(url)
            migrate.apply(url, source=tmp_path)
            fill(url)
            made = catalog(url)
            assert migrate.rollback(url, source=tmp_path) == [id]
            assert rows(url) == before, id
            assert migrate.apply(url, source=tmp_path) == [id]
            assert catalog(url) == made, id
            fill(url)
        empty = [table for table, found in rows(url).items() if not found]
        assert empty == ["gathered_changes"], "add a row to tests/operation/rows.py"


def test_a_quota_counts_what_was_there_before_it(tmp_path: Path) -> None:
    with new_database(empty=True) as database:
        url = database.admin_url
        migrate.apply(url)
        migrate.rollback(url, len(migrate.ids()) - migrate.ids().index("0009_tenant_counters"))
        fill(url)
        migrate.apply(url)
        counted = execute(url, "SELECT noun, living FROM identity.tenant_counters ORDER BY noun")
        assert counted == [("apps", 1), ("users", 1)]


CHANGES = (
    "ALTER TABLE identity.users NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE identity.users DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE identity.users ALTER status DROP DEFAULT",
    "ALTER TABLE identity.users ALTER username DROP NOT NULL",
    'ALTER TABLE identity.apps ALTER name TYPE text COLLATE "C"',
    "ALTER TABLE identity.users RENAME CONSTRAINT full_name_invalid TO name_invalid",
    "ALTER TABLE identity.users OWNER TO CURRENT_USER",
    "ALTER POLICY verifier ON identity.users USING (false)",
    "ALTER POLICY verifier ON identity.users TO identity_app",
    "ALTER TABLE identity.users DISABLE TRIGGER touch",
    "ALTER TABLE identity.users ENABLE ALWAYS TRIGGER touch",
    "ALTER FUNCTION identity.count_living SECURITY INVOKER",
    "ALTER FUNCTION identity.count_living RESET search_path",
    "GRANT EXECUTE ON FUNCTION identity.count_living TO PUBLIC",
    "GRANT SELECT (username) ON identity.users TO identity_verifier",
    "GRANT INSERT ON identity.users TO identity_platform",
    "GRANT CREATE ON SCHEMA identity TO identity_app",
    "ALTER SEQUENCE identity.tenant_refs CYCLE",
    "COMMENT ON COLUMN identity.users.id IS 'another'",
    "COMMENT ON TABLE identity.users IS 'another'",
    "DROP INDEX identity.username_taken",
)


@pytest.mark.parametrize("change", CHANGES)
def test_the_comparison_sees(database: Database, change: str) -> None:
    with psycopg.connect(database.admin_url) as connection:
        before = read(connection)
        connection.execute(change.encode())
        assert read(connection) != before
        connection.rollback()
