"""What scanners are told of our keys is true of every key that is issued."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any, get_args

import pytest

from identity.app_keys import Environment, NewAppKey, Type
from identity.apps import NewApp
from tests.cli.shell import Shell
from tests.conftest import Organisation


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Without a database: nothing of it is asked."""
    return Shell(tmp_path, {"database_url": "postgresql://nowhere.example.com:1/none"})


def has_its_checksum(text: str, rule: dict[str, Any]) -> bool:
    """By what is printed alone."""
    assert (rule["algorithm"], rule["of"]) == ("crc32", "all characters before it")
    body, last = text[: -rule["characters"]], text[-rule["characters"] :]
    value = 0
    for character in last:
        value = value * len(rule["alphabet"]) + rule["alphabet"].index(character)
    return value == zlib.crc32(body.encode())


async def keys_of_every_kind(org: Organisation) -> list[str]:
    await org.stores.apps.create(
        org.id, NewApp.model_validate({"id": "own", "name": "Own", "type": "api", "settings": {"key_prefix": "till9"}})
    )
    found = []
    for app_id in ("shop", "own"):
        for type in get_args(Type):
            for environment in get_args(Environment):
                new = NewAppKey(name="k", type=type, environment=environment, scopes=("orders:read",))
                found.append((await org.stores.app_keys.issue(org.id, app_id, new)).key)
    return found


async def test_the_expression_and_the_rule_hold_for_every_key(shell: Shell, org: Organisation) -> None:
    told = shell("keys", "pattern", "--json").json
    keys = [org.key.key, org.admin_key.key, *(await keys_of_every_kind(org))]
    page = "\n".join(f'TILL_{n} = "{key}"; // {key}.' for n, key in enumerate(keys))
    found = [match[0] for match in re.finditer(told["pattern"], page)]
    assert found == [key for key in keys for _ in range(2)]
    assert all(has_its_checksum(key, told["checksum"]) for key in keys)
    assert {key.split("_")[0] for key in keys} == {*told["prefixes"], "till9"}


async def test_what_only_looks_like_a_key_is_told_by_its_checksum(shell: Shell, org: Organisation) -> None:
    told = shell("keys", "pattern", "--json").json
    other = org.key.key[:-1] + ("A" if org.key.key[-1] != "A" else "B")
    assert re.fullmatch(told["pattern"], other)
    assert not has_its_checksum(other, told["checksum"])
    assert not re.search(told["pattern"], org.key.key + "A")


def test_people_read_the_same(shell: Shell) -> None:
    expression, rule = shell("keys", "pattern").stdout.splitlines()
    told = shell("keys", "pattern", "--json").json
    assert (expression, rule) == (told["pattern"], told["checksum"]["rule"])
