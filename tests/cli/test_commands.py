"""Commands as people and scripts use them: a whole life, refusals, bodies, pages, pipes and terminals."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from identity.cli import app
from identity.cli.hints import STEPS, TAKEN
from identity.settings import Settings
from tests.cli.shell import Shell, shell_for
from tests.conftest import Api, settings_for, unique
from tests.server import execute, new_database

KEY = re.compile(r"isk_live_\w{72}")


@pytest.fixture(scope="module")
def shell(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return shell_for(settings, tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="module")
def tenant(shell: Shell) -> str:
    id = unique("cli")
    shell.answer("tenants", "create", "--id", id, "--name", "Acme")
    shell.answer("apps", "create", id, "--id", "shop", "--name", "Shop", "--type", "web")
    return id


def test_a_whole_life_from_create_to_purge(shell: Shell) -> None:
    id = unique("life")
    say = shell.answer
    assert KEY.fullmatch(say("tenants", "create", "--id", id, "--name", "Life", "--admin-key")["admin_key"]["key"])
    say("tenants", "suspend", id)
    assert say("tenants", "activate", id)["status"] == "active"
    say("apps", "put", id, "shop", "--name", "Shop", "--type", "web")
    say("apps", "disable", id, "shop")
    assert say("apps", "enable", id, "shop")["status"] == "active"
    say("branches", "create", id, "shop", "--id", "mad", "--code", "MAD", "--name", "Madrid", "--type", "store")
    say("users", "create", id, "--id", "ana", "--username", "ana")
    say("users", "lock", id, "ana")
    assert say("users", "unlock", id, "ana")["status"] == "active"
    say("access", "grant", id, "shop", "ana")
    assert [each["app_id"] for each in say("access", "apps", id, "ana")["items"]] == ["shop"]
    key = say("keys", "issue", id, "shop", "--name", "till-7", "--user-id", "ana", "--branch-id", "mad")
    assert say("keys", "rotate", id, "shop", key["id"])["rotated_from"] == key["id"]
    assert say("keys", "get", id, "shop", key["id"])["revoke_reason"] == "rotated"
    assert say("access", "revoke", id, "shop", "ana")["status"] == "revoked"
    for words in (
        ("branches", id, "shop", "mad"),
        ("users", id, "ana"),
        ("apps", id, "shop"),
        ("tenants", id),
    ):
        noun, ids = words[0], words[1:]
        assert say(noun, "delete", *ids)["deleted_at"]
        assert say(noun, "restore", *ids)["deleted_at"] is None
        say(noun, "delete", *ids)
        assert "(purge_too_early)\n" in shell(noun, "purge", *ids, "--yes").refusal
        done = shell(noun, "purge", *ids, "--yes", "--json", "--now")
        assert done.json == {}
        assert f"({noun.removesuffix('s').removesuffix('e')}" in shell(noun, "get", *ids).refusal


REFUSED = {
    "tenants get nowhere": ("No such tenant.", "tenant_not_found"),
    "apps get T nothing": ("No such app.", "app_not_found"),
    "branches get T shop nothing": ("No such branch.", "branch_not_found"),
    "users get T nobody": ("No such user.", "user_not_found"),
    "keys get T shop nothing": ("No such key.", "key_not_found"),
    "access get T shop nobody": ("", "_not_found"),
    "apps create T --id shop --name Other --type web": ("App taken.", "app_taken"),
    "apps create T --id other --name Shop --type web": ("App name taken.", "app_name_taken"),
    "apps delete T identity": ("Protected.", "protected"),
    "keys issue T shop --type restricted": ("", "restricted"),
    "users create T --username x --email nonsense": ("", "invalid_request"),
    "apps update T shop --unset name": ("", "invalid_request"),
    "apps update T shop --unset nothing": ("", "invalid_request"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_refusal_is_the_problems_sentence_and_code(words: str, shell: Shell, tenant: str) -> None:
    told = REFUSED[words]
    refusal = shell(*words.replace("T", tenant, 1).split()).refusal
    first = refusal.splitlines()[0]
    assert first.startswith(f"identity: {told[0]}")
    assert re.search(rf"\(\w*{told[1]}\w*\)$", first)


def test_a_refusal_names_the_field_and_the_next_step(shell: Shell, tenant: str) -> None:
    refused = shell("users", "create", tenant, "--username", "x", "--email", "nonsense").refusal
    assert "\n  email: " in refused
    assert shell("users", "get", tenant, "nobody").refusal.endswith(f"  {STEPS['user_not_found']}\n")
    shell.answer("users", "create", tenant, "--id", "twice", "--username", "twice")
    assert shell("users", "create", tenant, "--id", "twice", "--username", "2").refusal.endswith(f"  {TAKEN}\n")


@pytest.mark.parametrize("step", [*STEPS.values(), TAKEN])
def test_a_next_step_names_a_command_and_an_option_that_there_are(step: str) -> None:
    for noun, verb, rest in re.findall(r"identity (\w+)(?: (\w+))?(.*)", step):
        command = typer.main.get_command(app).commands[noun]  # type: ignore[attr-defined]
        known = command.commands[verb] if verb else command
        assert set(re.findall(r"--\w+", rest)) <= {option for each in known.params for option in each.opts}
    if step is TAKEN:
        for noun in ("tenants", "apps", "branches", "users"):
            lists = typer.main.get_command(app).commands[noun].commands["list"]  # type: ignore[attr-defined]
            assert "--deleted" in {option for each in lists.params for option in each.opts}


@pytest.mark.parametrize(
    "words",
    [
        "users",
        "users nothing T",
        "users list",
        "users list T more and more",
        "users list T --limit 0",
        "users list T --limit many",
        "users list T --status odd",
        "users create T",
        "users create T --metadata {",
        'users create T --metadata {"a":1,"a":2}',
        'users create T --metadata {"a":NaN}',
        "users create T --username",
        "users create T --unknown-to-nobody x",
        "keys rotate T shop x --grace-s soon",
        "verify --scope !!",
    ],
)
def test_wrong_usage_is_exit_code_2(words: str, shell: Shell, tenant: str) -> None:
    done = shell(*[tenant if word == "T" else word for word in words.split()])
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr


def test_json_nested_without_end_is_wrong_usage_too(shell: Shell, tenant: str) -> None:
    done = shell("users", "create", tenant, "--username", "x", "--metadata", "[" * 100_000)
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize("words", ["users get T X", "users list T --username X", "users create T --username X"])
def test_bytes_that_are_no_text_are_wrong_usage(words: str, shell: Shell, tenant: str) -> None:
    """As the shell hands them over: Python makes lone surrogates of them."""
    done = shell(*words.replace("T", tenant).replace("X", os.fsdecode(b"ana\xff")).split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith("argument is not UTF-8.\n")


def test_behind_the_migrations_is_exit_code_3(shell: Shell) -> None:
    with new_database(empty=True) as database:
        for words in (["tenants", "list"], ["verify"]):
            done = shell(*words, typed="x", database_url=database.service_url)
            assert (done.exit_code, done.stdout) == (3, "")
            assert done.stderr.startswith("identity: ")
            assert done.stderr.endswith("run `identity migrate apply`.\n")


def test_without_its_database_it_says_so(shell: Shell) -> None:
    refused = shell("tenants", "list", database_url="postgresql://nobody:hunter2@127.0.0.1:1/x").refusal
    assert "The database does not answer" in refused
    assert "hunter2" not in refused


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("{", "(invalid_json)"),
        (b"\xff\xfe", "(invalid_json)"),
        ('{"username": "x", "username": "y"}', "(invalid_json)"),
        ('{"username": "x\\u0000"}', "(invalid_request)"),
        ('{"username": "x", "nothing": 1}', "(invalid_request)"),
        ('{"username": 1}', "(invalid_request)"),
        ("[]", "must hold one JSON object"),
        ("", "(invalid_json)"),
    ],
)
def test_a_body_from_standard_input_is_judged_as_the_api_would(
    typed: str | bytes, code: str, shell: Shell, tenant: str
) -> None:
    assert code in shell("users", "create", tenant, "-", typed=typed).refusal


def test_a_file_that_cannot_be_read_is_named(shell: Shell, tenant: str, tmp_path: Path) -> None:
    for file in (tmp_path / "missing.json", tmp_path):
        assert f"The file {file} cannot be read" in shell("users", "create", tenant, str(file)).refusal


def test_the_keys_text_alone_is_standard_output(shell: Shell, tenant: str) -> None:
    for words in (
        ["keys", "issue", tenant, "shop", "--name", "till-7"],
        ["tenants", "create", "--id", unique(), "--name", "New", "--admin-key"],
    ):
        done = shell(*words)
        assert KEY.fullmatch(done.stdout.strip())
        assert done.stdout.strip() not in done.stderr
        assert "shown this once" in done.stderr


def test_the_way_back_when_the_platforms_key_is_lost(shell: Shell, platform: Api) -> None:
    issued = shell("keys", "issue", "platform", "identity", "--scope", "*")
    told = json.loads(shell("verify", "--json", typed=issued.stdout).stdout)
    assert (told["code"], told["tenant_id"], told["app_id"], told["scopes"]) == ("valid", "platform", "identity", ["*"])


SEEN = """
CREATE TABLE public.seen (actor text);
CREATE FUNCTION public.see() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.seen VALUES (current_setting('identity.actor')); RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT ON identity.users FOR EACH ROW EXECUTE FUNCTION public.see();
"""


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Shell, str]]:
    """A database that writes down who acts."""
    with new_database() as database:
        execute(database.admin_url, SEEN)
        yield shell_for(settings_for(database), tmp_path), database.admin_url


def test_the_database_is_told_who_acts(watched: tuple[Shell, str]) -> None:
    shell, url = watched
    shell.answer("tenants", "create", "--id", "acme", "--name", "Acme")
    shell.answer("users", "create", "acme", "--username", "ana")
    assert execute(url, "SELECT actor FROM public.seen") == [(f"cli:{getpass.getuser()}",)]
