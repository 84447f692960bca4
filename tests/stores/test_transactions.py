"""What several stores do in one transaction is done together or not at all."""

from __future__ import annotations

import pytest

from identity.errors import Conflict
from identity.stores import Stores
from identity.users import NewUser
from tests.conftest import Organisation
from tests.stores.places import EVERY, Noun, Place, undone

MADE_UP = ("key", "invitation")
"""Whose ids are none of ours."""

every_noun = pytest.mark.parametrize("noun", EVERY, ids=[noun.store for noun in EVERY])


async def ids(noun: Noun, stores: Stores, org: str) -> list[str]:
    here = Place(noun, stores, org)
    after = org if noun.keys_above == 0 else None
    return [id for row in (await here.list(after=after)).items if org in (id := here.id(row)) or noun.error in MADE_UP]


@every_noun
async def test_others_see_a_commit_whole_and_not_before(stores: Stores, org: Organisation, noun: Noun) -> None:
    before = await ids(noun, stores, org.id)
    async with stores.transaction() as tx:
        made = [await Place(noun, tx, org.id).make(name) for name in "ab"]
        assert await ids(noun, stores, org.id) == before
        assert len(await ids(noun, tx, org.id)) == len(before) + 2
    assert set(await ids(noun, stores, org.id)) == {*before, *(Place(noun, stores, org.id).id(row) for row in made)}


@every_noun
async def test_an_error_leaves_nothing(stores: Stores, org: Organisation, noun: Noun) -> None:
    before = await ids(noun, stores, org.id)
    async with undone(stores) as tx:
        await Place(noun, tx, org.id).make("a")
    assert await ids(noun, stores, org.id) == before


@every_noun
async def test_an_error_inside_a_savepoint_leaves_what_was_before_it(
    stores: Stores, org: Organisation, noun: Noun
) -> None:
    before = await ids(noun, stores, org.id)
    async with stores.transaction() as tx:
        kept = await Place(noun, tx, org.id).make("a")
        async with undone(tx) as inner:
            await Place(noun, inner, org.id).make("b")
    assert set(await ids(noun, stores, org.id)) == {*before, Place(noun, stores, org.id).id(kept)}


async def test_a_refused_creation_needs_no_savepoint_of_the_callers(stores: Stores, org: Organisation) -> None:
    async with stores.transaction() as tx:
        with pytest.raises(Conflict):
            await tx.users.create_many(org.id, [NewUser(username="bo"), NewUser(username="ANA")])
        await tx.users.create(org.id, NewUser(id="cy", username="cy"))
    assert await stores.users.exists(org.id, "cy")
