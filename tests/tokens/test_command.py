"""`identity signing-keys` lists the keys that sign, and makes the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity.settings import Settings
from identity.stores import open_stores
from identity.tokens import KeyRing, Tokens
from tests.cli.shell import Shell, shell_for
from tests.conftest import settings_for
from tests.server import Database, new_database


@pytest.fixture(scope="module")
def installation() -> Iterator[Database]:
    with new_database() as found:
        yield found


async def sign_one(settings: Settings) -> str:
    """The private part of the key that it was signed with, as it lies in the database."""
    async with open_stores(settings) as stores:
        tokens = Tokens(KeyRing(stores.signing_keys, settings.secret_keys), settings.base)
        await tokens.sign("acme", "shop", "ana", scopes=(), lifetime_s=60)
        [key] = await stores.signing_keys.list()
        return key.private_key.hex()


def test_keys_are_listed_rotated_and_replaced(installation: Database, tmp_path: Path) -> None:
    settings = settings_for(installation)
    shell: Shell = shell_for(settings, tmp_path)
    assert "none" in shell("signing-keys", "list").stderr
    private = asyncio.run(sign_one(settings))
    following = shell.answer("signing-keys", "rotate")
    listed = shell.answer("signing-keys", "list")
    assert [(key["status"], key["id"] == following["id"]) for key in listed["items"]] == [
        ("next", True),
        ("signs", False),
    ]
    assert "signs" in shell("signing-keys", "list").stdout
    assert "private_key" not in str(listed)
    assert private not in str(listed)
    assert shell("signing-keys", "rotate", "--now", typed="n\n").exit_code == 1
    replaced = shell.answer("signing-keys", "rotate", "--now", "--yes")
    assert [(key["id"], key["status"]) for key in shell.answer("signing-keys", "list")["items"]] == [
        (replaced["id"], "signs")
    ]
