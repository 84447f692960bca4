"""schemathesis, with all its checks and in all its phases, against the service as three kinds of callers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from identity import key_text
from identity.api import ROUTES, make_app
from identity.api.openapi.examples import EXAMPLES
from identity.api.whole import WholeProtocol
from identity.settings import Settings
from identity.stores import create_platform, open_stores
from tests.conftest import settings_for
from tests.server import new_database

MAX_EXAMPLES = int(os.environ.get("IDENTITY_FUZZ_EXAMPLES", "0"))
"""An operation; 0 is the short run."""
TIMEOUT_S = 4 * 3600 if MAX_EXAMPLES else 150
HERE = Path(__file__).parent
IDS = {"tenant_id": "acme", "app_id": "shop", "branch_id": "mad", "user_id": "ana"}
MADE_FIRST = ("create_a_tenant", "create_app", "create_branch", "create_user", "grant_access", "issue_key")
CONFIG = """
hooks = "{hooks}"
color = false
suppress-health-check = ["all"]
warnings = false

[auth.openapi.key]
bearer = "${{IDENTITY_FUZZ_KEY}}"

[generation]
allow-x00 = false
database = "none"

[phases.stateful]
max-steps = 12

[phases.stateful.inference]
algorithms = []

[[operations]]
include-operation-id = "import_keys"
checks.negative_data_rejection.enabled = false

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "400", "401", "403", "404", "409", "412", "422", "429"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429", "431"]
"""
"""NUL is refused everywhere, which no schema says shortly. 400 to what is valid by itself is judged by a check of our
own; of an import each row is judged by itself, and told with 200; If-Match and If-None-Match are
judged before the body."""


@dataclass(frozen=True)
class Target:
    """A running service with the organisation of the examples, and the keys of three kinds of callers."""

    url: str
    keys: dict[str, str]

    def call(self, caller: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.keys[caller]}"}
        return httpx2.request(method, self.url + path, headers=headers, **({"json": body} if body else {}))

    def spared(self, caller: str) -> dict[str, list[str]]:
        key = key_text.parse(self.keys[caller])
        assert key is not None
        return {"key_id": [key.id], "tenant_id": [] if caller == "platform" else ["acme"]}


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(settings), http=WholeProtocol, ws="none", lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield "http://{}:{}".format(*listening.getsockname())
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """Of its own for each run, which deletes what it can reach."""
    with new_database() as database:
        settings = settings_for(database)
        async with open_stores(settings) as stores:
            platform_key = await create_platform(stores)
        assert platform_key is not None
        with serving(settings) as url:
            found = Target(url, {"platform": platform_key.key})
            provision(found)
            yield found


def provision(target: Target) -> None:
    for name in MADE_FIRST:
        route = next(route for route in ROUTES if route.name == name)
        answer = target.call("platform", route.method, route.path.format(**IDS), EXAMPLES[name].request)
        assert answer.status_code == 201, answer.text
        if name == "create_a_tenant":
            target.keys["admin"] = answer.json()["admin_key"]["key"]
    new = {"name": "verifier", "scopes": ["keys:verify"]}
    target.keys["verifier"] = target.call("admin", "POST", "/v1/tenants/acme/apps/identity/keys", new).json()["key"]


def schemathesis(target: Target, caller: str, directory: Path, *options: str) -> str:
    """What it says; an AssertionError where it found something."""
    config = directory / "schemathesis.toml"
    config.write_text(CONFIG.format(hooks=HERE / "hooks.py"))
    spared = json.dumps(target.spared(caller))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{target.url}/openapi.json", "--checks", "all", "--continue-on-failure", *options),
        ],
        cwd=directory,
        env=os.environ | {"IDENTITY_FUZZ_KEY": target.keys[caller], "IDENTITY_FUZZ_SPARED": spared},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.call(caller, "GET", "/v1/keys/whoami").status_code == 200, "it ended in nothing but 401"
    return done.stdout


ALL_PHASES = "examples,coverage,fuzzing,stateful"
RUNS = [("platform", "stateful"), ("admin", "examples,fuzzing"), ("verifier", "examples,fuzzing")]
"""The short ones, which share the phases."""


@pytest.mark.parametrize(("caller", "phases"), RUNS)
def test_every_answer_is_as_the_document_says(caller: str, phases: str, target: Target, tmp_path: Path) -> None:
    phases = ALL_PHASES if MAX_EXAMPLES else phases
    schemathesis(target, caller, tmp_path, "--phases", phases, "--max-examples", str(MAX_EXAMPLES or 2))


def test_the_edges_of_what_is_taken_are_as_the_document_says(target: Target, tmp_path: Path) -> None:
    taking = [f"--include-operation-id={name}" for name in ("verify_key", "update_user")]
    schemathesis(target, "admin", tmp_path, "--phases", "coverage", *taking)
