"""A change merges (RFC 7396), touches what was given and nothing else, and asks for the version that was read."""

from __future__ import annotations

from typing import Any

import pytest

from identity.errors import NotFound, PreconditionFailed
from tests.stores.places import APPS, BRANCHES, TENANTS, USERS, WITH_CHANGES, WITH_TOMBSTONES, Place, places, refused

NOTHING = "0" * 22
BEFORE = {"a": 1, "b": {"c": [1, 2], "d": {"e": True}}, "x": "text"}


@places(*WITH_CHANGES)
async def test_metadata_is_merged_and_not_replaced(here: Place) -> None:
    made = await here.make("a", metadata=BEFORE)
    changed = await here.update(made.id, here.changes(metadata={"a": None, "b": {"d": {"f": 0}}, "n": 2}))
    assert changed.metadata == {"b": {"c": [1, 2], "d": {"e": True, "f": 0}}, "x": "text", "n": 2}


@places(USERS)
@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ({"n": 2}, BEFORE | {"n": 2}),
        ({"a": None}, {"b": BEFORE["b"], "x": "text"}),
        ({"b": {"d": {"f": 0}}}, BEFORE | {"b": {"c": [1, 2], "d": {"e": True, "f": 0}}}),
        ({"b": {"d": {"e": None}}}, BEFORE | {"b": {"c": [1, 2], "d": {}}}),
        ({"b": {"c": [None]}}, BEFORE | {"b": {"c": [None], "d": {"e": True}}}),
        ({"b": 1, "x": {"y": {"gone": None, "z": 1}}}, {"a": 1, "b": 1, "x": {"y": {"z": 1}}}),
        ({"nothing": None}, BEFORE),
        ({}, BEFORE),
        (None, {}),
    ],
)
async def test_the_merge_is_that_of_a_json_merge_patch(here: Place, patch: Any, after: dict[str, Any]) -> None:
    made = await here.make("a", metadata=BEFORE)
    assert (await here.update(made.id, here.changes(metadata=patch))).metadata == after


@places(*WITH_CHANGES)
async def test_a_change_moves_what_was_given_and_updated_at_and_nothing_else(here: Place) -> None:
    made = await here.make("a", metadata=BEFORE)
    before = await here.get(made.id)
    changed = await here.update(made.id, here.changes(**here.noun.change))
    assert changed.updated_at > before.updated_at
    assert changed == before.model_copy(update=here.noun.change | {"updated_at": changed.updated_at})
    assert await here.get(made.id) == changed


@places(*WITH_CHANGES)
async def test_each_change_moves_updated_at_also_inside_one_transaction(here: Place) -> None:
    made = await here.make("a")
    stamps = [made.updated_at]
    stamps += [(await here.update(made.id, here.changes(metadata={"n": n}))).updated_at for n in range(3)]
    assert stamps == sorted(set(stamps))


@places(TENANTS, APPS, BRANCHES)
async def test_settings_hold_their_defaults_and_null_brings_them_back(here: Place) -> None:
    defaults = type((await here.make("a")).settings)()
    given = {"timezone": "Europe/Madrid"} if here.noun is not APPS else {"features": {"beta": True}}
    changed = await here.update(here.name("a"), here.changes(settings=given))
    assert changed.settings == defaults.model_copy(update=given)
    back = await here.update(here.name("a"), here.changes(settings=dict.fromkeys(given)))
    assert back.settings == defaults
    await here.update(here.name("a"), here.changes(settings=given))
    assert (await here.update(here.name("a"), here.changes(settings=None))).settings == defaults


@places(TENANTS)
async def test_a_nested_setting_leaves_its_neighbours(here: Place) -> None:
    await here.make("a", settings={"lockout": {"failures": 3, "window_s": 30}})
    changed = await here.update(here.name("a"), here.changes(settings={"lockout": {"failures": None}}))
    assert (changed.settings.lockout.failures, changed.settings.lockout.window_s) == (10, 30)


@places(BRANCHES)
async def test_address_and_contact_are_merged_too(here: Place) -> None:
    await here.make("a", address={"city": "Madrid", "country": "ES"}, contact={"phone": "1"})
    patch = here.changes(address={"city": None, "street": "Mayor 1"}, contact={"email": "a@example.com"})
    changed = await here.update(here.name("a"), patch)
    assert changed.address.model_dump(exclude_none=True) == {"country": "ES", "street": "Mayor 1"}
    assert changed.contact.model_dump(exclude_none=True) == {"phone": "1", "email": "a@example.com"}


@places(*WITH_CHANGES)
async def test_what_there_is_not_cannot_be_changed_or_deleted(here: Place) -> None:
    async with refused(here.stores, NotFound, f"{here.noun.error}_not_found"):
        await here.update(NOTHING, here.changes(**here.noun.change))
    async with refused(here.stores, NotFound, f"{here.noun.error}_not_found"):
        await here.delete(NOTHING)


@places(*WITH_CHANGES)
async def test_a_condition_holds_for_the_version_that_was_read_and_no_other(here: Place) -> None:
    made = await here.make("a")
    changed = await here.update(made.id, here.changes(**here.noun.change), if_match=[made.updated_at])
    async with refused(here.stores, PreconditionFailed, "precondition_failed"):
        await here.update(made.id, here.changes(metadata={"n": 1}), if_match=[made.updated_at])
    async with refused(here.stores, PreconditionFailed, "precondition_failed"):
        await here.update(made.id, here.changes(metadata={"n": 1}), if_match=[])
    async with refused(here.stores, PreconditionFailed, "precondition_failed"):
        await here.delete(made.id, if_match=[made.updated_at])
    assert await here.get(made.id) == changed
    await here.delete(made.id, if_match=[made.updated_at, changed.updated_at])
    assert not await here.exists(made.id)


@places(*WITH_TOMBSTONES)
async def test_replacing_creates_and_then_replaces_whole(here: Place) -> None:
    made, created = await here.replace(here.new("a", metadata=BEFORE))
    assert created is True
    replaced, created = await here.replace(here.new("a", **here.noun.change))
    assert created is False
    assert replaced == made.model_copy(update=here.noun.change | {"metadata": {}, "updated_at": replaced.updated_at})
    assert replaced.updated_at > made.updated_at
    assert await here.get(made.id) == replaced


@places(*WITH_TOMBSTONES)
async def test_replacing_under_a_condition_neither_creates_nor_overwrites(here: Place) -> None:
    made = await here.make("a")
    async with refused(here.stores, PreconditionFailed, "precondition_failed"):
        await here.replace(here.new("b"), if_match=[made.updated_at])
    assert not await here.exists(here.name("b"))
    replaced, _ = await here.replace(here.new("a", **here.noun.change), if_match=[made.updated_at])
    async with refused(here.stores, PreconditionFailed, "precondition_failed"):
        await here.replace(here.new("a"), if_match=[made.updated_at])
    assert await here.get(made.id) == replaced
