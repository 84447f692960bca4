"""Without an id a user is named by the username, and a branch by its code; a clash on anything else is refused."""

from __future__ import annotations

from identity.branches import NewBranch
from identity.errors import Conflict
from identity.stores import Stores
from identity.users import NewUser, UserFilter
from tests.conftest import Organisation
from tests.stores.places import refused


def branch(code: str, **more: str) -> NewBranch:
    return NewBranch.model_validate({"code": code, "name": code, "type": "store"} | more)


async def test_a_username_names_its_user_in_any_spelling(anywhere: Stores, org: Organisation) -> None:
    before = await anywhere.users.get(org.id, "ana")
    ana, bo = await anywhere.users.upsert(org.id, [NewUser(username="ANA", full_name="Ana"), NewUser(username="bo")])
    assert (ana.id, ana.username, ana.full_name, ana.email) == ("ana", "ANA", "Ana", None)
    assert ana.created_at == before.created_at
    assert await anywhere.users.find(org.id, UserFilter(username="bo")) == bo
    again = await anywhere.users.upsert(org.id, [NewUser(username="ana"), NewUser(username="Bo")])
    assert [row.id for row in again] == [ana.id, bo.id]


async def test_an_id_renames_its_user(anywhere: Stores, org: Organisation) -> None:
    [renamed] = await anywhere.users.upsert(org.id, [NewUser(id="ana", username="anna")])
    assert (renamed.id, renamed.username) == ("ana", "anna")
    assert await anywhere.users.find(org.id, UserFilter(username="ana")) is None


async def test_an_email_of_another_is_refused(anywhere: Stores, org: Organisation) -> None:
    news = [NewUser(username="bo"), NewUser(username="cy", email="ANA@example.com"), NewUser(username="di")]
    async with refused(anywhere, Conflict, "email_taken", 1):
        await anywhere.users.upsert(org.id, news)
    assert await anywhere.users.find(org.id, UserFilter(username="bo")) is None


async def test_one_user_named_twice_is_refused(anywhere: Stores, org: Organisation) -> None:
    async with refused(anywhere, Conflict, "user_taken", 2):
        await anywhere.users.upsert(org.id, [NewUser(username=name) for name in ("ana", "bo", "ANA")])


async def test_the_name_of_a_tombstone_is_free_to_a_new_user(anywhere: Stores, org: Organisation) -> None:
    await anywhere.users.delete(org.id, "ana")
    [heir] = await anywhere.users.upsert(org.id, [NewUser(username="ana")])
    assert heir.id != "ana"


async def test_a_user_without_an_id_gets_one_that_sorts_by_time(anywhere: Stores, org: Organisation) -> None:
    made = [await anywhere.users.create(org.id, NewUser(username=name)) for name in ("z", "y")]
    assert all(user.id[14] == "7" for user in made)
    assert made[0].id[:13] <= made[1].id[:13]


async def test_a_code_names_its_branch(anywhere: Stores, org: Organisation) -> None:
    rows = await anywhere.branches.upsert(org.id, "shop", [branch("MAD", name="Barajas"), branch("JFK")])
    assert [(row.code, row.name) for row in rows] == [("MAD", "Barajas"), ("JFK", "JFK")]
    assert rows[0].id == "mad"


async def test_a_code_names_its_branch_whatever_that_s_id_is(anywhere: Stores, org: Organisation) -> None:
    await anywhere.branches.create(org.id, "shop", branch("JFK", id="kennedy"))
    [row] = await anywhere.branches.upsert(org.id, "shop", [branch("JFK", name="Kennedy")])
    assert (row.id, row.name) == ("kennedy", "Kennedy")


async def test_a_branch_without_an_id_gets_one_that_sorts_by_time(anywhere: Stores, org: Organisation) -> None:
    made = await anywhere.branches.create(org.id, "shop", branch("New York / 5th"))
    assert made.id[14] == "7"
