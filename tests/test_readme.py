"""The README is true: its commands run, and its tables name what there is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from identity.api import ROUTES
from identity.settings import Settings
from identity.stores import Stores
from tests.running import Service, running

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ACTIONS = re.compile(r"/(suspend|activate|lock|unlock|disable|enable|restore|purge|rotate|revoke)$")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if not line.startswith("| ---")][
        1:
    ]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as found:
        yield found


def run(service: Service, script: str) -> str:
    script = script.replace("http://127.0.0.1:8080", service.url).replace(".identity/", f"{service.data_dir}/")
    env = os.environ | {"IDENTITY_DATA_DIR": str(service.data_dir)}
    if not (activate := service.data_dir / ".venv").exists():
        activate.symlink_to(sys.prefix)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=service.data_dir,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_commands_provision_and_verify(service: Service) -> None:
    said = run(service, "\n".join(re.findall(r"```bash\n(.*?)```", section("Provision and verify"), re.DOTALL)))
    assert said.count('"valid":true,"code":"valid"') == 1
    assert said.count('"valid":false,"code":"revoked"') == 1
    assert "problem" not in said


def test_its_tokens_are_good(service: Service) -> None:
    blocks = [*re.findall(r"```bash\n(.*?)```", section("Provision and verify"), re.DOTALL)[:2]]
    blocks += re.findall(r"```bash\n(.*?)```", section("Tokens"), re.DOTALL)
    said = run(service, "\n".join(blocks).replace("globex", "initrode"))
    told = json.loads(said[said.rindex('{"active') :])
    assert (told["active"], told["scope"], told["client_id"]) == (True, "orders:read", "initrode/shop")


def test_its_people_sign_in_and_out(service: Service) -> None:
    blocks = [*re.findall(r"```bash\n(.*?)```", section("Provision and verify"), re.DOTALL)[:2]]
    blocks += re.findall(r"```bash\n(.*?)```", section("People"), re.DOTALL)
    said = run(service, "\n".join(blocks).replace("globex", "piper"))
    in_then_out = said[said.rindex('{"active":true') :]
    shown = re.findall(r"```json\n(.*?)```", section("People"), re.DOTALL)[0].replace("globex", "piper")
    begins, revoked, ends = shown.strip().splitlines()
    assert in_then_out.startswith(begins.removesuffix(" …}").rstrip(", "))
    assert in_then_out.endswith(revoked + ends)
    assert "problem" not in said


def test_its_guest_is_invited(service: Service) -> None:
    blocks = [*re.findall(r"```bash\n(.*?)```", section("Provision and verify"), re.DOTALL)[:2]]
    blocks += re.findall(r"```bash\n(.*?)```", section("Invitations"), re.DOTALL)
    said = run(service, "\n".join(blocks).replace("globex", "vandelay"))
    assert '"username":"ben"' in said
    assert "problem" not in said


def test_its_command_line_says_what_it_shows(service: Service) -> None:
    commands, tree = re.findall(r"```(?:bash)?\n(.*?)```", section("The command line"), re.DOTALL)
    said = run(service, commands)
    id = re.findall(r"key (\w{22}): till-7", said)[0]
    assert re.sub(r"key \w{22}", f"key {id}", tree) in said
    assert "exit code 1" in said
    assert [user["id"] for user in json.loads(said.splitlines()[-1])["items"]] != ["peter"]


def test_its_spreadsheet_moves_in(service: Service) -> None:
    [commands] = re.findall(r"```bash\n(.*?)```", section("Move in from a spreadsheet"), re.DOTALL)
    run(service, "source .venv/bin/activate\n" + commands)
    moved = [json.loads(line) for line in (service.data_dir / "people.jsonl").read_text().splitlines()]
    found = {user["username"]: (user["email"], user["full_name"], user["metadata"]) for user in moved}
    assert found == {
        "ana": ("ana@example.com", "Ana García", {"department": "Sales"}),
        "ben": (None, "Ben Okafor", {"department": "Finance"}),
    }


def test_its_keys_move_in(service: Service) -> None:
    [commands] = re.findall(r"```bash\n(.*?)```", section("Move in from another system of keys"), re.DOTALL)
    said = run(
        service, "source .venv/bin/activate\nidentity tenants create --id hooli --name Hooli || true\n" + commands
    )
    assert "created" in said
    assert re.search(r"^valid$", said, re.MULTILINE)


def test_its_copy_is_written(service: Service) -> None:
    [commands] = re.findall(r"```bash\n(.*?)```", section("Move to another installation"), re.DOTALL)
    made = "source .venv/bin/activate\nidentity tenants create --id hooli2 --name Hooli > /dev/null\n"
    run(service, made + commands.replace("hooli", "hooli2") + "head -n -1 hooli2.jsonl | sha256sum > sum\n")
    copy = [json.loads(line) for line in (service.data_dir / "hooli2.jsonl").read_text().splitlines()]
    assert (service.data_dir / "sum").read_text().split()[0] == copy[-1]["end"]["sha256"]


def test_what_it_says_that_make_run_prints_is_what_it_prints(service: Service) -> None:
    shown = re.findall(r"```console\n\$ make run\n(.*?)```", section("Start"), re.DOTALL)[0]
    shown = shown.replace("http://127.0.0.1:8080", service.url).replace(
        "/home/you/identity/.identity", str(service.data_dir)
    )
    assert shown.replace(".identity/", f"{service.data_dir}/").strip() == service.banner.strip()
    assert len(service.banner.splitlines()) <= 15


def test_its_routes_are_the_routes() -> None:
    named = set()
    for path, methods in rows("Routes"):
        path = re.sub(r"^T\b", "/v1/tenants/{tenant_id}", path.strip("`"))
        plain = methods.split("`")[0]
        named |= {
            (method, path) for method in re.findall(r"[A-Z]+", plain.removesuffix("POST ") if "`" in methods else plain)
        }
        named |= {("POST", f"{path}/{action}") for action in re.findall(r"`(\w+)`", methods)}
    assert named == {(route.method, route.path) for route in ROUTES}


def test_its_settings_are_the_settings() -> None:
    named = {name for cells in rows("Settings") for name in re.findall(r"`IDENTITY_(\w+)`", cells[0])}
    assert named == {name.upper() for name in Settings.model_fields}


def test_its_dependencies_are_the_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[\[><=; ]", each)[0] for each in wanted}
    named = {
        name for cells in rows("What we stand on") for name in re.findall(r"[a-z][a-z0-9-]+", cells[0].split(" (")[0])
    }
    assert names <= named


def test_its_start_up_errors_are_in_the_program() -> None:
    source = "".join(file.read_text() for file in (ROOT / "identity").rglob("*.py"))
    flat = re.sub(r'"\s*\n\s*f?"', "", source)
    for cells in rows("When it does not start"):
        for words in re.findall(r"`([^`]+)`", cells[0]):
            for part in filter(None, (part.strip() for part in words.split("…"))):
                assert part in flat, part


def test_its_verbs_are_the_stores_verbs(stores: Stores) -> None:
    for cells in rows("From Python"):
        names = re.findall(r"`(\w+)`", cells[0])
        for group in re.findall(r"`([^`]+)`(?: \(([^)]*)\))?", cells[1]):
            of = [name.strip() for name in group[1].split(",")] if group[1] else names
            for name in of:
                missing = [verb for verb in group[0].split() if not hasattr(getattr(stores, name), verb)]
                assert not missing, (name, missing)


def test_its_codes_are_the_codes_in_their_order() -> None:
    import identity.verify

    codes = section("Provision and verify").split("in the order in which they are judged:")[1]
    named = re.findall(r"`(\w+)`", codes.split(" A key without")[0])
    judged = re.findall(r"THEN '(\w+)'", identity.verify.LIVE)
    assert named[2 : 2 + len(judged)] == judged
    assert named[:2] == ["malformed", "not_found"]
    assert named[-1] == "valid"
