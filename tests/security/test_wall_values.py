"""What a caller gives stays a value, wherever it is put into a statement."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from identity.db import PoolSession, Scope, checkout, in_scope
from identity.errors import IdentityError
from identity.stores import Stores
from identity.users import NewUser, UserChanges, UserFilter
from tests.conftest import Organisation

SMUGGLED = [
    "'; RESET ROLE; DELETE FROM identity.users; --",
    "\\'; RESET ROLE; DELETE FROM identity.users; --",
    "\\\\'; SET ROLE identity_owner; --",
    "'); SET ROLE identity_verifier; SELECT * FROM identity.app_keys; --",
    "$$; RESET ROLE; $$",
    "$x$; SET SESSION AUTHORIZATION postgres; $x$",
    "' || (SELECT string_agg(secret_hash::text, '') FROM identity.app_keys) || '",
    "' OR '1' = '1",
    "\\",
    "'",
    "E'\\047; RESET ROLE; --",
    "U&'\\0027'; RESET ROLE; --",
    "\u02bc; RESET ROLE; --",
    "\uff07; RESET ROLE; --",
    "%(tenant_id)s %s %% {role}",
    "/* '; RESET ROLE; -- */",
    "COMMIT; SET ROLE identity_owner",
]
ECHO = "SELECT %(value)s::text AS value, current_user::text AS role, identity.current_tenant() AS tenant"
TEXT = st.text(alphabet="'\"\\$;%-(){}E &u0027\n\x1f\u02bc\uff07\u0301é😀", max_size=40)
"""PostgreSQL holds no NUL, and UTF-8 no lone surrogate."""


@pytest.mark.parametrize("value", SMUGGLED)
async def test_a_statement_smuggled_into_a_record_is_stored_as_it_was_given(org: Organisation, value: str) -> None:
    users = org.stores.users
    new = NewUser(
        id="bob", username=value, email=f"{value.replace(' ', '')}@b", full_name=value, metadata={value: value}
    )
    given = await users.create(org.id, new)
    assert (given.username, given.full_name, given.metadata) == (value, value, {value: value})
    assert await users.find(org.id, UserFilter(username=value)) == given
    changed = await users.update(org.id, "bob", UserChanges(full_name=value + value))
    assert changed.full_name == value + value
    assert [user.id for user in (await users.list(org.id)).items] == ["ana", "bob"]


@pytest.mark.parametrize("value", SMUGGLED)
async def test_a_statement_smuggled_into_a_filter_is_compared_as_it_was_given(org: Organisation, value: str) -> None:
    users, quoted = org.stores.users, json.dumps(value)
    new = NewUser(id="bob", username=value, full_name=value, metadata={"a": value, "b": [value]})
    await users.create(org.id, new)
    for op in ("eq", "co", "sw", "ew", "ge"):
        for name in ("full_name", "metadata.a", "metadata.b", "username"):
            where = UserFilter(filter=f"{name} {op} {quoted} and id ne {quoted}", sort="username", count=True)
            found = await users.list(org.id, where)
            assert "bob" in [user.id for user in found.items], (name, op)
    assert (await users.list(org.id, UserFilter(sort="full_name"), after=json.dumps([value, value]))).next is None
    for asked in (value, f"metadata.{value} pr", f"{value} eq 1", f"id eq {value}"):
        with pytest.raises(ValueError, match="filter"):
            UserFilter(filter=asked)


@pytest.mark.parametrize("value", SMUGGLED)
async def test_a_statement_smuggled_into_a_key_of_a_row_finds_nothing(org: Organisation, value: str) -> None:
    stores = org.stores
    assert await stores.users.get_many(org.id, [value]) == []
    assert await stores.app_keys.find(org.id, value) is None
    assert not await stores.user_apps.has_access(org.id, value, value)
    assert (await stores.users.list(org.id, after=value, limit=5)).next is None
    assert not await stores.branches.exists(org.id, "shop", value)


@pytest.mark.parametrize("value", SMUGGLED)
async def test_a_statement_smuggled_into_the_tenant_opens_no_scope(org: Organisation, value: str) -> None:
    assert (await org.stores.users.list(value)).items == []
    assert (await org.stores.tenants.list_own(value)).items == []
    with pytest.raises(IdentityError):
        await org.stores.users.create(value, NewUser(username="bob"))
    assert [user.id for user in (await org.stores.users.list(org.id)).items] == ["ana"]


@pytest.mark.parametrize("value", SMUGGLED)
async def test_a_statement_smuggled_into_who_acts_is_told_as_it_was_given(org: Organisation, value: str) -> None:
    stores = org.stores.acting_as(Scope(value, value, value))
    statement = "SELECT current_setting('identity.actor') AS actor, current_setting('identity.address') AS address"
    [told] = await stores.session.run(in_scope(statement), {"tenant_id": org.id}, dict_row)
    assert told == {"actor": value, "address": value}
    assert (await stores.users.get(org.id, "ana")).id == "ana"


@settings(max_examples=100, deadline=None, database=None)
@given(value=TEXT, tenant=TEXT)
async def test_any_text_comes_back_as_it_went_in(stores: Stores, value: str, tenant: str) -> None:
    [told] = await stores.session.run(in_scope(ECHO), {"tenant_id": tenant, "value": value}, dict_row)
    assert told == {"value": value, "role": "identity_app", "tenant": tenant or None}


async def test_a_statement_leaves_neither_role_nor_tenant_on_its_connection(org: Organisation) -> None:
    session = org.stores.session
    assert isinstance(session, PoolSession)
    await org.stores.users.get(org.id, "ana")
    async with org.stores.transaction() as tx:
        await tx.users.get(org.id, "ana")
    async with checkout(session.pool) as connection:
        cursor = await connection.execute(
            "SELECT current_user = session_user, current_setting('identity.tenant_id', true)"
        )
        assert await cursor.fetchone() in [(True, ""), (True, None)]
