"""The embedded PostgreSQL lives and dies with the service, and what it holds outlives both."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from identity.embedded.place import VAR_LIB
from tests.conftest import unique
from tests.operation.command import identity, is_one_sentence, started
from tests.operation.http import get, status
from tests.operation.processes import none_left, postmaster
from tests.running import Service, free_port, running


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """Kept from start to start; each test leaves it stopped."""
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


def port_of(service: Service) -> int:
    return int(service.url.rsplit(":", 1)[1])


def make_tenant(service: Service) -> str:
    id = unique()
    headers = {"Authorization": f"Bearer {service.platform_key}"}
    made = httpx2.post(f"{service.url}/v1/tenants", headers=headers, json={"id": id, "name": "Kept"})
    assert made.status_code == 201, made.text
    return id


def test_however_it_ends_nothing_is_left_running_and_all_data_stays(data_dir: Path) -> None:
    made, keys = list[str](), set[str]()
    for number, workers, code in [(signal.SIGINT, 1, 0), (signal.SIGKILL, 2, -9), (signal.SIGTERM, 2, 0)]:
        with running("--workers", str(workers), data_dir=data_dir) as service:
            keys.add(service.platform_key)
            for id in made:
                assert get(port_of(service), f"/v1/tenants/{id}", service.platform_key).status_code == 200
            made.append(make_tenant(service))
            service.process.send_signal(number)
            assert service.process.wait(20) == code
            assert none_left(data_dir, port_of(service))
    assert len(keys) == 1


def test_when_postgres_is_killed_the_service_ends_and_says_so(
    data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(data_dir=data_dir) as service:
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert service.process.wait(10) == 1
    assert none_left(data_dir, port_of(service))
    said = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(said) == 1
    assert said[0].startswith("identity: PostgreSQL ended by itself")


@pytest.mark.parametrize("at", ["postgres/data/postmaster.pid", "admin_key"])
def test_a_start_that_is_interrupted_leaves_nothing_running(at: str) -> None:
    with tempfile.TemporaryDirectory(prefix="idt-", dir="/tmp") as name:
        directory, port = Path(name), free_port()
        with started("serve", "--port", str(port), data_dir=name) as process:
            until_s = time.monotonic() + 20
            while not (directory / at).exists():
                assert time.monotonic() < until_s
                time.sleep(0.005)
            assert status(port) != 200, "the key is there before it is ready"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert none_left(directory, port)


def test_a_command_without_a_service_starts_the_server_for_its_own_length(data_dir: Path) -> None:
    issued = identity("keys", "issue", "platform", "identity", "--scope", "*", data_dir=str(data_dir))
    assert issued.returncode == 0, issued.stderr
    assert none_left(data_dir, 0, within_s=0.5)
    with running(data_dir=data_dir) as service:
        assert get(port_of(service), "/v1/tenants", issued.stdout.strip()).status_code == 200


def test_reset_asks_before_it_throws_away() -> None:
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    assert identity("migrate", "status", data_dir=str(directory)).returncode == 3
    asked = identity("reset", typed="n\n", data_dir=str(directory))
    assert asked.returncode == 1
    assert str(directory) in asked.stdout
    assert (directory / "postgres" / "data").is_dir()
    assert identity("reset", "--yes", data_dir=str(directory)).returncode == 0
    assert not directory.exists()


def modes(path: Path) -> list[tuple[Path, int, int]]:
    return [(each, each.stat().st_mode, each.stat().st_uid) for each in path.parents]


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Path]:
    """A data directory that nobody but its owner can reach."""
    tmp_path.chmod(0o700)
    yield tmp_path / "data"
    identity("reset", "--yes", data_dir=str(tmp_path / "data"))
    with suppress(OSError):
        VAR_LIB.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_as_root_below_a_private_directory_the_cluster_lies_apart(private: Path) -> None:
    before = modes(private)
    with running(data_dir=private) as service:
        (cluster,) = [path for path in VAR_LIB.iterdir() if str(path) in service.banner]
        assert str(private) in service.banner
        assert cluster.stat().st_mode & 0o777 == 0o700
        assert cluster.owner() in ("postgres", "nobody")
        assert modes(private) == before
        assert (private / "admin_key").stat().st_mode & 0o777 == 0o600
    assert identity("reset", "--yes", data_dir=str(private)).returncode == 0
    assert not cluster.exists()


def test_a_cluster_that_does_not_start_is_one_sentence() -> None:
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    broken = directory / "postgres" / "data"
    broken.mkdir(parents=True)
    (broken / "PG_VERSION").write_text("9.6\n")
    refused = identity("migrate", "status", data_dir=str(directory))
    shutil.rmtree(directory)
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr), refused.stderr
    assert "PostgreSQL did not start" in refused.stderr
