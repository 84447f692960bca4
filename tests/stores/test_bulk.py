"""Many rows are written all or none, in the order given, and the one that was wrong is named by its ordinal."""

from __future__ import annotations

import pytest

from identity.errors import Conflict, IdentityError, NotFound
from tests.stores.places import WITH_CHANGES, WITH_TOMBSTONES, Place, places, refused

NAMES = ["d", "b", "e", "a", "c"]
NOTHING = "0" * 22

anywhere_in_the_batch = pytest.mark.parametrize("wrong", [0, 2, 4], ids=["first", "middle", "last"])


@places(*WITH_CHANGES)
async def test_many_are_created_in_the_order_given(here: Place) -> None:
    made = await here.create_many([here.new(name) for name in NAMES])
    named = here.noun.given("").keys() - {"type", "scopes"}
    for row, name in zip(made, NAMES, strict=True):
        assert row.model_dump(include=named) == here.new(name).model_dump(include=named)
    assert await here.create_many([]) == []


@places(*WITH_CHANGES)
@anywhere_in_the_batch
async def test_of_many_to_create_the_refused_is_named_and_none_is_made(here: Place, wrong: int) -> None:
    await here.make("other")
    before = (await here.list(limit=500)).items
    news = [here.new(name) for name in NAMES]
    news[wrong] = here.new(NAMES[wrong], **here.wrong("other"))
    async with refused(here.stores, IdentityError, here.noun.wrong_code, wrong):
        await here.create_many(news)
    assert (await here.list(limit=500)).items == before


@places(*WITH_TOMBSTONES)
@pytest.mark.parametrize("verb", ["create_many", "upsert"])
async def test_the_second_of_two_with_one_id_is_named(here: Place, verb: str) -> None:
    news = [here.new("a"), here.new("b"), here.new("a", **here.wrong("x")), here.new("c")]
    async with refused(here.stores, Conflict, f"{here.noun.error}_taken", 2):
        await getattr(here, verb)(news)
    assert await here.get_many([here.name(name) for name in "abc"]) == []


@places(*WITH_TOMBSTONES)
@pytest.mark.parametrize("verb", ["create_many", "upsert"])
async def test_the_second_of_two_with_one_name_is_named(here: Place, verb: str) -> None:
    news = [here.new("a"), here.new("b"), here.new("c", **here.wrong("b")), here.new("d")]
    async with refused(here.stores, Conflict, here.noun.wrong_code, 2):
        await getattr(here, verb)(news)
    assert await here.get_many([here.name(name) for name in "abcd"]) == []


@places(*WITH_CHANGES)
async def test_many_are_changed_in_the_order_given(here: Place) -> None:
    made = await here.create_many([here.new(name) for name in NAMES])
    changes = {row.id: here.changes(metadata={"n": n}) for n, row in enumerate(made)}
    changed = await here.update_many(changes)
    assert [(row.id, row.metadata) for row in changed] == [(row.id, {"n": n}) for n, row in enumerate(made)]
    assert await here.update_many({}) == []


@places(*WITH_CHANGES)
@anywhere_in_the_batch
async def test_of_many_to_change_the_refused_is_named_and_none_is_changed(here: Place, wrong: int) -> None:
    await here.make("other")
    made = await here.create_many([here.new(name) for name in NAMES])
    changes = {row.id: here.changes(**here.noun.change) for row in made}
    changes[made[wrong].id] = here.changes(**here.wrong("other"))
    async with refused(here.stores, IdentityError, here.noun.wrong_code, wrong):
        await here.update_many(changes)
    assert [row.updated_at for row in made] == [(await here.get(row.id)).updated_at for row in made]


@places(*WITH_CHANGES)
@anywhere_in_the_batch
async def test_of_many_to_change_the_missing_is_named_and_none_is_changed(here: Place, wrong: int) -> None:
    made = await here.create_many([here.new(name) for name in NAMES])
    ids = [row.id for row in made]
    ids[wrong] = NOTHING
    async with refused(here.stores, NotFound, f"{here.noun.error}_not_found", wrong):
        await here.update_many({id: here.changes(**here.noun.change) for id in ids})
    assert [row.updated_at for row in made] == [(await here.get(row.id)).updated_at for row in made]


@places(*WITH_TOMBSTONES)
async def test_upsert_creates_and_replaces_in_the_order_given(here: Place) -> None:
    old = await here.make("b", metadata={"old": True})
    rows = await here.upsert([here.new(name, metadata={"new": name}) for name in NAMES])
    assert [(row.id, row.metadata) for row in rows] == [(here.name(name), {"new": name}) for name in NAMES]
    assert rows[1].created_at == old.created_at
    assert await here.get_many([row.id for row in rows]) == sorted(rows, key=lambda row: row.id)
    assert await here.upsert([]) == []


@places(*WITH_TOMBSTONES)
@anywhere_in_the_batch
async def test_of_many_to_upsert_the_refused_is_named_and_none_is_written(here: Place, wrong: int) -> None:
    await here.make("other")
    old = await here.make("b")
    news = [here.new(name, metadata={"new": True}) for name in NAMES]
    news[wrong] = here.new(NAMES[wrong], **here.wrong("other"))
    async with refused(here.stores, Conflict, here.noun.wrong_code, wrong):
        await here.upsert(news)
    assert await here.get_many([here.name(name) for name in NAMES]) == [old]
