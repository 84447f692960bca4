"""The OpenAPI document: sound in itself, complete, true to what is answered, and without a secret in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2

from identity.api import ROUTES, openapi
from identity.api.routes import PUBLIC, Route
from tests.api.json_schema import Schema, accepts, resolve
from tests.api.samples import WITH_BODY, bodies, each, path_of, send
from tests.conftest import Api, Organisation

DOCUMENT: Schema = json.loads(openapi.document(ROUTES, "http://identity.example.com"))
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
    """The schema and all that it refers to. (None of ours is recursive.)"""
    for node in nodes(resolve(DOCUMENT, schema)):
        yield node
        if "$ref" in node:
            yield from schemas_under(node)


def answers_of(route: Route) -> list[Schema]:
    answers = operation_of(route)["responses"].values()
    return [media["schema"] for answer in answers for media in answer.get("content", {}).values()]


def properties_of(schema: Schema) -> set[str]:
    return {name for node in schemas_under(schema) for name in node.get("properties", {})}


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
    references = [node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node]
    assert references
    for reference in references:
        assert reference.startswith("#/components/schemas/")
        assert isinstance(resolve(DOCUMENT, {"$ref": reference}), dict)


def test_every_route_is_in_it_and_nothing_else() -> None:
    found = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert found == {(route.method, route.path) for route in ROUTES}


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\w+", name) for name in names)


@each(ROUTES)
def test_parameters_are_declared(route: Route) -> None:
    parameters = operation_of(route)["parameters"]
    in_path = [each["name"] for each in parameters if each["in"] == "path" and each["required"]]
    in_query = [each["name"] for each in parameters if each["in"] == "query"]
    assert in_path == re.findall(r"{(\w+)}", route.path)
    assert set(in_query) == ({*route.where.model_fields, "limit", "cursor"} if route.where else set())
    assert all("schema" in each for each in parameters)
    assert len(parameters) == len(in_path) + len(in_query)


@each(ROUTES)
def test_what_is_taken_answered_and_needed_is_declared(route: Route) -> None:
    operation = operation_of(route)
    assert ("requestBody" in operation) == (route.takes is not None)
    assert operation["summary"]
    assert {str(route.status), "default"} <= operation["responses"].keys()
    assert all(answer["description"] for answer in operation["responses"].values())
    assert (operation.get("security") == []) == (route.scope == PUBLIC)
    assert operation["x-scope"] == route.scope


@each(WITH_BODY)
async def test_the_samples_are_what_it_asks_for(route: Route, target: Organisation) -> None:
    for media in operation_of(route)["requestBody"]["content"].values():
        assert accepts(DOCUMENT, media["schema"], bodies(target)[route.name])


def judge(route: Route, answer: httpx2.Response) -> None:
    """The answer is one of those that the document tells of, and of its shape."""
    told = operation_of(route)["responses"]
    content = told.get(str(answer.status_code), told["default"]).get("content")
    if content is None:
        assert not answer.content or route.answers is None
        return
    media = answer.headers["Content-Type"].partition(";")[0]
    assert accepts(DOCUMENT, content[media]["schema"], answer.json()), answer.text


@each(ROUTES)
async def test_answers_are_as_it_says(route: Route, org: Organisation, platform: Api) -> None:
    answer = await send(platform, route, org)
    judge(route, answer)
    assert str(answer.status_code) in operation_of(route)["responses"] or answer.status_code >= 400
    judge(route, await send(Api(org.client, None), route, org))


@each([route for route in ROUTES if route.method == "PUT"])
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


def test_only_the_calls_that_make_a_key_show_its_text() -> None:
    showing = {route.name for route in ROUTES for answer in answers_of(route) if "key" in properties_of(answer)}
    assert showing == {"issue_key", "rotate_key", "create_a_tenant"}


@each(ROUTES)
def test_no_answer_has_a_field_for_what_is_never_shown(route: Route) -> None:
    for answer in answers_of(route):
        assert not [name for name in properties_of(answer) if HIDDEN.search(name)]


async def test_the_page_lists_every_route(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert answer.headers["Content-Type"].startswith("text/html")
    for route in ROUTES:
        assert f"<code>{route.method}</code><td><code>{route.path}</code>" in answer.text
    assert "<script" not in answer.text
