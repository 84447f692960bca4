"""`identity migrate` as scripts use it: exit codes, and one sentence where it cannot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from identity import migrate
from identity.cli.start import new_secret_key
from tests.operation.command import identity, is_one_sentence
from tests.running import free_port
from tests.server import Database, execute, new_database

LAST = migrate.ids()[-1]
FORGET = "DELETE FROM identity.applied_migrations WHERE id = %s"


@pytest.fixture
def own() -> Iterator[Database]:
    with new_database() as found:
        yield found


def test_rollback_asks_first(own: Database) -> None:
    asked = identity("migrate", "rollback", typed="n\n", migrate_database_url=own.admin_url)
    assert asked.returncode == 1
    assert LAST in asked.stdout
    assert migrate.status(own.admin_url).pending == []


def test_rollback_status_and_apply_tell_scripts_how_it_stands(own: Database) -> None:
    def ran(*arguments: str) -> int:
        return identity("migrate", *arguments, migrate_database_url=own.admin_url).returncode

    assert ran("status") == 0
    assert ran("rollback", "--yes") == 0
    assert migrate.status(own.admin_url).pending == [LAST]
    assert ran("status") == 3
    assert ran("apply") == 0
    assert ran("status") == 0


def test_plan_shows_each_statement_with_its_lock_and_does_nothing() -> None:
    with new_database(empty=True) as empty:
        planned = identity("migrate", "plan", migrate_database_url=empty.admin_url)
        assert planned.returncode == 0
        assert execute(empty.admin_url, "SELECT FROM pg_namespace WHERE nspname = 'identity'") == []
    lines = [line.strip() for line in planned.stdout.splitlines()]
    steps = [migrate.files.step_of(migration) for migration in migrate.read()]
    at = -1
    for step in steps:
        at = lines.index(step.id + ("" if step.transactional else "  (outside a transaction)"), at + 1)
        for statement in step.statements:
            at = lines.index(statement.strip().splitlines()[0].strip(), at + 1)
            assert lines[at - 1].startswith("-- lock: "), lines[at]
    assert sum(line.startswith("-- lock: ") for line in lines) == sum(len(step.statements) for step in steps)


def test_serve_refuses_a_database_that_is_behind(own: Database) -> None:
    execute(own.admin_url, FORGET, LAST)
    refused = identity("serve", "--port", str(free_port()), database_url=own.service_url, secret_key=new_secret_key())
    assert refused.returncode == 3
    assert is_one_sentence(refused.stderr)
    assert LAST in refused.stderr


def test_a_login_that_may_not_migrate_is_told_so(own: Database) -> None:
    refused = identity("migrate", "apply", migrate_database_url=own.service_url)
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr), refused.stderr


def test_what_stands_in_the_way_is_one_sentence() -> None:
    with new_database(empty=True) as found:
        migrate.make_roles(found.admin_url)
        execute(found.admin_url, "CREATE TABLE identity.tenants ()")
        refused = identity("migrate", "apply", migrate_database_url=found.admin_url)
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr), refused.stderr
    assert "0002_tenants" in refused.stderr


def test_without_a_login_that_may_migrate_it_names_the_variable(own: Database) -> None:
    refused = identity("migrate", "apply", database_url=own.service_url)
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr)
    assert "IDENTITY_MIGRATE_DATABASE_URL is missing" in refused.stderr
