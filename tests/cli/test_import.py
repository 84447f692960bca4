"""A table becomes users or branches: what it says is so, what it does not say stays, and what is wrong is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

from identity.branches import BranchFilter
from identity.cli.importer import BATCH_ROWS, Import, Wanted
from identity.cli.nouns import Branches, Users
from identity.cli.reading import open_source
from identity.cli.tabular import Format, Row
from identity.errors import NotFound, StartError, Unavailable
from identity.stores import open_stores
from identity.tenants import TenantChanges
from identity.users import NewUser, User, UserFilter
from tests import server
from tests.cli.files import SKIP, counts, imported, refused
from tests.conftest import Organisation, settings_for


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


async def user(org: Organisation, name: str) -> User:
    found = await org.stores.users.find(org.id, UserFilter(username=name))
    assert found is not None
    return found


async def of_users(org: Organisation, file: Path, text: str, **more: Any) -> tuple[int, int, int, int]:
    return counts(await imported(org.stores, Users(org.id), written(file, text), **more))


async def of_branches(org: Organisation, file: Path, text: str, **more: Any) -> tuple[int, int, int, int]:
    return counts(await imported(org.stores, Branches(org.id, "shop"), written(file, text), **more))


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


async def test_a_row_without_the_name_that_was_asked_for_is_refused(org: Organisation, file: Path) -> None:
    assert await of_users(org, file, "Mail,Login\n,ben\n", match="email", on_error=SKIP) == (0, 0, 0, 1)
    assert refused(file.with_name("people.refused.csv"))[0][1] == "Mail"


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


async def test_a_dry_run_is_judged_by_the_database_and_nothing_of_it_stays(org: Organisation, file: Path) -> None:
    before = (await org.stores.users.list(org.id)).items
    many = "".join(f"user{n},{n}@example.com\n" for n in range(BATCH_ROWS))
    text = f"username,email\nana,new@example.com\n{many}yan,7@example.com\n"
    assert await of_users(org, file, text, on_error=SKIP, dry_run=True) == (BATCH_ROWS, 1, 0, 1)
    assert (await org.stores.users.list(org.id)).items == before


async def test_a_file_that_breaks_off_leaves_what_came_before(org: Organisation, file: Path) -> None:
    rows = "".join(f"user{n}\n" for n in range(BATCH_ROWS))
    with pytest.raises(StartError, match=f"From line {BATCH_ROWS + 2} on"):
        await of_users(org, file, f'username\n{rows}"zoe\n')
    assert await of_users(org, file, f"username\n{rows}zoe\n") == (1, 0, BATCH_ROWS, 0)


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


async def test_two_imports_of_one_file_at_once_make_each_user_once(org: Organisation, file: Path) -> None:
    written(file, "username,metadata.n\n" + "".join(f"user{n % 400},{n}\n" for n in range(700)))
    one, other = await asyncio.gather(*(imported(org.stores, Users(org.id), file) for _ in range(2)))
    assert one.outcomes["created"] + other.outcomes["created"] == 400
    assert one.refused + other.refused == 0
    assert one.rows == other.rows == 700


LOCK = "BEGIN; LOCK TABLE identity.users"


async def test_it_waits_for_a_database_that_is_busy(org: Organisation, file: Path, database: server.Database) -> None:
    written(file, "username\nben\n")
    async with open_stores(settings_for(database, statement_timeout_s=0.3)) as stores:
        with psycopg.connect(database.admin_url, autocommit=True) as blocker:
            blocker.execute(LOCK)
            asyncio.get_running_loop().call_later(1.0, blocker.execute, "ROLLBACK")
            assert counts(await imported(stores, Users(org.id), file)) == (1, 0, 0, 0)


async def test_it_gives_up_on_a_database_that_stays_away_and_knows_how_far_it_came(
    org: Organisation, file: Path, database: server.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity.cli.importer.PAUSES_S", (0.01, 0.01, 0.01))
    written(file, "username\n" + "".join(f"user{n}\n" for n in range(BATCH_ROWS + 1)))
    with psycopg.connect(database.admin_url, autocommit=True) as blocker, open_source(str(file)) as source:
        done = Import(Users(org.id), replace(source, rows=locking(source.rows, blocker)), Wanted(str(file)))
        async with open_stores(settings_for(database, statement_timeout_s=0.5)) as stores:
            with pytest.raises(Unavailable):
                await done.run(stores)
    assert (done.summary.last_line, done.summary.outcomes["created"]) == (BATCH_ROWS + 1, BATCH_ROWS)
    assert counts(await imported(org.stores, Users(org.id), file)) == (1, 0, BATCH_ROWS, 0)


async def test_a_connection_that_is_lost_within_a_batch_costs_nothing(
    org: Organisation, file: Path, database: server.Database
) -> None:
    written(file, "username,email\n" + "".join(f"user{n},{n}@example.com\n" for n in range(BATCH_ROWS)))
    with psycopg.connect(database.admin_url, autocommit=True) as blocker:
        blocker.execute(LOCK)
        running = asyncio.ensure_future(imported(org.stores, Users(org.id), file))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if blocker.execute(CUT).fetchall():
                break
        blocker.execute("ROLLBACK")
        assert counts(await running) == (BATCH_ROWS, 0, 0, 0)


CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'identity' AND wait_event_type = 'Lock'
"""


def locking(rows: Iterator[Row], blocker: psycopg.Connection[Any]) -> Iterator[Row]:
    """The rows; and when those of the second batch come, nobody else reaches the table."""
    for n, row in enumerate(rows):
        if n == BATCH_ROWS:
            blocker.execute(LOCK)
        yield row


def written(file: Path, text: str) -> Path:
    file.write_text(text, newline="")
    return file
