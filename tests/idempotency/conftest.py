"""What the adversaries of Idempotency-Key share: a database of their own, and an organisation in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from identity.settings import Settings
from tests.conftest import Organisation, settings_for
from tests.operation.apps import app
from tests.server import Database, new_database


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    """One that a test may put triggers into."""
    with new_database() as found:
        yield found


@pytest.fixture(scope="module")
def own_settings(own: Database) -> Settings:
    return settings_for(own, pool_max=2, verify_connections=1, lock_timeout_s=30)


@pytest.fixture(scope="module")
async def here(own_settings: Settings) -> AsyncIterator[Organisation]:
    """An organisation, as a worker in this very process serves it, which nobody kills."""
    async with app(own_settings) as found:
        yield found
