"""What every store keeps: rows are there once made, under their key, page by page."""

from __future__ import annotations

from identity.errors import Conflict, NotFound
from tests.stores.places import (
    EVERY,
    WITH_CHANGES,
    WITH_TOMBSTONES,
    Place,
    places,
    refused,
)

NOTHING = "0" * 22


@places(*EVERY)
async def test_what_was_made_is_what_is_got(here: Place) -> None:
    made = await here.make("a")
    got = await here.get(here.id(made))
    assert got.model_dump() == made.model_dump(exclude={"key", "token"})


@places(*EVERY)
async def test_what_there_is_not_is_not_found(here: Place) -> None:
    async with refused(here.stores, NotFound, f"{here.noun.error}_not_found"):
        await here.get(NOTHING)


@places(*WITH_CHANGES)
async def test_exists_tells_whether_it_is_there(here: Place) -> None:
    made = await here.make("a")
    assert await here.exists(here.id(made)) is True
    assert await here.exists(NOTHING) is False


@places(*WITH_CHANGES)
async def test_get_many_gives_those_that_there_are_in_order(here: Place) -> None:
    ids = [here.id(await here.make(name)) for name in ("b", "a")]
    assert [here.id(row) for row in await here.get_many([ids[0], NOTHING, ids[1]])] == sorted(ids)
    assert await here.get_many([]) == []


@places(*WITH_TOMBSTONES)
async def test_an_id_is_taken_once(here: Place) -> None:
    made = await here.make("a")
    async with refused(here.stores, Conflict, f"{here.noun.error}_taken"):
        await here.create(here.new("a", **here.wrong("b")))
    assert await here.get(made.id) == made


@places(*WITH_TOMBSTONES)
async def test_a_name_is_taken_once(here: Place) -> None:
    await here.make("a")
    async with refused(here.stores, Conflict, here.noun.wrong_code):
        await here.create(here.new("b", **here.wrong("a")))
    assert not await here.exists(here.name("b"))
