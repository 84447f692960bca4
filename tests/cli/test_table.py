"""The route table is the command line: each route has its command, which takes and answers what the route does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from identity.api import ROUTES
from identity.api.routes import PUBLIC, Route
from identity.app_keys import AppKeyChanges
from identity.cli import app
from identity.settings import Settings
from identity.stores import Stores
from tests.api.samples import bodies, each, path_of
from tests.cli.shell import Done, Shell, shell_for
from tests.conftest import Api, Organisation, make_organisation

SHOWN = [
    route
    for route in ROUTES
    if route.path.startswith("/v1/tenants") and route.scope != PUBLIC and route.noun not in ("passwords", "acceptance")
]
"""But for passwords, and tokens that somebody was sent, which are no arguments."""
COMMANDS: dict[tuple[str, str], Any] = {
    (noun, verb): command
    for noun, group in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    for verb, command in getattr(group, "commands", {}).items()
    if noun not in ("migrate", "signing-keys")
}
MADE_ANEW = (
    "id",
    "ref",
    "tenant_id",
    "created_at",
    "updated_at",
    "granted_at",
    "key",
    "admin_key",
    "secret",
    "otpauth_uri",
    "token",
)


@pytest.fixture(scope="module")
def shell(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return shell_for(settings, tmp_path_factory.mktemp("shell"))


def command_of(route: Route) -> Any:
    return COMMANDS[route.noun, route.verb]


def named(route: Route, kind: str) -> list[str]:
    return [parameter.name for parameter in command_of(route).params if parameter.param_type_name == kind]


def fields(route: Route) -> set[str]:
    """What the body or the query may hold, but for what arguments say already."""
    model = route.takes or route.where
    in_path = {*named(route, "argument"), *(["id"] if route.method == "PUT" else [])}
    return set(model.model_fields) - in_path if model else set()


def test_each_route_has_its_command_and_each_command_its_route() -> None:
    of_files = {(noun, verb) for noun, verb in COMMANDS if verb in ("import", "export", "pattern", "set-password")}
    assert {(route.noun, route.verb) for route in SHOWN} - of_files == COMMANDS.keys() - of_files


def test_routes_of_one_command_are_told_apart_by_how_many_ids_are_given() -> None:
    assert len({(route.noun, route.verb, len(route.params)) for route in SHOWN}) == len(SHOWN)


@each(SHOWN)
def test_arguments_are_the_paths_ids_in_the_paths_order(route: Route) -> None:
    assert [name for name in named(route, "argument") if name != "body"][: len(route.params)] == route.params


@each(SHOWN)
def test_each_field_and_filter_has_its_option(route: Route) -> None:
    assert fields(route) <= set(named(route, "option"))


@each(SHOWN)
def test_the_help_says_what_it_does_and_what_each_option_is(route: Route, shell: Shell) -> None:
    done = shell(route.noun, route.verb, "--help")
    assert done.exit_code == 0
    assert all(f"--{name.strip('_').replace('_', '-').removesuffix('s')}" in done.stdout for name in fields(route))


@pytest.mark.parametrize("noun", sorted({noun for noun, _ in COMMANDS}))
def test_the_help_of_a_noun_names_its_verbs(noun: str, shell: Shell) -> None:
    done = shell(noun, "--help")
    assert all(f" {verb} " in done.stdout for each, verb in COMMANDS if each == noun)


def ids(route: Route, org: Organisation) -> list[str]:
    known = {"tenant_id": org.id, "app_id": "shop", "branch_id": "mad", "user_id": "ana", "key_id": org.key.id}
    known |= {"session_id": org.signed_in.session.session_id, "factor_id": org.factor_id}
    known |= {"invitation_id": org.invitation.id}
    return [known[name] for name in route.params]


async def call(shell: Shell, route: Route, org: Organisation, *more: str, typed: str = "") -> Done:
    if route.name == "top_up_key":
        changes = AppKeyChanges.model_validate({"credits": {"remaining": 7}})
        await org.stores.app_keys.update(org.id, "shop", org.key.id, changes)
    words = [route.noun, route.verb, *ids(route, org), *more, "--json"]
    return await asyncio.to_thread(shell, *words, typed=typed)


def body_of(route: Route, org: Organisation) -> dict[str, Any]:
    return {} if route.takes is None else bodies(org)[route.name]


async def told(route: Route, org: Organisation, platform: Api, record: dict[str, Any]) -> Any:
    """What the API says of the record that a command answered."""
    path = path_of(route, org)
    if route.action:
        path = path.rsplit("/", 1)[0]
    if route.makes:
        path = f"{path.rsplit('/', 1)[0] if route.action else path}/{record['id']}"
    if route.method == "DELETE" and route.noun in ("tenants", "apps", "branches", "users"):
        page = (await platform.get(path.rsplit("/", 1)[0], params={"deleted": "true", "limit": "500"})).json()
        return next(item for item in page["items"] if item["id"] == record["id"])
    return (await platform.get(path)).json()


LEAVES_NONE = ("delete_key", "end_session", "remove_factor")
RECORDS = [
    route for route in SHOWN if route.where is None and "updated_at" in getattr(route.answers, "model_fields", ())
]


@each([route for route in RECORDS if route.name not in (*LEAVES_NONE, "confirm_factor")])
async def test_it_answers_the_apis_own_record(route: Route, org: Organisation, shell: Shell, platform: Api) -> None:
    given = ("-",) if route.takes is not None else ()
    done = await call(shell, route, org, *given, typed=json.dumps(body_of(route, org)))
    record = done.json
    assert record.keys() >= {"created_at", "updated_at"}
    text, admin_key = record.pop("key", None), record.pop("admin_key", None)
    assert ("key" in route.answers.model_fields) == (text is not None)
    assert admin_key is None
    for once in ("secret", "otpauth_uri", "receipt", "token"):
        assert (once in route.answers.model_fields) == (record.pop(once, None) is not None)
    assert record == await told(route, org, platform, record)


@each([route for route in SHOWN if route.is_list])
async def test_its_list_is_the_apis_own(route: Route, org: Organisation, shell: Shell, platform: Api) -> None:
    done = await call(shell, route, org, "--limit", "3")
    page = (await platform.get(path_of(route, org), params={"limit": "3"})).json()
    assert page["items"]
    assert done.json == page


@each([route for route in SHOWN if route.takes is not None and route.name != "confirm_factor"])
async def test_options_say_the_same_as_a_file(
    route: Route, shell: Shell, stores: Stores, client: Any, tmp_path: Path
) -> None:
    org, other = [await make_organisation(stores, client) for _ in range(2)]
    file = tmp_path / "body.json"
    file.write_text(json.dumps(body_of(route, org)))
    by_file = await call(shell, route, org, str(file))
    by_options = await call(shell, route, other, *options(route, body_of(route, other)))
    assert of(by_options, org, other) == of(by_file, org, org)


def options(route: Route, body: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in body.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None:
            found += ["--unset", name] if route.method == "PATCH" else []
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            found += [word for item in value for word in (flag.removesuffix("s"), item)]
        elif value is not False:
            found += (
                [flag]
                if value is True
                else [flag, json.dumps(value) if isinstance(value, (dict, list)) else str(value)]
            )
    return found


def of(done: Done, org: Organisation, other: Organisation) -> dict[str, Any]:
    """The answer, as if it were the first organisation's."""
    if "items" in done.json:
        return {"statuses": [item["status"] for item in done.json["items"]]}
    text = json.dumps({name: value for name, value in done.json.items() if name not in MADE_ANEW})
    record: dict[str, Any] = json.loads(text.replace(other.id, org.id).replace(other.key.id, org.key.id))
    return {name: value for name, value in record.items() if not name.endswith("_at") or value is None}


async def test_what_is_gone_for_good_is_asked_for_first(org: Organisation, shell: Shell, platform: Api) -> None:
    words = ["keys", "delete", org.id, "shop", org.key.id]
    for typed in ("", "n\n", "\n", "yep\n"):
        refused = await asyncio.to_thread(shell, *words, typed=typed)
        assert f"Delete {org.id} shop {org.key.id} for good?" in refused.refusal
    path = f"{org.path}/apps/shop/keys/{org.key.id}"
    assert (await platform.get(path)).status_code == 200
    done = await asyncio.to_thread(shell, *words, typed="y\n")
    assert done.exit_code == 0
    assert (await platform.get(path)).status_code == 404


@each([route for route in SHOWN if route.verb == "purge"])
async def test_a_purge_is_asked_for_and_spares_what_lives(route: Route, org: Organisation, shell: Shell) -> None:
    assert "for good?" in (await call(shell, route, org)).refusal
    assert "(status_conflict)" in (await call(shell, route, org, "--yes")).refusal


def test_a_file_and_options_together_are_one_body_and_options_win(org: Organisation, shell: Shell) -> None:
    typed = json.dumps({"username": "from-file", "full_name": "From File"})
    made = shell.answer("users", "create", org.id, "-", "--username", "from-option", typed=typed)
    assert (made["username"], made["full_name"]) == ("from-option", "From File")
