"""The OpenAPI document: sound in itself, complete, true to what is answered, and without a secret in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from identity.api import ROUTES, openapi
from identity.api.routes import ANY_KEY, PUBLIC, Route
from tests.api.json_schema import Schema, accepts, resolve
from tests.api.samples import GUARDED, WITH_BODY, bodies, each, path_of, send
from tests.conftest import Api, Organisation

DOCUMENT: Schema = json.loads(openapi.as_json(ROUTES, "http://identity.example.com"))
OPERATIONS = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
HIDDEN = re.compile(r"secret_hash|password_hash|_canonical$|^secret$|^hash$|^password$")


def operation_of(route: Route) -> Any:
    return DOCUMENT["paths"][route.path][route.method.lower()]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(member)


def schemas_under(schema: Schema) -> Iterator[Schema]:
    """The schema and all that it refers to. (But for any JSON, none of ours is recursive.)"""
    for node in nodes(resolve(DOCUMENT, schema)):
        yield node
        if "$ref" in node and not node["$ref"].endswith("/JsonValue"):
            yield from schemas_under(node)


def answers_of(route: Route) -> list[Schema]:
    answers = operation_of(route)["responses"].values()
    return [media["schema"] for answer in answers for media in answer.get("content", {}).values()]


def properties_of(schema: Schema) -> set[str]:
    return {name for node in schemas_under(schema) for name in node.get("properties", {})}


def parameters_of(route: Route) -> list[Schema]:
    return [resolve(DOCUMENT, parameter) for parameter in operation_of(route)["parameters"]]


async def test_the_document_is_served_to_everybody(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_it_says_what_it_is() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    assert DOCUMENT["servers"] == [{"url": "http://identity.example.com"}]
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {name for need in DOCUMENT["security"] for name in need} <= schemes.keys()


def test_every_reference_leads_somewhere() -> None:
    references = [node["$ref"] for node in nodes(DOCUMENT) if isinstance(node.get("$ref"), str)]
    assert references
    for reference in references:
        assert reference.startswith("#/components/")
        assert isinstance(resolve(DOCUMENT, {"$ref": reference}), dict)


def test_bounds_are_told_in_words_of_json_schema() -> None:
    assert not [node for node in nodes(DOCUMENT) if node.keys() & {"ge", "gt", "le", "lt"}]


def test_every_route_is_in_it_and_nothing_else() -> None:
    found = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert found == {(route.method, route.path) for route in ROUTES}


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert set(names) == {route.name for route in ROUTES}
    assert all(re.fullmatch(r"\w+", name) for name in names)


@each(ROUTES)
def test_parameters_are_declared(route: Route) -> None:
    parameters = parameters_of(route)
    in_path = [each["name"] for each in parameters if each["in"] == "path" and each["required"]]
    in_query = [each["name"] for each in parameters if each["in"] == "query"]
    assert in_path == re.findall(r"{(\w+)}", route.path)
    fields = route.where.model_fields if route.where else {}
    known = {field.alias or name for name, field in fields.items()} | ({"limit", "cursor"} if route.is_list else set())
    assert set(in_query) == known
    assert all("schema" in each for each in parameters)
    assert {each["in"] for each in parameters} <= {"path", "query", "header"}


@each(ROUTES)
def test_an_operation_says_what_it_does_and_needs(route: Route) -> None:
    operation = operation_of(route)
    assert re.fullmatch(r"[A-Z].{5,60}[a-z]", operation["summary"])
    assert len({operation["summary"] for operation in OPERATIONS}) == len(OPERATIONS)
    assert ("Public" in operation["description"]) == (route.scope == PUBLIC)
    assert f"`{route.scope}`" in operation["description"] or route.scope in (PUBLIC, ANY_KEY)
    assert operation["x-scope"] == route.scope


@each(ROUTES)
def test_what_is_taken_answered_and_needed_is_declared(route: Route) -> None:
    operation = operation_of(route)
    assert ("requestBody" in operation) == (route.takes is not None)
    assert str(route.status) in operation["responses"]
    assert all(answer["description"] for answer in operation["responses"].values())
    needed = [] if route.scope in (PUBLIC, ANY_KEY) else [route.scope]
    assert operation["security"] == ([] if route.scope == PUBLIC else [{"key": needed}])


@each(WITH_BODY)
def test_bodies_are_closed_all_the_way_down(route: Route) -> None:
    media = next(iter(operation_of(route)["requestBody"]["content"].values()))
    objects = [schema for schema in schemas_under(media["schema"]) if isinstance(schema.get("properties"), dict)]
    assert objects
    assert all(schema["additionalProperties"] is False for schema in objects)


@each(WITH_BODY)
async def test_the_samples_are_what_it_asks_for(route: Route, target: Organisation) -> None:
    for media in operation_of(route)["requestBody"]["content"].values():
        assert accepts(DOCUMENT, media["schema"], bodies(target)[route.name])


TOLD = {"etag", "location", "retry-after", "www-authenticate", "x-request-id", "idempotent-replayed"}
"""The headers that mean something here."""


def judge(route: Route, answer: httpx2.Response) -> None:
    """The answer is one of those that the document tells of: its status, its headers, its shape, its code."""
    told = operation_of(route)["responses"][str(answer.status_code)]
    assert TOLD & answer.headers.keys() <= {name.lower() for name in told["headers"]}
    for name, header in told["headers"].items():
        header, value = resolve(DOCUMENT, header), answer.headers.get(name)
        assert value is not None or not header["required"], name
        assert value is None or accepts(DOCUMENT, header["schema"], value), name
    if "content" not in told:
        assert not answer.content
        return
    media = answer.headers["Content-Type"].partition(";")[0]
    value = answer.json() if media.endswith("json") else answer.text
    assert accepts(DOCUMENT, told["content"][media]["schema"], value), answer.text


@each(ROUTES)
async def test_answers_are_as_it_says(route: Route, org: Organisation, platform: Api) -> None:
    judge(route, await send(platform, route, org))
    judge(route, await send(Api(org.client, None), route, org))


@each(GUARDED)
async def test_answers_to_a_key_that_may_do_nothing_are_as_it_says(route: Route, org: Organisation) -> None:
    judge(route, await send(Api(org.client, org.key.key), route, org))


@each([route for route in ROUTES if route.method == "PUT" and not route.action])
async def test_answers_to_a_put_that_creates_are_as_it_says(route: Route, org: Organisation, platform: Api) -> None:
    await platform.post(f"{org.path}/users", {"id": "new", "username": "new"})
    await platform.delete(f"{org.path}/users/ana")
    ids = {"grant_access": {"user_id": "new"}, "put_user": {"user_id": "newer"}}
    new = ids.get(route.name, {route.params[-1]: f"{org.id}-new"})
    bodies_of_new = {
        "put_app": {"name": "New", "type": "web"},
        "put_branch": {**bodies(org)["put_branch"], "code": "N"},
    }
    more = {"json": bodies_of_new[route.name]} if route.name in bodies_of_new else {}
    answer = await send(platform, route, org, path_of(route, org, **new), **more)
    assert answer.status_code == 201, answer.text
    judge(route, answer)


@each([route for route in ROUTES if route.method == "DELETE"])
async def test_answers_to_a_delete_that_shows_are_as_it_says(route: Route, org: Organisation, platform: Api) -> None:
    answer = await send(platform, route, org, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200
    judge(route, answer)


@each([route for route in ROUTES if "304" in operation_of(route)["responses"]])
async def test_answers_to_who_has_it_already_are_as_it_says(route: Route, org: Organisation, platform: Api) -> None:
    tag = (await send(platform, route, org)).headers["ETag"]
    answer = await send(platform, route, org, headers={"If-None-Match": tag})
    assert answer.status_code == 304
    judge(route, answer)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("create_app", {"id": "shop", "name": "Other", "type": "web"}, "app_taken"),
    ("create_app", {"id": "other", "name": "Shop", "type": "web"}, "app_name_taken"),
    ("create_app", {"id": "identity", "name": "Other", "type": "web"}, "protected"),
    ("put_app", {"name": "Identity", "type": "web"}, "app_name_taken"),
    ("update_app", {"metadata": {"a": "x" * 65536}}, "metadata_too_large"),
    ("create_branch", {"id": "mad", "code": "X", "name": "X", "type": "store"}, "branch_taken"),
    ("create_branch", {"code": "MAD", "name": "X", "type": "store"}, "branch_code_taken"),
    ("create_user", {"id": "ana", "username": "x"}, "user_taken"),
    ("create_user", {"username": "ANA"}, "username_taken"),
    ("create_user", {"username": "x", "email": "ANA@example.com"}, "email_taken"),
    ("issue_key", {"name": "x", "type": "restricted"}, "restricted_key_too_broad"),
    ("issue_key", {"name": "x", "type": "public", "scopes": ["*"]}, "public_key_too_broad"),
    ("issue_key", {"name": "x", "type": "service", "user_id": "ana"}, "service_key_has_owner"),
    ("issue_key", {"name": "x", "branch_id": "nowhere"}, "branch_not_found"),
    ("issue_key", {"name": "x", "user_id": "nobody"}, "user_not_found"),
]


@pytest.mark.parametrize(("name", "body", "code"), REFUSED, ids=lambda each: each if isinstance(each, str) else "")
async def test_refusals_by_the_database_are_as_it_says(
    name: str, body: dict[str, Any], code: str, org: Organisation, platform: Api
) -> None:
    route = next(route for route in ROUTES if route.name == name)
    answer = await send(platform, route, org, json=body)
    assert answer.json()["code"] == code
    judge(route, answer)


def test_only_the_calls_that_make_a_key_show_its_text() -> None:
    showing = {route.name for route in ROUTES for answer in answers_of(route) if "key" in properties_of(answer)}
    assert showing == {"issue_key", "rotate_key", "create_a_tenant"}


@each(ROUTES)
def test_no_answer_has_a_field_for_what_is_never_shown(route: Route) -> None:
    hidden = {name for answer in answers_of(route) for name in properties_of(answer) if HIDDEN.search(name)}
    assert hidden == ({"secret"} if route.name in ("enrol_factor", "enrol_at_sign_in") else set())
