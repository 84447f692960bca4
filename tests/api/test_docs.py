"""/docs: a page of our own files, that asks nobody else for anything, and has a place for each code."""

from __future__ import annotations

import hashlib
import re

import httpx2
import pytest

from identity.api import ROUTES
from identity.api.docs import FILES, HERE
from identity.api.openapi.codes import CODES
from identity.api.openapi.errors import codes
from tests.api.problems import told


@pytest.fixture
async def page(client: httpx2.AsyncClient) -> httpx2.Response:
    answer = await client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    return answer


def test_the_page_lists_every_route(page: httpx2.Response) -> None:
    for route in ROUTES:
        assert f"<code>{route.method}</code><td><code>{route.path}</code>" in page.text


def test_every_code_has_a_place_on_it(page: httpx2.Response) -> None:
    assert re.findall(r"<tr id=(\w+)>", page.text) == list(CODES)


def test_every_code_is_explained_and_none_besides() -> None:
    documented = {code for route in ROUTES for of in codes(route).values() for code in of}
    of_no_operation = {"method_not_allowed", "invalid_http", "http_version_not_supported"}
    of_one_row_of_many = {"imported_key_taken"}
    assert documented | of_no_operation | of_one_row_of_many == CODES.keys()


def test_a_code_comes_with_its_status() -> None:
    for route in ROUTES:
        for status, of in codes(route).items():
            named_by_body = {code for code in of if status == 400 and code.endswith("_not_found")}
            assert {CODES[code].status for code in of if code not in named_by_body} == {status}


async def test_all_that_it_loads_is_served_here(page: httpx2.Response, client: httpx2.AsyncClient) -> None:
    loaded = re.findall(r'<(?:script|link)[^>]* (?:src|href)=["]?([^">\s]+)', page.text)
    assert {f"docs/{name}" for name in FILES} == set(loaded) - {"data:,"}
    for name, (_, media) in FILES.items():
        answer = await client.get(f"/docs/{name}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(media)
        assert answer.headers["Cache-Control"] == "no-store"


def test_its_policy_lets_no_script_in_and_no_request_out(page: httpx2.Response) -> None:
    policy = dict(each.split(" ", 1) for each in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["Content-Security-Policy"].replace("style-src 'self' 'unsafe-inline'", "")
    assert "http" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?! src=docs/)|<style| on\w+=", page.text)


def test_the_key_typed_into_it_is_not_kept() -> None:
    script = (HERE / "page" / "docs.js").read_text()
    assert "persistAuthorization: false" in script
    assert not re.search(r"localStorage|sessionStorage|cookie", script)


@pytest.mark.parametrize("name", ["nothing.js", "LICENSE", "..%2Fdocs.py", "%2e%2e%2fdocs.py", ""])
async def test_nothing_else_is_served_there(name: str, client: httpx2.AsyncClient) -> None:
    assert told(await client.get(f"/docs/{name}")) == (404, "route_not_found")


async def test_a_method_that_a_file_does_not_take_is_told(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/docs/docs.js")
    assert told(answer) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_the_vendored_files_are_as_their_makers_left_them() -> None:
    sums = re.findall(r"([0-9a-f]{64})  (\S+)", (HERE / "swagger_ui" / "README.md").read_text())
    assert {name for _, name in sums} == {
        name for name, (directory, _) in FILES.items() if directory.name == "swagger_ui"
    }
    for sha256, name in sums:
        assert hashlib.sha256((HERE / "swagger_ui" / name).read_bytes()).hexdigest() == sha256
