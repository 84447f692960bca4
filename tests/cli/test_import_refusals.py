"""What is wrong with a row is told with its line and column, and keeps no other row out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from identity.cli.tables.nouns import Branches, Users
from identity.errors import NotFound, StartError
from identity.tenants import TenantChanges
from identity.users import NewUser
from tests.cli.files import SKIP, counts, imported, of_branches, of_users, refused, user, written
from tests.conftest import Organisation


async def test_a_row_without_the_name_that_was_asked_for_is_refused(org: Organisation, file: Path) -> None:
    assert await of_users(org, file, "Mail,Login\n,ben\n", match="email", on_error=SKIP) == (0, 0, 0, 1)
    assert refused(file.with_name("people.refused.csv"))[0][1] == "Mail"


async def test_it_stops_at_the_first_refused_row_and_what_came_before_iswritten(org: Organisation, file: Path) -> None:
    text = "username,email\nben,\nzoe,no mail\nyan,ana@example.com\nxia,\n"
    summary = counts(await imported(org.stores, Users(org.id), written(file, text)))
    assert summary == (1, 0, 0, 1)
    assert [each.username for each in (await org.stores.users.list(org.id)).items if each.id != "ana"] == ["ben"]
    assert refused(file.with_name("people.refused.csv")) == [("3", "email", "must be an e-mail address")]


async def test_it_stops_at_what_the_database_refuses_too(org: Organisation, file: Path) -> None:
    text = "username,email,status\nben,,\nyan,ANA@example.com,\nxia,,\nwim,,\nana,broken,\nana,,\n"
    summary = await imported(org.stores, Users(org.id), written(file, text))
    assert counts(summary) == (1, 0, 0, 1)
    assert summary.first_refusal is not None
    assert (summary.first_refusal.row.line, summary.first_refusal.field) == (3, "email")
    assert [each.username for each in (await org.stores.users.list(org.id)).items if each.id != "ana"] == ["ben"]


async def test_refused_rows_are_left_out_told_mended_and_imported_as_they_are(org: Organisation, file: Path) -> None:
    rows = [f"user{n};user{n}@example.com;=x" for n in range(60)]
    rows[7], rows[20], rows[41], rows[59] = 'user7;no mail;"a\nb"', "user20;ana@example.com;'=x", "USER3;;-", ";;;;"
    rows[58] = "user58;user58@example.com;x;more"
    text = "Login;E-Mail;Dept\r\n" + "\r\n".join(rows)
    wanted: dict[str, Any] = {"maps": ("Dept=metadata.dept",), "on_error": SKIP}
    assert await of_users(org, file, text, **wanted) == (55, 1, 0, 3)
    mended = file.with_name("people.refused.csv")
    assert refused(mended, ";") == [
        ("9", "E-Mail", "must be an e-mail address"),
        ("23", "E-Mail", "Email taken (email_taken)"),
        ("61", "", "has 1 more cells than there are columns"),
    ]
    mended.write_text(
        mended.read_text().replace("no mail", "").replace("ana@example.com", "").replace(";more", ""), newline=""
    )
    assert counts(await imported(org.stores, Users(org.id), mended, **wanted)) == (3, 0, 0, 0)
    assert (await user(org, "user7")).metadata == {"dept": "a\nb"}
    assert (await user(org, "user20")).metadata == {"dept": "=x"}
    assert (await user(org, "user1")).metadata == {"dept": "=x"}


async def test_many_refused_rows_do_not_keep_the_others_out(org: Organisation, file: Path) -> None:
    await org.stores.users.create_many(
        org.id, [NewUser(username=f"old{n}", email=f"{n}@example.com") for n in range(0, 600, 7)]
    )
    text = "username,email\n" + "".join(f"user{n},{n}@example.com\n" for n in range(600))
    assert await of_users(org, file, text, on_error=SKIP) == (514, 0, 0, 86)
    lines = [int(line) for line, _, _ in refused(file.with_name("people.refused.csv"))]
    assert lines == [n + 2 for n in range(0, 600, 7)]


async def test_a_quota_refuses_what_is_beyond_it(org: Organisation, file: Path) -> None:
    await org.stores.tenants.update(org.id, TenantChanges(settings={"max_users": 3}))
    text = "username\n" + "".join(f"user{n}\n" for n in range(5))
    assert await of_users(org, file, text, on_error=SKIP) == (2, 0, 0, 3)
    assert refused(file.with_name("people.refused.csv"))[0] == ("4", "", "Users max reached (users_max_reached)")


async def test_refused_rows_of_json_lines_stay_json_lines(org: Organisation, file: Path) -> None:
    source = file.with_suffix(".jsonl")
    row = {"username": "ben", "email": 7, "metadata": {"a": [None]}, "x": None}
    source.write_text(json.dumps(row) + "\n" + json.dumps({"username": "zoe"}) + "\n")
    assert counts(await imported(org.stores, Users(org.id), source, on_error=SKIP)) == (1, 0, 0, 1)
    told = json.loads(file.with_name("people.refused.jsonl").read_text())
    assert told.items() >= row.items()
    assert (told["refused_line"], told["refused_field"]) == (1, "email")


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("Lat", "north", "should be a valid number"),
        ("Lat", "nan", "should be a valid number"),
        ("Lat", "91", "less than or equal to 90"),
        ("settings", "{'a': 1}", "is not JSON"),
        ("settings", '{"a": 1}', "not permitted"),
        ("Timezone", "Mars", "IANA"),
        ("Type", "shop", "should be 'headquarters'"),
        ("status", "gone", "must be active, disabled"),
        ("metadata", "[1]", "should be an object"),
        ("id", "MAD", "should match pattern"),
    ],
)
async def test_what_is_wrong_with_a_branch_names_its_column(
    org: Organisation, file: Path, column: str, value: str, told: str
) -> None:
    cell = '"{}"'.format(value.replace('"', '""'))
    other = "" if column == "Type" else ",store"
    text = f"code,name,{column}{',type' if other else ''}\nJFK,New York,{cell}{other}\n"
    assert await of_branches(org, file, text, on_error=SKIP) == (0, 0, 0, 1)
    [(_, field, reason)] = refused(file.with_name("people.refused.csv"))
    assert field == column
    assert told in reason


async def test_all_that_is_wrong_with_a_row_is_told_at_once(org: Organisation, file: Path) -> None:
    assert await of_branches(org, file, "code,name,type\n,,x\n", maps=("name=",), on_error=SKIP) == (0, 0, 0, 1)
    [(_, field, reason)] = refused(file.with_name("people.refused.csv"))
    assert field == "code, name, type"
    assert reason.startswith("code: must be given; name: must be given; type: ")


@pytest.mark.parametrize(
    ("maps", "told"),
    [
        (("Nobody=email",), "has no column Nobody"),
        (("Mail=e-mail",), "names no field"),
        (("Mail",), "names no field"),
        (("Mail=metadata.",), "names no field"),
        (("Mail=address.city",), "names no field"),
    ],
)
async def test_a_mapping_that_cannot_be_is_a_usage_error(
    org: Organisation, file: Path, maps: tuple[str, ...], told: str
) -> None:
    with pytest.raises(typer.BadParameter, match=told):
        await of_users(org, file, "Login,Mail\nben,\n", maps=maps)


@pytest.mark.parametrize(
    ("header", "told"),
    [("Mail,Dept", "No column of people.csv names a user"), ("Login,Mail,E-Mail", "would both be email")],
)
async def test_a_header_that_does_not_do_is_told(org: Organisation, file: Path, header: str, told: str) -> None:
    with pytest.raises(StartError, match=told):
        await of_users(org, file, f"{header}\nx,,\n")


async def test_there_must_be_such_a_tenant_and_app(org: Organisation, file: Path) -> None:
    written(file, "code\nx\n")
    with pytest.raises(NotFound):
        await imported(org.stores, Users("nobody"), file, maps=("code=username",))
    with pytest.raises(NotFound):
        await imported(org.stores, Branches(org.id, "nothing"), file)
