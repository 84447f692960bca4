"""Lists: pages, all there is, nothing at all, and filters."""

from __future__ import annotations

import asyncio

import pytest

from identity.api.reading import MAX_LIMIT
from identity.settings import Settings
from identity.stores import Stores
from identity.tenants import NewTenant
from identity.users import NewUser
from tests.cli.shell import Shell, shell_for
from tests.conftest import Api, unique


@pytest.fixture(scope="module")
def shell(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return shell_for(settings, tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="module")
def tenant(shell: Shell) -> str:
    id = unique("pages")
    shell.answer("tenants", "create", "--id", id, "--name", "Acme")
    shell.answer("apps", "create", id, "--id", "shop", "--name", "Shop", "--type", "web")
    return id


@pytest.fixture(scope="module")
async def crowd(stores: Stores) -> str:
    """A tenant with more users than a page may hold."""
    id = unique("crowd")
    await stores.tenants.create(NewTenant(id=id, name="Crowd"))
    await stores.users.create_many(id, [NewUser(id=f"u{n:04}", username=f"user {n:04}") for n in range(MAX_LIMIT + 3)])
    return id


def test_a_page_says_that_there_is_more_and_all_is_all(shell: Shell, crowd: str) -> None:
    shown = shell("users", "list", crowd)
    assert shown.stdout.count("\n") == 1 + 50
    assert "--limit for more, --all for all" in shown.stderr
    more = MAX_LIMIT + 1
    assert len(shell.answer("users", "list", crowd, "--limit", str(more))["items"]) == more
    everyone = shell.answer("users", "list", crowd, "--all")
    assert [user["id"] for user in everyone["items"]] == [f"u{n:04}" for n in range(MAX_LIMIT + 3)]
    assert everyone["next"] is None


async def test_next_is_a_cursor_of_the_api(shell: Shell, crowd: str, platform: Api) -> None:
    page = await asyncio.to_thread(shell.answer, "users", "list", crowd, "--limit", "2")
    rest = await platform.get(f"/v1/tenants/{crowd}/users", params={"cursor": page["next"], "limit": "2"})
    assert [user["id"] for user in rest.json()["items"]] == ["u0002", "u0003"]


def test_of_nothing_there_is_an_empty_list(shell: Shell, tenant: str) -> None:
    assert shell.answer("branches", "list", tenant, "shop") == {"items": [], "next": None}
    done = shell("branches", "list", tenant, "shop", "--all")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "There are none.\n")


def test_filters_narrow_a_list(shell: Shell, tenant: str) -> None:
    shell.answer("users", "create", tenant, "--id", "eva", "--username", "Eva")
    shell.answer("users", "suspend", tenant, "eva")
    for words in (["--username", "EVA"], ["--status", "suspended"]):
        assert [user["id"] for user in shell.answer("users", "list", tenant, *words)["items"]] == ["eva"]
    shell.answer("users", "delete", tenant, "eva")
    assert [user["id"] for user in shell.answer("users", "list", tenant, "--deleted")["items"]] == ["eva"]
    assert "eva" not in [user["id"] for user in shell.answer("users", "list", tenant)["items"]]


def test_a_list_is_asked_sorted_and_counted_by_options(shell: Shell, crowd: str) -> None:
    asked = ("--filter", 'username sw "USER 000" and not (id eq "u0003")', "--sort", "-username", "--count")
    found = shell.answer("users", "list", crowd, *asked, "--limit", "2")
    assert ([user["id"] for user in found["items"]], found["count"]) == (["u0009", "u0008"], 9)
    whole = shell.answer("users", "list", crowd, "--count", "--all")
    assert whole["count"] == len(whole["items"]) == MAX_LIMIT + 3
    assert "column 1" in shell("users", "list", crowd, "--filter", "nonsense pr").stderr
