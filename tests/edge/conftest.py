"""A service as a process, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.edge.process import Service, serving
from tests.edge.wire import Client, connected
from tests.server import Database

RECEIVE_S = 1.0


@pytest.fixture(scope="session")
def service(database: Database) -> Iterator[Service]:
    """With less patience than its ten seconds."""
    with serving(database, receive_timeout_s=str(RECEIVE_S)) as found:
        yield found


@pytest.fixture
async def wire(service: Service) -> AsyncIterator[Client]:
    async with connected(service.port) as found:
        yield found
