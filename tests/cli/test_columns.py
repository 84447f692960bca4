"""A file's columns are found by what people call them, and what is not known is said rather than guessed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from identity.cli.tables.columns import mapped
from identity.cli.tables.nouns import Branches, Users
from identity.cli.tables.tabular import Format

USERS = {
    "username": ["username", "User Name", "LOGIN", "sAMAccountName", "user_name", "Account-Name"],
    "email": ["E-Mail", "Mail", "email", "E-mail address", "EMAIL_ADDRESS"],
    "full_name": ["Display name", "Full Name", "Name", "full_name"],
    "status": ["Status"],
    "metadata": ["metadata"],
    "metadata.Cost center": ["metadata.Cost center"],
    "id": ["ID", "User ID"],
}
BRANCHES = {
    "code": ["Code", "Store code"],
    "name": ["Name", "Branch name"],
    "type": ["Type"],
    "address.street": ["Address", "Street", "address.street"],
    "address.city": ["City", "Town", "Address City"],
    "address.postal_code": ["ZIP", "Postal Code", "Postcode"],
    "address.country": ["Country"],
    "address.latitude": ["Lat", "Latitude"],
    "contact.email": ["E-Mail", "contact.email", "Contact E-Mail"],
    "contact.phone": ["Phone", "Telephone"],
    "contact.name": ["Contact", "Manager"],
    "settings.timezone": ["Timezone", "Time zone"],
}


def each(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(column, target) for target, columns in table.items() for column in columns]


@pytest.mark.parametrize(("column", "target"), each(USERS))
def test_a_column_of_users_is_found_by_its_name(column: str, target: str) -> None:
    found = mapped(Users.shape, Format.CSV, ["key", column], ["key=id"] if target != "id" else [], "a.csv")
    assert found.found[column].path == tuple(target.split(".", 1))


@pytest.mark.parametrize(("column", "target"), each(BRANCHES))
def test_a_column_of_branches_is_found_by_its_name(column: str, target: str) -> None:
    found = mapped(Branches.shape, Format.CSV, ["key", column], ["key=id"], "a.csv")
    assert found.found[column].path == tuple(target.split(".", 1))


@pytest.mark.parametrize("column", ["Dept", "Notes", "City", "password", "names", "tenant"])
def test_what_is_not_known_is_not_guessed(column: str) -> None:
    found = mapped(Users.shape, Format.CSV, ["username", column], [], "a.csv").found[column]
    assert (found.path, found.fate) == (None, "unknown, left out")


@pytest.mark.parametrize("column", ["created_at", "Updated At", "tenant_id", "deleted_at", "refused_reason"])
def test_what_is_ours_to_keep_is_passed_over(column: str) -> None:
    found = mapped(Users.shape, Format.CSV, ["username", column], [], "a.csv").found[column]
    assert (found.path, found.fate) == (None, "passed over")


def test_what_is_told_comes_before_what_is_guessed() -> None:
    maps = ["Mail=metadata.mail", "Login=", "Name=username", "a=b=email"]
    found = mapped(Users.shape, Format.CSV, ["Mail", "Login", "Name", "a=b"], maps, "a.csv").found
    assert [each.path for each in found.values()] == [("metadata", "mail"), None, ("username",), ("email",)]


def test_in_json_lines_documents_stand_as_they_are() -> None:
    columns = ["code", "address", "contact", "settings", "metadata"]
    found = mapped(Branches.shape, Format.JSONL, columns, [], "a.jsonl").found
    assert [each.path for each in found.values()] == [(column,) for column in columns]


def test_a_columns_name_means_nothing_to_a_terminal() -> None:
    out = io.StringIO()
    columns = ["Login", "Dept [/unit]", "[red]note", "\033[31mred"]
    mapped(Users.shape, Format.CSV, columns, [], "a.csv").show(Console(file=out, width=80, force_terminal=True))
    for shown in ("Dept [/unit]", "[red]note", "\\u001b[31mred"):
        assert shown in out.getvalue()


def test_the_mapping_is_shown() -> None:
    out = io.StringIO()
    found = mapped(Users.shape, Format.CSV, ["Login", "Dept", "created_at"], [], "a.csv")
    found.show(Console(file=out, width=80))
    shown = [line.split() for line in out.getvalue().splitlines()]
    assert ["│", "Login", "│", "username", "│", "by", "its", "name", "│"] in shown
    assert ["│", "Dept", "│", "-", "│", "unknown,", "left", "out", "│"] in shown
    assert ["│", "created_at", "│", "-", "│", "passed", "over", "│"] in shown
