"""PATCH is JSON Merge Patch: the cases of RFC 7396, and what null means where a field is ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.problems import told
from tests.conftest import Organisation

# RFC 7396, appendix A: original, patch, result.
CASES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
OF_OBJECTS = [case for case in CASES if all(isinstance(each, dict) for each in case)]


async def patched(org: Organisation, metadata: dict[str, Any], patch: dict[str, Any] | None) -> Any:
    path = f"{org.path}/apps/shop"
    assert (await org.admin.put(path, {"name": "Shop", "type": "web", "metadata": metadata})).status_code == 200
    answer = await org.admin.patch(path, {"metadata": patch})
    assert answer.status_code == 200
    assert (await org.admin.get(path)).json() == answer.json()
    return answer.json()["metadata"]


@pytest.mark.parametrize(("original", "patch", "result"), OF_OBJECTS, ids=str)
async def test_a_patch_merges(original: Any, patch: Any, result: Any, org: Organisation) -> None:
    assert await patched(org, original, patch) == result


@pytest.mark.parametrize(("original", "patch", "result"), CASES, ids=str)
async def test_a_patch_merges_below(original: Any, patch: Any, result: Any, org: Organisation) -> None:
    expected = {} if result is None else {"m": result}
    assert await patched(org, {"m": original}, {"m": patch}) == expected


async def test_null_empties_metadata(org: Organisation) -> None:
    assert await patched(org, {"a": {"b": 1}}, None) == {}


@pytest.mark.parametrize("media", ["application/json", "application/merge-patch+json"])
async def test_a_patch_comes_under_either_name(media: str, org: Organisation) -> None:
    body = json.dumps({"name": "Renamed"}).encode()
    answer = await org.admin("PATCH", f"{org.path}/apps/shop", content=body, headers={"Content-Type": media})
    assert (answer.status_code, answer.json()["name"]) == (200, "Renamed")


async def test_what_a_patch_does_not_name_stays(org: Organisation) -> None:
    path = f"{org.path}/apps/shop/branches/mad"
    address = {"city": "Madrid", "street": "Gran Vía 1"}
    before = (await org.admin.patch(path, {"address": address, "metadata": {"a": 1}})).json()
    after = (await org.admin.patch(path, {"address": {"street": None, "country": "ES"}})).json()
    assert after["address"] == before["address"] | {"street": None, "country": "ES"}
    assert {**after, "address": None, "updated_at": None} == {**before, "address": None, "updated_at": None}


async def test_an_empty_patch_changes_nothing_that_is_shown(org: Organisation) -> None:
    before = (await org.admin.get(f"{org.path}/users/ana")).json()
    after = (await org.admin.patch(f"{org.path}/users/ana", {})).json()
    assert after == before | {"updated_at": after["updated_at"]}


async def test_null_in_settings_is_the_default(org: Organisation) -> None:
    path = f"{org.path}/apps/shop"
    given = {"access_token_s": 60, "features": {"a": True, "b": False}}
    await org.admin.patch(path, {"settings": given})
    one = (await org.admin.patch(path, {"settings": {"access_token_s": None, "features": {"a": None}}})).json()
    assert (one["settings"]["access_token_s"], one["settings"]["features"]) == (300, {"b": False})
    every = (await org.admin.patch(path, {"settings": None})).json()
    assert every["settings"]["features"] == {}


async def test_null_takes_away_what_need_not_be(org: Organisation) -> None:
    path = f"{org.path}/users/ana"
    assert (await org.admin.patch(path, {"email": None})).json()["email"] is None
    assert told(await org.admin.patch(path, {"username": None})) == (400, "invalid_request")


async def test_a_patch_may_not_grow_metadata_beyond_its_bounds(org: Organisation) -> None:
    path = f"{org.path}/users/ana"
    assert (await org.admin.patch(path, {"metadata": {"a": "x" * 40_000}})).status_code == 200
    assert told(await org.admin.patch(path, {"metadata": {"b": "x" * 40_000}})) == (400, "metadata_too_large")
    assert (await org.admin.get(path)).json()["metadata"].keys() == {"a"}
