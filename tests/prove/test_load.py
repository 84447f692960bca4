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


async def test_a_worker_behind_a_cache_of_a_second_is_caught(place: Site) -> None:
    async with caching(place.ports[1]) as port:
        tally = (await phase(place, none, 20, ports=[place.ports[0], port])).tally
    assert tally.late > 0
