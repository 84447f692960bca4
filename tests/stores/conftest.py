"""Where a store may run, and a noun's place in an organisation there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from identity.stores import Stores
from tests.conftest import Organisation
from tests.stores.places import Place


@pytest.fixture(params=["pool", "transaction"])
async def anywhere(request: pytest.FixtureRequest, stores: Stores) -> AsyncIterator[Stores]:
    if request.param == "pool":
        yield stores
    else:
        async with stores.transaction() as tx:
            yield tx


@pytest.fixture
def here(request: pytest.FixtureRequest, anywhere: Stores, org: Organisation) -> Place:
    return Place(request.param, anywhere, org.id)
