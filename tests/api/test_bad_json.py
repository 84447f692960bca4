"""Bodies that are no JSON, or more than we take for JSON, on every route that takes one."""

from __future__ import annotations

import json

import httpx2
import pytest

from identity.api.routes import Route
from tests.api.problems import places, problem, told
from tests.api.samples import GUARDED, WITH_BODY, bodies, each, one, send
from tests.conftest import Api, Organisation

pytestmark = pytest.mark.usefixtures("unchanged")

JSON = {"Content-Type": "application/json"}
NEEDING_BODY = [route for route in WITH_BODY if not route.body_optional]
WITHOUT_BODY = [route for route in GUARDED if route.takes is None]

NO_JSON = {
    "words": b"name=shop",
    "truncated": b'{"metadata": {"a": "b',
    "two documents": b"{} {}",
    "a comment": b"{} // all of it",
    "single quotes": b"{'metadata': {}}",
    "a trailing comma": b'{"metadata": {},}',
    "white space": b" \n",
    "NaN": b'{"metadata": {"a": NaN}}',
    "Infinity": b'{"metadata": {"a": Infinity}}',
    "-Infinity": b'{"metadata": {"a": -Infinity}}',
    "1e400": b'{"metadata": {"a": 1e400}}',
    "-1e100000": b'{"metadata": {"a": -1e100000}}',
    "2^63": b'{"metadata": {"a": 9223372036854775808}}',
    "-2^63 - 1": b'{"metadata": {"a": -9223372036854775809}}',
    "5,000 digits": b'{"metadata": {"a": ' + b"9" * 5000 + b"}}",
    "a member twice": b'{"metadata": {}, "metadata": {"a": 1}}',
    "a member twice below": b'{"metadata": {"a": [{"b": 1, "b": 2}]}}',
    "a member twice by escapes": b'{"metadata": {"a": 1, "\\u0061": 2}}',
    "33 levels": b'{"metadata": ' + b"[" * 32 + b"]" * 32 + b"}",
    "4,000 levels": b"[" * 4000 + b"]" * 4000,
    "8,000 levels and no end": b"[" * 8000,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"metadata": {}}'.encode("utf-16"),
    "Latin-1": b'{"metadata": {"a": "\xe9"}}',
    "a surrogate in UTF-8": b'{"metadata": {"a": "\xed\xa0\x80"}}',
    "a line feed in a string": b'{"metadata": {"a": "\n"}}',
}
BAD_TEXT = {
    "a NUL": (rb'{"metadata": {"a/b": ["\u0000"]}}', "/metadata/a~1b/0"),
    "half a pair": (rb'{"metadata": {"a": "\ud800"}}', "/metadata/a"),
    "a pair in reverse": (rb'{"metadata": {"a": "\udc00\ud800"}}', "/metadata/a"),
    "a NUL in a name": (rb'{"metadata": {"\u0000": 1}}', "/metadata"),
    "half a pair in a name": (rb'{"metadata": {"\udfff": 1}}', "/metadata"),
}
MEDIA = ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "multipart/form-data", None]


async def refusals(org: Organisation, caller: Api, body: bytes) -> dict[str, httpx2.Response]:
    """By the route's name."""
    return {route.name: await send(caller, route, org, content=body, headers=JSON) for route in WITH_BODY}


@pytest.mark.parametrize("what", NO_JSON)
async def test_what_is_no_json_is_refused(what: str, target: Organisation, platform: Api) -> None:
    answers = await refusals(target, platform, NO_JSON[what])
    assert {name: told(answer) for name, answer in answers.items()} == dict.fromkeys(answers, (400, "invalid_json"))


@pytest.mark.parametrize("what", BAD_TEXT)
async def test_text_that_no_database_holds_is_refused(what: str, target: Organisation, platform: Api) -> None:
    body, pointer = BAD_TEXT[what]
    answers = await refusals(target, platform, body)
    assert {name: places(answer) for name, answer in answers.items()} == {name: [pointer] for name in answers}


@pytest.mark.parametrize("body", [b"null", b"true", b"7", b'"name"', b"[]", b"[{}]"])
async def test_what_is_no_object_is_refused(body: bytes, target: Organisation, platform: Api) -> None:
    answers = await refusals(target, platform, body)
    assert {name: told(answer) for name, answer in answers.items()} == dict.fromkeys(answers, (400, "invalid_request"))


@each(NEEDING_BODY)
async def test_where_a_body_is_needed_none_is_refused(route: Route, target: Organisation, platform: Api) -> None:
    for headers in ({}, JSON):
        assert told(await send(platform, route, target, content=b"", headers=headers)) == (400, "invalid_json")


@each(WITHOUT_BODY)
async def test_where_no_body_is_taken_none_is_passed_over(route: Route, target: Organisation, platform: Api) -> None:
    for body, code in (
        (b'{"status": "active"}', "invalid_request"),
        (b"[]", "invalid_request"),
        (b"{", "invalid_json"),
    ):
        assert told(await send(platform, route, target, content=body, headers=JSON)) == (400, code)


@pytest.mark.parametrize("media", MEDIA)
async def test_a_body_of_another_kind_is_refused(media: str | None, target: Organisation, platform: Api) -> None:
    headers = {"Content-Type": media} if media else {}
    for route in (route for route in GUARDED if route.method != "GET" and not route.form):
        answer = await send(platform, route, target, content=b"{}", headers=headers)
        assert told(answer) == (415, "unsupported_media_type"), route.name
        assert "application/json" in problem(answer)["detail"]


@each([route for route in WITH_BODY if route.method != "PATCH"])
async def test_only_a_patch_comes_as_a_patch(route: Route, target: Organisation, platform: Api) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    assert told(await send(platform, route, target, content=b"{}", headers=headers)) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON", "application/json;"])
async def test_json_is_known_however_it_is_spelled(media: str, target: Organisation, platform: Api) -> None:
    content = json.dumps(bodies(target)["verify_key"])
    answer = await send(platform, one("verify_key"), target, content=content, headers={"Content-Type": media})
    assert answer.status_code == 200
