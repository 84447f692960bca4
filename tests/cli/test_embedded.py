"""The command line on the embedded database: it joins a server that runs, and starts one for its own length else."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.cli.terminal import terminal
from tests.operation.http import get
from tests.operation.processes import none_left, of
from tests.running import Service, running


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def shell(data_dir: Path, tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"data_dir": str(data_dir)})


def port_of(service: Service) -> int:
    return int(service.url.rsplit(":", 1)[1])


def test_without_a_server_it_starts_one_for_its_own_length(shell: Shell, data_dir: Path) -> None:
    assert shell.answer("tenants", "create", "--id", "first", "--name", "First")["id"] == "first"
    assert none_left(data_dir, 0)
    assert [tenant["id"] for tenant in shell.answer("tenants", "list")["items"]] == ["first", "platform"]


def test_it_stops_that_one_also_when_it_is_refused(shell: Shell, data_dir: Path) -> None:
    assert "(tenant_not_found)" in shell("users", "list", "nowhere").refusal
    assert none_left(data_dir, 0)


def test_ctrl_c_stops_that_one_too(data_dir: Path, tmp_path: Path) -> None:
    with terminal("tenants", "list", cwd=tmp_path, variables={"data_dir": str(data_dir)}) as shown:
        while len(of(data_dir, 0)) < 2:  # itself, and then the server
            assert shown.process.poll() is None
            time.sleep(0.02)
        shown.press_ctrl_c()
        assert shown.end() == 130
    assert "Traceback" not in shown.screen
    assert none_left(data_dir, 0)


def test_beside_a_service_it_joins_its_server(shell: Shell, data_dir: Path) -> None:
    with running(data_dir=data_dir) as service:
        made = shell.answer("users", "create", "acme", "--id", "eva", "--username", "eva")
        answer = get(port_of(service), "/v1/tenants/acme/users/eva", service.platform_key)
        assert answer.json() == made
        issued = shell("keys", "issue", "platform", "identity", "--scope", "*")
        assert get(port_of(service), "/v1/tenants", issued.stdout.strip()).status_code == 200
        assert get(port_of(service), "/readyz").status_code == 200
        assert service.process.poll() is None
    assert none_left(data_dir, port_of(service))
