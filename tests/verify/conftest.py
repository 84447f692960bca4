"""A server whose processes a test may stop, and a worker over it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from identity import embedded, migrate
from identity.cli.start import new_secret_key
from identity.settings import Settings
from identity.stores import Stores, open_stores
from identity.verify import Verifier, open_verifier
from tests.conftest import Organisation, make_organisation

LOGIN = "identity_service"


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.Server]:
    """One whose processes may be stopped."""
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    directory.chmod(0o711)
    with embedded.server(directory, embedded.THROW_AWAY) as place:
        migrate.apply(place.url(embedded.SUPERUSER))
        migrate.make_login(place.url(embedded.SUPERUSER), LOGIN, None)
        yield place
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def place(server: embedded.Server) -> Settings:
    url = SecretStr(server.url(LOGIN))
    return Settings(_env_file=None, database_url=url, secret_key=SecretStr(new_secret_key()))


@pytest.fixture(scope="module")
async def its_stores(place: Settings) -> AsyncIterator[Stores]:
    async with open_stores(place) as found:
        yield found


@pytest.fixture
async def worker(place: Settings) -> AsyncIterator[Verifier]:
    async with open_verifier(place) as found:
        yield found


@pytest.fixture
async def its(its_stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    return await make_organisation(its_stores, client)
