"""What existed from a list's first page to its last comes exactly once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.stores.places import EVERY, TENANTS, WITH_CHANGES, Place, places

NOT_TENANTS = [noun for noun in EVERY if noun is not TENANTS]


async def pages(here: Place, limit: int) -> AsyncIterator[list[str]]:
    """Of tenants, which all tests share, those of this test alone."""
    after = here.org if here.noun is TENANTS else None
    while True:
        page = await here.list(after=after, limit=limit)
        ids = [here.id(row) for row in page.items]
        yield ids
        if page.next is None or (here.noun is TENANTS and not page.next.startswith(here.org)):
            return
        assert page.next == ids[-1]
        after = page.next


@places(*EVERY)
async def test_pages_follow_the_key_and_give_each_once(here: Place) -> None:
    made = sorted([here.id(await here.make(name)) for name in "ecadb"])
    found = [id async for page in pages(here, 2) for id in page]
    assert [id for id in found if id in made] == made
    assert found == sorted(set(found))


@places(*WITH_CHANGES)
async def test_what_comes_and_goes_meanwhile_moves_nothing_else(here: Place) -> None:
    made = sorted([here.id(await here.make(name)) for name in "bdfhj"])
    found: list[str] = []
    others = list("zaic")
    async for page in pages(here, 2):
        found += page
        listed = [id for id in found if id in made]
        if others:
            await here.make(others.pop())
        if listed and await here.exists(listed[0]):
            await here.delete(listed[0])
    assert [id for id in found if id in made] == made
    assert found == sorted(set(found))


@places(*NOT_TENANTS)
async def test_a_page_that_holds_the_rest_is_the_last(here: Place) -> None:
    for name in "abc":
        await here.make(name)
    everything = await here.list(limit=500)
    count = len(everything.items)
    assert everything.next is None
    assert (await here.list(limit=count)) == everything
    assert (await here.list(limit=count - 1)).next == here.id(everything.items[-2])
