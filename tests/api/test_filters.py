"""Lists over HTTP: what is found, in which order, how many; and where what is asked for is wrong."""

from __future__ import annotations

import pytest

from tests.api.problems import places, problem, told
from tests.conftest import Api, Organisation

WRONG = {
    "": "from column 1",
    "username": "from column",
    'username eq "ana" and': "from column",
    'username eq "ana" or nonsense eq 1': "column 22 an attribute that is not known",
    'status eq "x" or status eq "active" or id eq 7': "column 1 an attribute that is one of",
    'id eq "status" or status eq 1': "column 19 an attribute that is one of",
    "created_at gt 5": "column 1 an attribute that is an instant",
    'created_at gt "2026-01-01"': "column 1 an attribute that is an instant",
    'created_at gt "2026-01-01T00:00:00"': "column 1 an attribute that is an instant",
    'created_at gt "9999-12-31T23:59:59Z"': "column 1 an attribute that is an instant",
    'created_at co "2026-01-01T00:00:00Z"': "column 1 an attribute that cannot be asked by `co`",
    "username gt null": "column 1 an attribute that cannot be null by `gt`",
    "username eq 5": "column 1 an attribute that is text",
    'username eq "\\u0000"': "column 1 an attribute that has a character",
    'metadata.a eq "\\ud800"': "column 1 an attribute that has a character",
    "metadata eq 5": "column 1 an attribute that is asked for a member",
    "metadata.a gt true": "column 1 an attribute that cannot be asked by `gt`",
    "metadata.a co 5": "column 1 an attribute that cannot be asked by `co`",
    "metadata.a.b eq 5": "column 11 more than one member",
    "metadata.a[b eq 5]": "brackets after a member",
    "metadata[a.b eq 5]": "column 10 an attribute that has no such member",
    "username[a eq 5]": "column 1 an attribute that has no members",
    "username.a eq 5": "column 1 an attribute that has no such member",
    "metadata.a eq 1e999": "a number out of range",
    "urn:ietf:params:scim:schemas:core:2.0:User:userName pr": "column 1 an attribute that is not known",
    "password_hash pr": "column 1 an attribute that is not known",
    "not (" * 40 + "id pr" + ")" * 40: "nests too deeply",
    " or ".join(["id pr"] * 300): "at most 2000",
    "metadata.a'b eq 1": "from column 11",
    'metadata."a" eq 1': "column 9 more than one member",
}


@pytest.mark.parametrize("filter", WRONG)
async def test_what_is_wrong_with_a_filter_is_told_with_its_place(filter: str, target: Organisation) -> None:
    answer = await target.admin.get(f"{target.path}/users", params={"filter": filter})
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["filter"])
    assert WRONG[filter] in problem(answer)["errors"][0]["detail"]


ASKED = {
    "/users": 'USERNAME sw "AN" and not (metadata.desk eq 7)',
    "/apps": 'name eq "Shop" or type eq "web" and metadata[a eq 1 or b pr]',
    "/apps/shop/branches": 'address.city sw "Mad" or contact[email ew "example.com"] or address.Latitude gt 40',
    "/apps/shop/users": 'scopes co "read" or scopes eq "*" or scopes eq null or scopes pr or user_id eq "ana"',
    "/users/ana/apps": 'app_id sw "s" and revoked_at eq null',
    "/keys": 'name co "e" and (expires_at eq null or last_used_at gt "2026-01-01T00:00:00Z") and not (scopes eq "x")',
    "/apps/shop/keys": 'metadata.till gt 5 or metadata.till co "7" or not (metadata pr)',
    "/invitations": 'email sw "A" or app_ids eq "shop" and accepted_at eq null',
    "/users/ana/sessions": 'user_agent ew "x" or address pr',
    "/users/ana/factors": "confirmed_at pr",
}


@pytest.mark.parametrize("path", ASKED)
async def test_every_list_is_asked_and_sorted_and_counted(path: str, target: Organisation) -> None:
    params = {"filter": ASKED[path], "sort": "-created_at", "count": "true"}
    answer = await target.admin.get(target.path + path, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == len(answer.json()["items"])
    assert "count" not in (await target.admin.get(target.path + path)).json()


async def test_tenants_are_asked_too(target: Organisation, platform: Api) -> None:
    query = {"filter": f'id eq "{target.id}" and domain eq null', "count": "true", "sort": "name"}
    for caller in (platform, target.admin):
        found = (await caller.get("/v1/tenants", params=query)).json()
        assert ([each["id"] for each in found["items"]], found["count"]) == ([target.id], 1)
    other = await target.admin.get("/v1/tenants", params={"filter": 'id ne "x"', "count": "true"})
    assert other.json()["count"] == 1


@pytest.mark.parametrize("sort", ["", "-", "metadata", "metadata.a", "--id", "+id", "password_hash", "Id", "id "])
async def test_a_list_has_no_other_order(sort: str, target: Organisation) -> None:
    answer = await target.admin.get(f"{target.path}/users", params={"sort": sort})
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["sort"])


async def test_what_takes_too_long_is_refused(target: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that asks nothing of the kind keeps the time that every statement has."""
    monkeypatch.setattr("identity.db.store.TIMEOUT", "SET LOCAL statement_timeout = '1ms'; SELECT pg_sleep(0.1);")
    for query in ({"filter": "id pr"}, {"sort": "name"}, {"count": "true"}):
        answer = await target.admin.get(f"{target.path}/apps", params=query)
        assert told(answer) == (400, "filter_too_expensive")
    assert (await target.admin.get(f"{target.path}/apps")).status_code == 200
