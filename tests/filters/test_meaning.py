"""A filter finds what it says, and nobody else's."""

from __future__ import annotations

from hypothesis import given, settings

from identity.stores import Stores
from identity.users import UserFilter
from tests.filters.reference import EXPRESSIONS, Expression


@settings(max_examples=300, deadline=None, database=None)
@given(asked=EXPRESSIONS)
async def test_a_filter_finds_what_the_same_said_in_python_does(stores: Stores, acme: str, asked: Expression) -> None:
    everybody = (await stores.users.list(acme, limit=500)).items
    found = await stores.users.list(acme, UserFilter(filter=str(asked), count=True), limit=500)
    assert found.items == [user for user in everybody if asked.holds(user)], str(asked)
    assert found.count == len(found.items)
