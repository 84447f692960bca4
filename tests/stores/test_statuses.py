"""A status moves where it may, stays where it is when asked again, and goes no other way."""

from __future__ import annotations

import pytest

from identity.apps import IDENTITY
from identity.errors import Conflict, NotFound
from identity.stores import Stores
from identity.tenants import PLATFORM
from tests.conftest import Organisation
from tests.stores.places import APPS, BRANCHES, TENANTS, USERS, Noun, Place, places, refused

SUSPENDING = {"suspend": {"active": "suspended"}, "activate": {"suspended": "active"}}
DISABLING = {"disable": {"active": "disabled"}, "enable": {"disabled": "active"}}
LOCKING = {
    "suspend": {"active": "suspended", "locked": "suspended"},
    "activate": {"suspended": "active"},
    "lock": {"active": "locked"},
    "unlock": {"locked": "active"},
}
INTO = {"active": [], "suspended": ["suspend"], "disabled": ["disable"], "locked": ["lock"]}

MOVES = [
    pytest.param(noun, verb, before, id=f"{noun.error}-{before}-{verb}")
    for noun, verbs in ((TENANTS, SUSPENDING), (APPS, DISABLING), (BRANCHES, DISABLING), (USERS, LOCKING))
    for verb in verbs
    for before in sorted({status for moves in verbs.values() for status in moves.values()})
]
VERBS = {"tenant": SUSPENDING, "app": DISABLING, "branch": DISABLING, "user": LOCKING}


@pytest.mark.parametrize(("noun", "verb", "before"), MOVES)
async def test_a_status_moves_as_its_verb_says(
    anywhere: Stores, org: Organisation, noun: Noun, verb: str, before: str
) -> None:
    here = Place(noun, anywhere, org.id)
    made = await here.make("a")
    for step in INTO[before]:
        await getattr(here, step)(made.id)
    made = await here.get(made.id)
    moves = VERBS[noun.error][verb]
    if before in moves:
        told, moved = await getattr(here, verb)(made.id), await here.get(made.id)
        assert told.model_dump() | moved.model_dump() == told.model_dump()
        assert moved == made.model_copy(update={"status": moves[before], "updated_at": moved.updated_at})
        assert moved.updated_at > made.updated_at
    elif before in moves.values():
        told = await getattr(here, verb)(made.id)
        assert told.model_dump() | made.model_dump() == told.model_dump()
    else:
        async with refused(anywhere, Conflict, "status_conflict"):
            await getattr(here, verb)(made.id)
        assert await here.get(made.id) == made


@places(TENANTS, APPS, BRANCHES, USERS)
async def test_a_tombstone_s_status_does_not_move(here: Place) -> None:
    made = await here.make("a")
    await here.delete(made.id)
    for verb in VERBS[here.noun.error]:
        async with refused(here.stores, NotFound, f"{here.noun.error}_not_found"):
            await getattr(here, verb)(made.id)


@places(TENANTS, APPS, BRANCHES, USERS)
async def test_a_status_outlives_changes_deletion_and_restoring(here: Place) -> None:
    made = await here.make("a")
    stopped = await (here.suspend if here.noun in (TENANTS, USERS) else here.disable)(made.id)
    await here.update(made.id, here.changes(**here.noun.change))
    await here.replace(here.new("a"))
    await here.delete(made.id)
    assert (await here.restore(made.id)).status == stopped.status != made.status


@pytest.mark.parametrize("verb", ["disable", "delete"])
async def test_the_app_that_is_this_service_is_protected(stores: Stores, org: Organisation, verb: str) -> None:
    async with refused(stores, Conflict, "protected"):
        await getattr(stores.apps, verb)(org.id, IDENTITY)


@pytest.mark.usefixtures("platform_key")
@pytest.mark.parametrize("verb", ["suspend", "delete"])
async def test_the_tenant_that_operates_all_is_protected(stores: Stores, verb: str) -> None:
    async with refused(stores, Conflict, "protected"):
        await getattr(stores.tenants, verb)(PLATFORM)
