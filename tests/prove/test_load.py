"""No key is good after its revocation has returned; and if one were, this would see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from identity import embedded
from tests.load.service import directory
from tests.prove.caching import caching
from tests.prove.faults import none
from tests.prove.phases import phase
from tests.prove.purging import tenant_purged
from tests.prove.site import Site, site
from tests.prove.timing import KINDS, time_sign_ins, timings

REVOCATIONS = 200
USERS = 3_000


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Site]:
    with directory() as data_dir:
        async with site(data_dir, embedded.THROW_AWAY) as found:
            yield found


async def test_200_revocations_and_a_purge_on_two_workers_under_load_leave_no_key_good(place: Site) -> None:
    tally = (await phase(place, partial(tenant_purged, users=USERS), REVOCATIONS)).tally
    assert (tally.late, tally.wrong, tally.errors) == (0, 0, 0)
    assert tally.revocations >= REVOCATIONS
    assert tally.verifications > 4 * REVOCATIONS


async def test_each_kind_of_failed_sign_in_is_timed(place: Site) -> None:
    """How long it takes is for `make prove` to judge, on a machine that does nothing else."""
    done: list[int] = []
    found = await time_sign_ins(place.ports[0], place.database, 1, done.append)
    assert tuple(found) == KINDS
    assert all(each.median_ms > 0 for each in found.values())
    assert done[-1] == 1


@pytest.mark.parametrize(("wrong_ms", "is_alike"), [(20.9, True), (22, False), (18, False)])
def test_a_kind_whose_median_lies_apart_is_told(wrong_ms: float, is_alike: bool) -> None:
    found = timings({"unknown": [20, 20, 90], "locked": [19, 20, 20], "wrong": [wrong_ms] * 3})
    assert [each.is_alike for each in found.values()] == [True, True, is_alike]


async def test_a_worker_behind_a_cache_of_a_second_is_caught(place: Site) -> None:
    async with caching(place.ports[1]) as port:
        tally = (await phase(place, none, 20, ports=[place.ports[0], port])).tally
    assert tally.late > 0
