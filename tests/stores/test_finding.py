"""Everything is found by what people look for, and people in any spelling of their name."""

from __future__ import annotations

from typing import Any

import pytest

from identity.app_keys import AppKeyFilter, NewAppKey
from identity.apps import IDENTITY, AppFilter, NewApp
from identity.branches import BranchFilter, NewBranch
from identity.errors import Conflict
from identity.stores import Stores
from identity.tenants import NewTenant, TenantFilter
from identity.user_apps import UserAppFilter
from identity.users import NewUser, UserChanges, UserFilter
from tests.conftest import Organisation, unique
from tests.stores.places import refused

SPELLINGS = [
    pytest.param("Straße", "STRASSE", id="sharp-s"),
    pytest.param("\ufb01ona", "FIONA", id="ligature"),
    pytest.param("\u212belvin", "\u00e5ELVIN", id="angstrom"),
    pytest.param("\u212aelvin", "kelvin", id="kelvin"),
    pytest.param("\uff21\uff44\uff41", "ada", id="full-width"),
    pytest.param("Jose\u0301", "JOS\u00c9", id="combining"),
    pytest.param("\u03bb\u03cc\u03b3\u03bf\u03c2", "\u039b\u038c\u0393\u039f\u03a3", id="final-sigma"),
]


@pytest.mark.parametrize(("given", "asked"), SPELLINGS)
async def test_a_user_is_found_in_any_spelling_and_shown_as_given(
    anywhere: Stores, org: Organisation, given: str, asked: str
) -> None:
    made = await anywhere.users.create(org.id, NewUser(username=given, email=f"{given}@example.com"))
    assert (made.username, made.email) == (given, f"{given}@example.com")
    assert await anywhere.users.find(org.id, UserFilter(username=asked)) == made
    assert await anywhere.users.find(org.id, UserFilter(email=f"{asked}@EXAMPLE.com")) == made


@pytest.mark.parametrize(("given", "asked"), SPELLINGS)
async def test_a_name_is_taken_in_any_spelling(anywhere: Stores, org: Organisation, given: str, asked: str) -> None:
    await anywhere.users.create(org.id, NewUser(username=given, email=f"{given}@example.com"))
    async with refused(anywhere, Conflict, "username_taken"):
        await anywhere.users.create(org.id, NewUser(username=asked))
    async with refused(anywhere, Conflict, "email_taken"):
        await anywhere.users.update(org.id, "ana", UserChanges(email=f"{asked}@example.com"))


async def test_a_lookalike_of_another_alphabet_is_another(anywhere: Stores, org: Organisation) -> None:
    cyrillic = await anywhere.users.create(org.id, NewUser(username="\u0430na"))
    assert await anywhere.users.find(org.id, UserFilter(username="\u0410NA")) == cyrillic
    found = await anywhere.users.find(org.id, UserFilter(username="ANA"))
    assert found is not None
    assert found.id == "ana"


async def test_a_user_is_found_by_the_new_name_alone(anywhere: Stores, org: Organisation) -> None:
    changed = await anywhere.users.update(org.id, "ana", UserChanges(username="Anna", email=None))
    assert await anywhere.users.find(org.id, UserFilter(username="aNNa")) == changed
    assert await anywhere.users.find(org.id, UserFilter(username="ana")) is None
    assert await anywhere.users.find(org.id, UserFilter(email="ana@example.com")) is None


async def test_any_number_of_users_may_have_no_email(anywhere: Stores, org: Organisation) -> None:
    made = await anywhere.users.create_many(org.id, [NewUser(username=name) for name in ("bo", "cy")])
    assert [user.email for user in made] == [None, None]


async def test_a_tenant_is_found_by_domain_and_by_name(anywhere: Stores) -> None:
    id = unique("found")
    made = await anywhere.tenants.create(NewTenant(id=id, name=f"Name of {id}", domain=f"{id}.example.com"))
    assert await anywhere.tenants.find(TenantFilter(domain=f"{id}.example.com")) == made
    assert await anywhere.tenants.find(TenantFilter(name=f"Name of {id}")) == made
    assert await anywhere.tenants.find(TenantFilter(domain=f"no.{id}.example.com")) is None


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"name": "Desk"}, ["desk"]),
        ({"type": "web"}, ["desk", "shop"]),
        ({"type": "web", "name": "Shop"}, ["shop"]),
        ({"status": "disabled"}, ["desk"]),
        ({"name": "desk"}, []),
        ({}, ["desk", IDENTITY, "shop"]),
    ],
)
async def test_apps_are_found_by_name_type_and_status(
    anywhere: Stores, org: Organisation, where: dict[str, Any], expected: list[str]
) -> None:
    await anywhere.apps.create(org.id, NewApp(id="desk", name="Desk", type="web"))
    await anywhere.apps.disable(org.id, "desk")
    assert [app.id for app in (await anywhere.apps.list(org.id, AppFilter(**where))).items] == expected
    first = await anywhere.apps.find(org.id, AppFilter(**where))
    assert (first.id if first else None) == (expected[0] if expected else None)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"code": "JFK"}, ["jfk"]),
        ({"code": "jfk"}, []),
        ({"type": "store"}, ["lhr", "mad"]),
        ({"type": "store", "name": "Heathrow"}, ["lhr"]),
        ({"status": "disabled"}, ["lhr"]),
    ],
)
async def test_branches_are_found_by_code_type_name_and_status(
    anywhere: Stores, org: Organisation, where: dict[str, Any], expected: list[str]
) -> None:
    await anywhere.branches.create(org.id, "shop", NewBranch(id="jfk", code="JFK", name="Kennedy", type="office"))
    await anywhere.branches.create(org.id, "shop", NewBranch(id="lhr", code="LHR", name="Heathrow", type="store"))
    await anywhere.branches.disable(org.id, "shop", "lhr")
    found = await anywhere.branches.list(org.id, "shop", BranchFilter(**where))
    assert [branch.id for branch in found.items] == expected
    assert await anywhere.branches.find(org.id, "shop", BranchFilter(**where)) == next(iter(found.items), None)


async def test_access_is_found_from_the_app_and_from_the_user(anywhere: Stores, org: Organisation) -> None:
    await anywhere.users.create(org.id, NewUser(id="bo", username="bo"))
    await anywhere.apps.create(org.id, NewApp(id="desk", name="Desk", type="web"))
    for app_id, user_id in (("shop", "bo"), ("desk", "ana")):
        await anywhere.user_apps.grant(org.id, app_id, user_id)
    await anywhere.user_apps.revoke(org.id, "shop", "ana")
    of_app, of_user = anywhere.user_apps.list_of_app, anywhere.user_apps.list_of_user
    assert [access.user_id for access in (await of_app(org.id, "shop")).items] == ["ana", "bo"]
    assert [access.app_id for access in (await of_user(org.id, "ana")).items] == ["desk", "shop"]
    active, revoked = UserAppFilter(status="active"), UserAppFilter(status="revoked")
    assert [access.user_id for access in (await of_app(org.id, "shop", active)).items] == ["bo"]
    assert [access.app_id for access in (await of_user(org.id, "ana", revoked)).items] == ["shop"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"app_id": "shop"}, {"till", "test"}),
        ({"app_id": IDENTITY}, {"admin"}),
        ({"app_id": "shop", "branch_id": "mad"}, {"till"}),
        ({"user_id": "ana"}, {"till"}),
        ({"name": "test"}, {"test"}),
        ({"type": "public"}, {"test"}),
        ({"environment": "test"}, {"test"}),
        ({"app_id": "shop", "environment": "live"}, {"till"}),
        ({}, {"admin", "till", "test"}),
    ],
)
async def test_keys_are_found_by_app_branch_user_name_type_and_environment(
    anywhere: Stores, org: Organisation, where: dict[str, Any], expected: set[str]
) -> None:
    await anywhere.app_keys.issue(org.id, "shop", NewAppKey(name="test", type="public", environment="test"))
    assert {key.name for key in (await anywhere.app_keys.list(org.id, AppKeyFilter(**where))).items} == expected


async def test_a_key_is_found_by_its_id_in_whichever_app(anywhere: Stores, org: Organisation) -> None:
    assert await anywhere.app_keys.find(org.id, org.key.id) == await anywhere.app_keys.get(org.id, "shop", org.key.id)
    assert await anywhere.app_keys.find(org.id, "0" * 22) is None
