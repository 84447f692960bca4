"""The text of a key, what its type means, and which scopes it may carry."""

from __future__ import annotations

from typing import Any

import pytest

from identity import key_text
from identity.app_keys import AppKey, AppKeyChanges, IssuedKey, NewAppKey
from identity.apps import IDENTITY, AppChanges
from identity.errors import Invalid, NotFound
from identity.stores import Stores
from tests import server
from tests.conftest import Organisation
from tests.stores.places import refused


def new(**given: Any) -> NewAppKey:
    return NewAppKey.model_validate({"name": "key"} | given)


async def test_the_text_parses_and_the_hash_of_its_secret_is_what_is_stored(
    stores: Stores, org: Organisation, database: server.Database
) -> None:
    issued = await stores.app_keys.issue(org.id, "shop", new())
    text = key_text.parse(issued.key)
    assert text is not None
    assert (text.prefix, text.environment, text.id) == (issued.prefix, issued.environment, issued.id)
    tenant = await stores.tenants.get(org.id)
    assert issued.id.startswith(tenant.ref)
    stored = server.execute(
        database.admin_url, "SELECT secret_hash, k::text FROM identity.app_keys AS k WHERE id = %s", issued.id
    )
    assert stored[0][0] == text.secret_hash
    assert issued.key.split("_")[3][:43] not in stored[0][1]


async def test_no_two_keys_share_an_id_or_a_secret(stores: Stores, org: Organisation) -> None:
    issued = await stores.app_keys.issue_many(org.id, "shop", [new() for _ in range(20)])
    assert len({key.id for key in issued}) == 20
    assert len({key.key.split("_")[3] for key in issued}) == 20


async def test_each_of_many_has_the_text_of_its_own_row(stores: Stores, org: Organisation) -> None:
    issued = await stores.app_keys.issue_many(org.id, "shop", [new(name=f"key {n}") for n in range(20)])
    assert [key.name for key in issued] == [f"key {n}" for n in range(20)]
    assert [parsed.id for key in issued if (parsed := key_text.parse(key.key))] == [key.id for key in issued]


def test_neither_the_hash_nor_the_text_is_a_field_of_a_row() -> None:
    assert not {"secret_hash", "key"} & AppKey.model_fields.keys()
    assert IssuedKey.model_fields.keys() - AppKey.model_fields.keys() == {"key"}


async def test_a_key_is_secret_and_live_unless_asked(stores: Stores, org: Organisation) -> None:
    issued = await stores.app_keys.issue(org.id, "shop", new())
    assert (issued.type, issued.environment, issued.prefix, issued.scopes) == ("secret", "live", "isk", ())


@pytest.mark.parametrize(
    ("type", "prefix"), [("secret", "isk"), ("public", "ipk"), ("restricted", "irk"), ("service", "isv")]
)
async def test_the_prefix_tells_the_type_or_the_app(stores: Stores, org: Organisation, type: str, prefix: str) -> None:
    given = new(type=type, scopes=["orders:read"], environment="test")
    assert (await stores.app_keys.issue(org.id, "shop", given)).key.startswith(f"{prefix}_test_")
    await stores.apps.update(org.id, "shop", AppChanges(settings={"key_prefix": "acme"}))
    assert (await stores.app_keys.issue(org.id, "shop", given)).key.startswith("acme_test_")


@pytest.mark.parametrize(
    ("app", "given", "code"),
    [
        (IDENTITY, {"type": "public", "scopes": ["users:read"]}, "public_key_too_broad"),
        ("shop", {"type": "public", "scopes": ["*"]}, "public_key_too_broad"),
        ("shop", {"type": "restricted"}, "restricted_key_too_broad"),
        ("shop", {"type": "restricted", "scopes": ["orders:read", "*"]}, "restricted_key_too_broad"),
        ("shop", {"type": "service", "user_id": "ana"}, "service_key_has_owner"),
        ("shop", {"metadata": {"x": "y" * 4096}}, "metadata_too_large"),
        (IDENTITY, {"scopes": ["users:read", "orders:read"]}, "not_a_management_scope"),
        (IDENTITY, {"scopes": ["users:*"]}, "not_a_management_scope"),
        (IDENTITY, {"scopes": ["keys:verify/No"]}, "not_a_management_scope"),
    ],
)
async def test_a_key_that_breaks_a_rule_is_refused(
    anywhere: Stores, org: Organisation, app: str, given: dict[str, Any], code: str
) -> None:
    good = new(scopes=["users:read"])
    async with refused(anywhere, Invalid, code, 1):
        await anywhere.app_keys.issue_many(org.id, app, [good, new(**given), good])


@pytest.mark.parametrize("given", [{"branch_id": "nothing"}, {"user_id": "nobody"}])
async def test_a_key_of_nothing_is_refused(anywhere: Stores, org: Organisation, given: dict[str, str]) -> None:
    [field] = given
    async with refused(anywhere, NotFound, field.replace("_id", "_not_found"), 0):
        await anywhere.app_keys.issue(org.id, "shop", new(**given))


async def test_a_key_of_no_app_is_refused(anywhere: Stores, org: Organisation) -> None:
    async with refused(anywhere, NotFound, "app_not_found"):
        await anywhere.app_keys.issue(org.id, "nothing", new())


@pytest.mark.parametrize(
    "scope",
    ["*", "tenants:read", "apps:write", "audit:read", "keys:verify", "keys:verify/shop", "scim:write"],
)
async def test_keys_of_this_service_carry_management_scopes(stores: Stores, org: Organisation, scope: str) -> None:
    assert (await stores.app_keys.issue(org.id, IDENTITY, new(scopes=[scope]))).scopes == (scope,)


async def test_a_change_is_held_to_the_rules_too(anywhere: Stores, org: Organisation) -> None:
    public = await anywhere.app_keys.issue(org.id, "shop", new(type="public"))
    async with refused(anywhere, Invalid, "public_key_too_broad"):
        await anywhere.app_keys.update(org.id, "shop", public.id, AppKeyChanges(scopes=("*",)))
    async with refused(anywhere, Invalid, "not_a_management_scope"):
        await anywhere.app_keys.update(org.id, IDENTITY, org.admin_key.id, AppKeyChanges(scopes=("orders:read",)))


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("orders:read", True),
        ("orders:lines:read", True),
        ("orders:*", True),
        ("orders:lines:*", True),
        ("stock:read", True),
        ("stock:*", False),
        ("stock:write", False),
        ("stock:read:all", False),
        ("orders", False),
        ("ordersx:read", False),
        ("*", False),
    ],
)
async def test_a_scope_is_allowed_where_the_app_allows_all_of_it(
    anywhere: Stores, org: Organisation, scope: str, allowed: bool
) -> None:
    await anywhere.apps.update(org.id, "shop", AppChanges(settings={"allowed_scopes": ["orders:*", "stock:read"]}))
    keys, changes = anywhere.app_keys, AppKeyChanges(scopes=(scope,))
    if allowed:
        assert (await keys.issue(org.id, "shop", new(scopes=[scope]))).scopes == (scope,)
        assert (await keys.update(org.id, "shop", org.key.id, changes)).scopes == (scope,)
        return
    async with refused(anywhere, Invalid, "scope_not_allowed"):
        await keys.issue(org.id, "shop", new(scopes=["orders:read", scope]))
    async with refused(anywhere, Invalid, "scope_not_allowed"):
        await keys.update(org.id, "shop", org.key.id, changes)


async def test_allowing_less_later_leaves_a_key_its_scopes_and_its_other_changes(
    anywhere: Stores, org: Organisation
) -> None:
    await anywhere.apps.update(org.id, "shop", AppChanges(settings={"allowed_scopes": ["stock:read"]}))
    renamed = await anywhere.app_keys.update(org.id, "shop", org.key.id, AppKeyChanges(name="renamed"))
    assert (renamed.name, renamed.scopes) == ("renamed", org.key.scopes)
