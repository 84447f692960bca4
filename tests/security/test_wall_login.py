"""The service does not start by a login for which row-level security would be no wall."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from identity.cli.start import new_secret_key
from identity.db import settings_of
from identity.errors import StartError
from identity.migrate import make_login, new_password
from identity.settings import Settings
from identity.stores import open_stores
from identity.verify import open_verifier
from tests.conftest import settings_for, unique
from tests.server import Database, execute, new_database

OWN_ROLE = "GRANT {role} TO {login}"
"""NOINHERIT as it is made: a plain grant is one to SET ROLE, on every PostgreSQL."""
INHERITED = "ALTER ROLE {login} INHERIT; REVOKE {role} FROM {login}; GRANT {role} TO {login}"


@contextmanager
def login(database: Database, *statements: str, **names: str) -> Iterator[str]:
    """The URL of a login as the service's is made, and then changed."""
    name = unique("login").replace("-", "_")
    password = new_password()
    make_login(database.admin_url, name, password)
    try:
        for statement in statements:
            change(database, statement, login=name, **names)
        yield make_conninfo(database.admin_url, user=name, password=password)
    finally:
        execute(database.admin_url, sql.SQL("REASSIGN OWNED BY {} TO identity_owner").format(sql.Identifier(name)))
        execute(database.admin_url, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def change(database: Database, statement: str, **names: str) -> None:
    identifiers = {key: sql.Identifier(name).as_string() for key, name in names.items()}
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(statement.format(**identifiers).encode())


async def start(url: str, *, single_login: bool = False) -> None:
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(url),
        secret_key=SecretStr(new_secret_key()),
        single_login=single_login,
    )
    async with open_stores(settings):
        pass


async def refusal(url: str, *, single_login: bool = False) -> str:
    with pytest.raises(StartError) as refused:
        await start(url, single_login=single_login)
    sentence = str(refused.value)
    assert "password" not in sentence
    assert "identity init" in sentence, "it says what to do"
    return sentence


async def test_the_login_that_init_makes_is_accepted(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with login(database) as url:
        await start(url)
    assert "SET ROLE" not in caplog.text


@pytest.mark.parametrize("single_login", [False, True])
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER ROLE {login} SUPERUSER", "is a superuser"),
        ("ALTER ROLE {login} BYPASSRLS", "has BYPASSRLS"),
    ],
)
async def test_a_login_that_no_policy_holds_is_refused(
    database: Database, statement: str, said: str, single_login: bool
) -> None:
    with login(database, statement) as url:
        assert said in await refusal(url, single_login=single_login)


@pytest.mark.parametrize("single_login", [False, True])
async def test_the_owner_of_the_schema_is_refused(single_login: bool) -> None:
    with new_database() as database, login(database, "ALTER SCHEMA identity OWNER TO {login}") as url:
        assert "owns the schema" in await refusal(url, single_login=single_login)


@pytest.mark.parametrize("single_login", [False, True])
@pytest.mark.parametrize(
    "role",
    ["identity_verifier", "identity_platform", "identity_owner", "identity_reader", "pg_read_all_data"],
)
async def test_a_login_that_inherits_another_roles_policies_is_refused(
    database: Database, role: str, single_login: bool
) -> None:
    with login(database, INHERITED, role=role) as url:
        sentence = await refusal(url, single_login=single_login)
    assert "inherits" in sentence
    assert role in sentence


@pytest.mark.parametrize("role", ["identity_owner", "identity_reader"])
async def test_a_login_that_may_become_owner_or_reader_is_refused_unless_it_is_the_only_one(
    database: Database, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    with login(database, OWN_ROLE, role=role) as url:
        assert role in await refusal(url)
        with caplog.at_level(logging.WARNING, "identity"):
            await start(url, single_login=True)
    assert "may SET ROLE to" in caplog.text
    assert role in caplog.text


async def test_a_login_that_may_become_the_owner_by_way_of_another_role_is_refused(database: Database) -> None:
    between = unique("between").replace("-", "_")
    change(database, "CREATE ROLE {role} NOINHERIT; GRANT identity_owner TO {role}", role=between)
    try:
        with login(database, OWN_ROLE, role=between) as url:
            assert "SET ROLE to identity_owner" in await refusal(url)
    finally:
        change(database, "DROP ROLE {role}", role=between)


@pytest.mark.parametrize("power", ["SUPERUSER", "BYPASSRLS"])
async def test_a_login_that_may_become_somebody_whom_no_policy_holds_is_refused(database: Database, power: str) -> None:
    mighty = unique("mighty").replace("-", "_")
    change(database, f"CREATE ROLE {{role}} {power}", role=mighty)
    try:
        with login(database, OWN_ROLE, role=mighty) as url:
            assert mighty in await refusal(url)
    finally:
        change(database, "DROP ROLE {role}", role=mighty)


async def test_who_acts_is_looked_at_as_well_as_who_logged_in(database: Database) -> None:
    with login(database, OWN_ROLE, role="identity_owner") as url:
        assert "owns the schema" in await refusal(settings_of(url, role="identity_owner"), single_login=True)
    with login(database, "ALTER ROLE {login} SUPERUSER") as url:
        assert "is a superuser" in await refusal(settings_of(url, role="identity_app"), single_login=True)


async def test_the_refusal_never_quotes_the_password(database: Database) -> None:
    with login(database, "ALTER ROLE {login} SUPERUSER") as url:
        password = str(psycopg.conninfo.conninfo_to_dict(url)["password"])
        assert password not in await refusal(url)


async def test_the_login_of_the_lanes_is_looked_at_too(database: Database) -> None:
    settings = settings_for(database).model_copy(update={"lanes_database_url": SecretStr(database.admin_url)})
    with pytest.raises(StartError, match="would not hold it"):
        async with open_verifier(settings):
            pass
