"""What is exported imports to the same records: into its own tenant without a change, into another as it was."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from identity.apps import NewApp
from identity.branches import BranchFilter, NewBranch
from identity.cli.tables.exporting import dialect_of, of_keys
from identity.cli.tables.importer import BATCH_ROWS
from identity.cli.tables.nouns import Branches, Noun, Users
from identity.errors import NotFound
from identity.fields import canonical
from identity.stores import Stores, create_tenant
from identity.tenants import NewTenant
from identity.users import NewUser
from tests.cli.files import counts, exported, imported
from tests.conftest import Organisation, unique

ROUND_TRIP = settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
both_formats = pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])


ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
WORD = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
TEXT = st.lists(WORD, min_size=1, max_size=3).map(" ".join)
TRICKY = st.sampled_from(["=1+1", "'=x", "''-x", "+34 600", "-", "@x", "'", "a,b;c", 'say "x"', "null", "true", "1.0"])
NAME = TEXT | TRICKY
EMAIL = st.from_regex(r"[a-z0-9=+'-]{1,8}@[a-zäöü]{1,8}\.[a-z]{2}", fullmatch=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(ANY, max_size=20)
    | TRICKY
    | st.just("one\r\ntwo"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(ANY, max_size=8), inner, max_size=3),
    max_leaves=8,
)
METADATA = st.dictionaries(st.text(ANY, max_size=8) | TRICKY, JSON, max_size=4)
PLACE = st.none() | NAME
USERS = st.lists(
    st.builds(
        NewUser,
        id=st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True),
        username=NAME,
        email=st.none() | EMAIL,
        full_name=st.none() | NAME,
        metadata=METADATA,
    ),
    max_size=6,
    unique_by=(
        lambda new: new.id or object(),
        lambda new: canonical(new.username),
        lambda new: canonical(new.email) if new.email else object(),
    ),
)
HOURS = st.dictionaries(st.sampled_from(["mon", "sun"]), st.just([["09:00", "13:00"], ["14:00", "24:00"]]))
BRANCHES = st.lists(
    st.fixed_dictionaries(
        {"code": NAME, "name": NAME, "type": st.sampled_from(["store", "office"]), "metadata": METADATA},
        optional={
            "address": st.fixed_dictionaries(
                {},
                optional={
                    "street": PLACE,
                    "city": PLACE,
                    "state": PLACE,
                    "postal_code": PLACE,
                    "country": PLACE,
                    "latitude": st.none() | st.floats(-90, 90),
                    "longitude": st.none() | st.floats(-180, 180),
                },
            ),
            "contact": st.fixed_dictionaries({}, optional={"name": PLACE, "email": st.none() | EMAIL, "phone": PLACE}),
            "settings": st.fixed_dictionaries(
                {},
                optional={
                    "timezone": st.just("Europe/Madrid"),
                    "currency": st.none() | st.just("EUR"),
                    "business_hours": HOURS,
                    "features": st.dictionaries(NAME, st.booleans(), max_size=2),
                },
            ),
        },
    ),
    max_size=5,
    unique_by=lambda new: new["code"],
)


async def empty(stores: Stores) -> str:
    tenant, _ = await create_tenant(stores, NewTenant(id=unique(), name="Empty"))
    await stores.apps.create(tenant.id, NewApp(id="shop", name="Shop", type="web"))
    return tenant.id


async def records(stores: Stores, noun: Noun) -> list[Any]:
    return (await noun.list(stores, None, 500)).items


def but_for_time(record: Any) -> str:
    kept = record.model_dump(mode="json", exclude={"tenant_id", "created_at", "updated_at"})
    return json.dumps(kept, sort_keys=True)


async def goes_round(stores: Stores, noun: Noun, other: Noun, file: Path) -> None:
    before = await records(stores, noun)
    assert await exported(stores, noun, file) == len(before)
    if not before and file.suffix == ".jsonl":
        return
    same = await imported(stores, noun, file)
    assert counts(same) == (0, 0, len(before), 0), same.first_refusal
    assert await records(stores, noun) == before
    assert counts(await imported(stores, other, file)) == (len(before), 0, 0, 0)
    after = await records(stores, other)
    assert [but_for_time(each) for each in after] == [but_for_time(each) for each in before]
    assert counts(await imported(stores, other, file)) == (0, 0, len(before), 0)


@both_formats
@ROUND_TRIP
@given(news=USERS, fates=st.lists(st.sampled_from(["suspend", "lock", None]), min_size=6, max_size=6))
async def test_exported_users_import_to_the_same(
    stores: Stores, tmp_path: Path, suffix: str, news: list[NewUser], fates: list[str | None]
) -> None:
    one, other = Users(await empty(stores)), Users(await empty(stores))
    for user, fate in zip(await stores.users.create_many(one.tenant_id, news), fates, strict=False):
        if fate:
            await getattr(stores.users, fate)(one.tenant_id, user.id)
    await goes_round(stores, one, other, tmp_path / f"users{suffix}")


@both_formats
@ROUND_TRIP
@given(news=BRANCHES, disabled=st.booleans())
async def test_exported_branches_import_to_the_same(
    stores: Stores, tmp_path: Path, suffix: str, news: list[dict[str, Any]], disabled: bool
) -> None:
    one, other = Branches(await empty(stores), "shop"), Branches(await empty(stores), "shop")
    made = await stores.branches.create_many(one.tenant_id, "shop", [NewBranch.model_validate(new) for new in news])
    for branch in made[:1] if disabled else []:
        await stores.branches.disable(one.tenant_id, "shop", branch.id)
    await goes_round(stores, one, other, tmp_path / f"branches{suffix}")


@both_formats
async def test_more_than_a_page_comes_once_each(stores: Stores, tmp_path: Path, suffix: str) -> None:
    one, other = Users(await empty(stores)), Users(await empty(stores))
    await stores.users.create_many(one.tenant_id, [NewUser(username=f"user{n}") for n in range(BATCH_ROWS * 2 + 1)])
    assert await exported(stores, one, tmp_path / f"users{suffix}") == BATCH_ROWS * 2 + 1
    assert counts(await imported(stores, other, tmp_path / f"users{suffix}")) == (BATCH_ROWS * 2 + 1, 0, 0, 0)


async def test_no_cell_of_an_export_is_a_formula(org: Organisation, tmp_path: Path) -> None:
    news = [NewUser(username=name, full_name=name) for name in ("=1+1", "+1", "-1", "@x", "'=x")]
    await org.stores.users.create_many(org.id, news)
    await exported(org.stores, Users(org.id), tmp_path / "users.csv")
    with (tmp_path / "users.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    assert {row["username"] for row in rows} == {"ana", "'=1+1", "'+1", "'-1", "'@x", "''=x"}


async def test_keys_go_out_without_anything_secret(org: Organisation, tmp_path: Path) -> None:
    file = tmp_path / "keys.csv"
    assert await of_keys(org.id, None).write(org.stores, str(file), dialect_of(str(file), None)) == 2
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["id"] for row in rows} == {org.key.id, org.admin_key.id}
    till = next(row for row in rows if row["id"] == org.key.id)
    assert (till["app_id"], till["branch_id"], till["user_id"], till["scopes"]) == ("shop", "mad", "ana", "orders:*")
    secret = org.key.key.rpartition("_")[2]
    assert secret not in file.read_text()
    assert await of_keys(org.id, "shop").write(org.stores, str(file), dialect_of(str(file), None)) == 1


async def test_there_must_be_such_a_tenant_and_app(org: Organisation, tmp_path: Path) -> None:
    file = tmp_path / "none.csv"
    for noun in (Users("nobody"), Branches(org.id, "nothing")):
        with pytest.raises(NotFound):
            await exported(org.stores, noun, file)
    with pytest.raises(NotFound):
        await of_keys(org.id, "nothing").write(org.stores, str(file), dialect_of(str(file), None))
    assert not file.exists()


async def test_a_branch_of_another_app_is_not_met(org: Organisation, tmp_path: Path) -> None:
    await org.stores.apps.create(org.id, NewApp(id="desk", name="Desk", type="web"))
    await exported(org.stores, Branches(org.id, "shop"), tmp_path / "branches.csv")
    await imported(org.stores, Branches(org.id, "desk"), tmp_path / "branches.csv")
    for app_id in ("shop", "desk"):
        found = await org.stores.branches.find(org.id, app_id, BranchFilter(code="MAD"))
        assert found is not None
        assert found.id == "mad"
