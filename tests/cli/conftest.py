"""A file to import; a PostgreSQL as others manage it, and where `identity init` is run on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.managed import Managed, managed_server
from tests.cli.place import Place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


@pytest.fixture(scope="module")
def managed() -> Iterator[Managed]:
    with managed_server() as server:
        yield server


@pytest.fixture(scope="module")
def login(managed: Managed) -> str:
    """One for all: whoever makes the cluster's roles may grant them, and no other."""
    return managed.new_login()


@pytest.fixture
def place(managed: Managed, login: str, tmp_path: Path) -> Place:
    return Place(managed, login, tmp_path)
