"""Keys that move in from a terminal, by a file of their hashes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from identity.settings import Settings
from tests.cli.shell import Shell, shell_for
from tests.conftest import Organisation


@pytest.fixture
def shell(settings: Settings, tmp_path: Path) -> Shell:
    return shell_for(settings, tmp_path)


def key(text: str, **more: Any) -> dict[str, Any]:
    return {"name": "till", "hash": sha256(text.encode()).hexdigest(), "algorithm": "sha256-hex", **more}


def test_a_file_of_hashes_moves_in_and_its_keys_are_good(shell: Shell, org: Organisation) -> None:
    texts = [token_hex(20) for _ in range(3)]
    body = {"keys": [*(key(text) for text in texts), key("x", type="nonsense")]}
    (shell.directory / "keys.json").write_text(json.dumps(body))
    tried = shell("keys", "import", org.id, "shop", "--dry-run", "--json", "keys.json").json["items"]
    assert [item["status"] for item in tried] == ["created"] * 3 + ["invalid"]
    assert shell("verify", "--tenant-id", org.id, typed=texts[0]).exit_code == 1
    shown = shell("keys", "import", org.id, "shop", "keys.json")
    assert shown.exit_code == 0
    assert [line.split()[1] for line in shown.stdout.splitlines()[1:]] == ["created"] * 3 + ["invalid"]
    assert "invalid_request" in shown.stdout
    for text in texts:
        assert shell("verify", "--tenant-id", org.id, typed=text).exit_code == 0
        assert shell("verify", typed=text).exit_code == 1
    listed = shell("keys", "list", org.id, "shop", "--json").json["items"]
    assert sum(each["algorithm"] == "sha256" for each in listed) == 3


def test_a_key_of_ours_must_be_of_the_tenant_that_is_named(
    shell: Shell, org: Organisation, other_org: Organisation
) -> None:
    assert shell("verify", "--tenant-id", org.id, typed=org.key.key).exit_code == 0
    told = shell("verify", "--tenant-id", other_org.id, "--json", typed=org.key.key)
    assert (told.exit_code, json.loads(told.stdout)["code"]) == (1, "not_found")


def test_what_cannot_be_an_import_is_refused(shell: Shell, org: Organisation) -> None:
    assert "protected" in shell("keys", "import", org.id, "identity", "--keys", json.dumps([key("x")])).refusal
    assert "(invalid_request)" in shell("keys", "import", org.id, "shop", "--keys", "[]").refusal
    assert shell("keys", "import", org.id, "shop").exit_code == 2
