"""Fields that are missing, of another type, too long, out of bounds or unknown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from identity.api.routes import Route
from tests.api.json_schema import Schema, accepts, resolve
from tests.api.problems import places, told
from tests.api.samples import WITH_BODY, bodies, each, one, send
from tests.api.test_openapi import DOCUMENT
from tests.conftest import Api, Organisation

pytestmark = pytest.mark.usefixtures("unchanged")

CANDIDATES: list[Any] = [
    None,
    True,
    -1,
    7,
    1.5,
    2**63 - 1,
    "",
    "no such word",
    "x" * 2500,
    [],
    [None],
    [[]],
    {},
    {"x": []},
]


def schema_of(route: Route) -> Schema:
    return resolve(DOCUMENT, {"$ref": f"#/components/schemas/{route.takes.__name__}"}) if route.takes else {}


def wrong_values(schema: Schema) -> Iterator[tuple[Any, str]]:
    """What the schema forbids, each with the place below it that is at fault; of an object each member too."""
    yield from ((value, "") for value in CANDIDATES if not accepts(DOCUMENT, schema, value))
    for member, below in resolve(DOCUMENT, schema).get("properties", {}).items():
        yield from (({member: value}, f"/{member}{place}") for value, place in wrong_values(below))


FIELDS = [(route, name) for route in WITH_BODY for name in schema_of(route)["properties"]]


@pytest.mark.parametrize(("route", "field"), FIELDS, ids=lambda each: each if isinstance(each, str) else each.name)
async def test_a_field_is_as_the_document_says(route: Route, field: str, target: Organisation, platform: Api) -> None:
    wrong = list(wrong_values(schema_of(route)["properties"][field]))
    assert len(wrong) > 5
    for value, below in wrong:
        answer = await send(platform, route, target, json={**bodies(target)[route.name], field: value})
        assert told(answer) == (400, "invalid_request"), value
        assert all(place.startswith(f"/{field}{below}") for place in places(answer)), (value, places(answer))


@each([route for route in WITH_BODY if schema_of(route).get("required")])
async def test_a_field_that_is_needed_is_named(route: Route, target: Organisation, platform: Api) -> None:
    sample = bodies(target)[route.name]
    for name in set(schema_of(route)["required"]) & sample.keys():
        answer = await send(platform, route, target, json={each: sample[each] for each in sample if each != name})
        assert (told(answer), places(answer)) == ((400, "invalid_request"), [f"/{name}"])


UNKNOWN = ["status", "tenant_id", "created_at", "deleted_at", "secret_hash", "Name", "a~b/c", ""]


@pytest.mark.parametrize("name", UNKNOWN)
async def test_a_field_that_is_not_known_is_refused(name: str, target: Organisation, platform: Api) -> None:
    for route in [route for route in WITH_BODY if name not in schema_of(route)["properties"]]:
        answer = await send(platform, route, target, json={**bodies(target)[route.name], name: "x"})
        assert told(answer) == (400, "invalid_request"), route.name
        assert places(answer) == ["/" + name.replace("~", "~0").replace("/", "~1")]


LONG = {"a": "x" * 65536}
DEEP: dict[str, Any] = {"a": [[[[[[[[1]]]]]]]]}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("put_tenant", {"domain": "acme"}, "/domain"),
    ("put_tenant", {"domain": "Acme.example.com"}, "/domain"),
    ("put_tenant", {"db_dsn": "postgresql://app:hunter2@db.example.com/app"}, "/db_dsn"),
    ("put_tenant", {"db_dsn": "host=db.example.com password=hunter2"}, "/db_dsn"),
    ("put_tenant", {"db_schema": "Public"}, "/db_schema"),
    ("put_tenant", {"settings": {"timezone": "Europe/Atlantis"}}, "/settings/timezone"),
    ("put_tenant", {"settings": {"timezone": "../../etc/passwd"}}, "/settings/timezone"),
    ("put_tenant", {"settings": {"max_user": 3}}, "/settings/max_user"),
    ("put_tenant", {"settings": {"lockout": {"window": 3}}}, "/settings/lockout/window"),
    ("update_tenant", {"settings": {"password_policy": {"min_length": "15"}}}, "/settings/password_policy/min_length"),
    ("update_tenant", {"settings": {"max_user": None}}, "/settings/max_user"),
    ("update_tenant", {"settings": {"lockout": {"window": None}}}, "/settings/lockout/window"),
    ("put_app", {"name": " Shop"}, "/name"),
    ("put_app", {"name": "Sh\u200bop"}, "/name"),
    ("put_app", {"name": "Sh\nop"}, "/name"),
    ("put_app", {"settings": {"key_prefix": "SK"}}, "/settings/key_prefix"),
    ("put_app", {"settings": {"allowed_scopes": ["orders:*", "two words"]}}, "/settings/allowed_scopes/1"),
    ("put_app", {"metadata": LONG}, "/metadata"),
    ("put_app", {"metadata": DEEP}, "/metadata"),
    ("update_app", {"metadata": LONG}, "/metadata"),
    ("update_app", {"metadata": DEEP}, "/metadata"),
    ("put_branch", {"code": "\tMAD"}, "/code"),
    ("put_branch", {"address": {"latitude": 90.5}}, "/address/latitude"),
    ("put_branch", {"contact": {"email": "mad"}}, "/contact/email"),
    ("put_branch", {"settings": {"business_hours": {"mon": [["9", "17:00"]]}}}, "/settings/business_hours/mon/0/0"),
    ("put_branch", {"settings": {"business_hours": {"today": []}}}, "/settings/business_hours/today"),
    ("create_user", {"username": "a\u202eb"}, "/username"),
    ("create_user", {"email": "bob@"}, "/email"),
    ("create_user", {"email": "bob @example.com"}, "/email"),
    ("issue_key", {"expires_at": "2099-01-01"}, "/expires_at"),
    ("issue_key", {"expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
    ("issue_key", {"expires_at": "1999-12-31T00:00:00Z"}, "/expires_at"),
    ("issue_key", {"expires_at": "9999-12-31T23:59:59-23:00"}, "/expires_at"),
    ("issue_key", {"scopes": ["x"] * 101}, "/scopes"),
    ("issue_key", {"scopes": ["x" * 129]}, "/scopes/0"),
    ("issue_key", {"metadata": {"a": "x" * 4096}}, "/metadata"),
    ("update_key", {"metadata": {"a": "x" * 4096}}, "/metadata"),
    ("issue_key", {"branch_id": "nowhere"}, "/branch_id"),
    ("issue_key", {"user_id": "nobody"}, "/user_id"),
    ("rotate_key", {"grace_s": 366 * 86400 + 1}, "/grace_s"),
]


@pytest.mark.parametrize(("name", "change", "pointer"), BAD, ids=lambda each: str(each)[:60])
async def test_what_a_schema_cannot_say_is_refused_too(
    name: str, change: dict[str, Any], pointer: str, target: Organisation, platform: Api
) -> None:
    answer = await send(platform, one(name), target, json={**bodies(target)[name], **change})
    assert answer.status_code == 400, answer.text
    assert [place for place in places(answer) if place.startswith(pointer)] == places(answer) != []
    assert "hunter2" not in answer.text


async def test_all_that_is_wrong_is_told_at_once(target: Organisation, platform: Api) -> None:
    body = {"name": "", "type": "kiosk", "color": "red"}
    answer = await send(platform, one("create_app"), target, json=body)
    assert sorted(places(answer)) == ["/color", "/id", "/name", "/type"]
