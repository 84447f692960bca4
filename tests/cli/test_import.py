"""A table becomes users or branches: what it says is so, and what it does not say stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from identity.branches import BranchFilter
from identity.cli.tables.nouns import Users
from identity.cli.tables.tabular import Format
from identity.users import NewUser
from tests.cli.files import SKIP, imported, of_branches, of_users, refused, user
from tests.conftest import Organisation


async def test_a_spreadsheet_becomes_users(org: Organisation, file: Path) -> None:
    text = 'Login;E-Mail;Display Name;Dept;Notes\r\nben;ben@example.com; Ben Okafor ;Sales;"one\r\ntwo"\r\nzoe;;;;\r\n'
    maps = ("Dept=metadata.department", "Notes=metadata.notes")
    assert await of_users(org, file, text, maps=maps) == (2, 0, 0, 0)
    ben, zoe = await user(org, "ben"), await user(org, "zoe")
    assert (ben.email, ben.full_name) == ("ben@example.com", "Ben Okafor")
    assert ben.metadata == {"department": "Sales", "notes": "one\r\ntwo"}
    assert (zoe.email, zoe.full_name, zoe.metadata) == (None, None, {})
    assert await of_users(org, file, text, maps=maps) == (0, 0, 2, 0)


async def test_what_the_file_has_no_column_for_stays(org: Organisation, file: Path) -> None:
    before = await org.stores.users.create(
        org.id, NewUser(username="ben", email="ben@example.com", metadata={"a": {"b": 1}})
    )
    assert await of_users(org, file, "username,full_name\nBEN,Ben Okafor\n") == (0, 1, 0, 0)
    after = await org.stores.users.get(org.id, before.id)
    assert after.model_dump(exclude={"updated_at"}) == before.model_dump(exclude={"updated_at"}) | {
        "username": "BEN",
        "full_name": "Ben Okafor",
    }


async def test_an_empty_cell_empties_what_may_be_empty(org: Organisation, file: Path) -> None:
    await org.stores.users.create(org.id, NewUser(id="b", username="ben", email="b@example.com", metadata={"a": 1}))
    assert await of_users(org, file, "id,email,metadata\nb,,\n") == (0, 1, 0, 0)
    ben = await user(org, "ben")
    assert (ben.email, ben.metadata) == (None, {})
    assert await of_users(org, file, "id,username\nb,\n", on_error=SKIP) == (0, 0, 0, 1)
    assert refused(file.with_name("people.refused.csv")) == [("2", "username", "must be given")]


async def test_what_is_unchanged_is_notwritten(org: Organisation, file: Path) -> None:
    before = await user(org, "ana")
    text = "id,username,email,status,metadata\nana,ana,ana@example.com,active,{}\n"
    assert await of_users(org, file, text) == (0, 0, 1, 0)
    assert await user(org, "ana") == before


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (None, "id,username\nb,benjamin\n"),
        (None, "id,username\n,BEN\n"),
        ("id", "username,id\nbenjamin,b\n"),
        ("username", "id,username,full_name\nelse,ben,Ben\n"),
        ("email", "email,username\nBEN@example.com,benjamin\n"),
    ],
)
async def test_a_row_names_its_record_as_it_is_told(
    org: Organisation, file: Path, match: str | None, text: str
) -> None:
    await org.stores.users.create(org.id, NewUser(id="b", username="ben", email="ben@example.com"))
    assert await of_users(org, file, text, match=match) == (0, 1, 0, 0)
    assert len((await org.stores.users.list(org.id)).items) == 2
    changed = await org.stores.users.get(org.id, "b")
    assert (changed.username, changed.full_name) != ("ben", None)


async def test_metadata_becomes_what_the_file_says(org: Organisation, file: Path) -> None:
    old = {"gone": 1, "kept": {"x": 1, "y": [1]}, "flag": True}
    await org.stores.users.create(org.id, NewUser(id="b", username="ben", metadata=old))
    wanted: tuple[dict[str, Any], ...] = (
        {"kept": {"x": 2}, "flag": 1},
        {"kept": {"x": None, "z": {}}},
        {"kept": {"x": None, "z": {}}},
        {},
    )
    for new in wanted:
        line = {"id": "b", "metadata": new}
        file.with_suffix(".jsonl").write_text(json.dumps(line) + "\n")
        await imported(org.stores, Users(org.id), file.with_suffix(".jsonl"))
        assert json.dumps((await user(org, "ben")).metadata, sort_keys=True) == json.dumps(new, sort_keys=True)


async def test_one_member_of_metadata_leaves_the_others(org: Organisation, file: Path) -> None:
    await org.stores.users.create(org.id, NewUser(id="b", username="ben", metadata={"a": 1, "b": 2}))
    assert await of_users(org, file, "id,metadata.b,metadata.c\nb,,x\n") == (0, 1, 0, 0)
    assert (await user(org, "ben")).metadata == {"a": 1, "c": "x"}


@pytest.mark.parametrize("present", ["active", "suspended", "locked"])
@pytest.mark.parametrize("wanted", ["active", "suspended", "locked", ""])
async def test_a_status_moves_by_the_verbs(org: Organisation, file: Path, present: str, wanted: str) -> None:
    ben = await org.stores.users.create(org.id, NewUser(username="ben"))
    if present != "active":
        verb = org.stores.users.suspend if present == "suspended" else org.stores.users.lock
        ben = await verb(org.id, ben.id)
    text = f"username,status\nben,{wanted.title()}\nzoe,{wanted}\n"
    moves = wanted not in ("", present)
    assert await of_users(org, file, text) == (1, moves, not moves, 0)
    assert (await user(org, "ben")).status == (wanted or present)
    assert (await user(org, "zoe")).status == (wanted or "active")


async def test_a_later_row_of_the_same_record_changes_what_the_earlier_made(org: Organisation, file: Path) -> None:
    text = "id,username,full_name\nx,ben,One\n,BEN,Two\nx,benjamin,Three\n,zoe,One\n,Zoe,Two\n"
    assert await of_users(org, file, text) == (2, 3, 0, 0)
    ben = await org.stores.users.get(org.id, "x")
    assert (ben.username, ben.full_name) == ("benjamin", "Three")
    assert (await user(org, "zoe")).full_name == "Two"


async def test_two_names_of_one_record_are_two_changes_of_it(org: Organisation, file: Path) -> None:
    lines = [{"id": "ana", "full_name": "One"}, {"username": "ANA", "email": "two@example.com"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    assert await of_users(org, file, text, format=Format.JSONL) == (0, 2, 0, 0)
    ana = await user(org, "ana")
    assert (ana.full_name, ana.email) == ("One", "two@example.com")


async def test_branches_come_with_address_contact_and_settings(org: Organisation, file: Path) -> None:
    text = (
        "Code,Name,Type,City,Country,Lat,Lon,E-Mail,Phone,Timezone,Status,Region\n"
        "MAD,Madrid,store,Madrid,ES,40.4,-3.7,mad@example.com,'+34 600,Europe/Madrid,disabled,\n"
        "JFK,New York,store,New York,US,,,,,,,\n"
    )
    assert await of_branches(org, file, text) == (1, 1, 0, 0)
    mad = await org.stores.branches.get(org.id, "shop", "mad")
    assert mad.address.model_dump(exclude_none=True) == {
        "city": "Madrid",
        "country": "ES",
        "latitude": 40.4,
        "longitude": -3.7,
    }
    assert mad.contact.model_dump(exclude_none=True) == {"email": "mad@example.com", "phone": "+34 600"}
    assert (mad.settings.timezone, mad.status) == ("Europe/Madrid", "disabled")
    assert await of_branches(org, file, text) == (0, 0, 2, 0)
    assert await of_branches(org, file, "code,city,status\nMAD,,active\n") == (0, 1, 0, 0)
    found = await org.stores.branches.find(org.id, "shop", BranchFilter(code="MAD"))
    assert found is not None
    assert found.address.model_dump(exclude_none=True) == {"country": "ES", "latitude": 40.4, "longitude": -3.7}
