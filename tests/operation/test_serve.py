"""`identity serve` beside other commands: what it prints, what joins it, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operation.command import identity, is_one_sentence
from tests.operation.http import get
from tests.running import Service, free_port, running


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as found:
        yield found


def port_of(service: Service) -> int:
    return int(service.url.rsplit(":", 1)[1])


def test_it_prints_lines_of_curl_that_work_as_they_stand(service: Service) -> None:
    assert len(service.banner.splitlines()) <= 15
    commands = re.findall(r"^ *curl (?:.*\\\n)*.*$", service.banner, re.MULTILINE)
    assert len(commands) == 3
    answers = [
        subprocess.run(["bash", "-euc", each], capture_output=True, text=True, check=True, cwd="/").stdout
        for each in commands
    ]
    assert '"id":"acme"' in answers[0]
    assert '"code":"MAD"' in answers[1]
    assert '"valid":true,"code":"valid"' in answers[2]


@pytest.mark.parametrize("name", ["admin_key", "demo_key", "secret_key"])
def test_what_is_secret_only_its_owner_may_read(service: Service, name: str) -> None:
    assert (service.data_dir / name).stat().st_mode & 0o777 == 0o600


def test_a_second_start_on_the_same_data_is_refused(service: Service) -> None:
    refused = identity("serve", "--port", str(free_port()), data_dir=str(service.data_dir))
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr), refused.stderr
    assert "already running" in refused.stderr
    assert get(port_of(service), "/readyz").status_code == 200


def test_a_busy_port_is_refused_before_anything_is_made(service: Service, tmp_path: Path) -> None:
    refused = identity("serve", "--port", str(port_of(service)), data_dir=str(tmp_path / "new"))
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr), refused.stderr
    assert "--port" in refused.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("data_dir", ["file/below", "/proc/identity", "long" * 25])
def test_a_directory_that_cannot_be_used_is_refused(data_dir: str) -> None:
    with tempfile.TemporaryDirectory(prefix="idt-", dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        (Path(directory) / "file").touch()
        given = Path(directory) / data_dir
        refused = identity("serve", "--port", str(free_port()), data_dir=str(given))
        assert refused.returncode == 1
        assert is_one_sentence(refused.stderr), refused.stderr
        assert str(given) in refused.stderr
        assert "IDENTITY_DATA_DIR" in refused.stderr
        assert not given.exists()


def test_a_key_issued_beside_it_works_at_once(service: Service) -> None:
    issued = identity("keys", "issue", "platform", "identity", "--scope", "*", data_dir=str(service.data_dir))
    assert issued.returncode == 0, issued.stderr
    assert get(port_of(service), "/v1/tenants", issued.stdout.strip()).status_code == 200


def test_a_key_for_nobody_is_one_sentence(service: Service) -> None:
    refused = identity("keys", "issue", "nobody", "identity", data_dir=str(service.data_dir))
    assert refused.returncode == 1
    assert refused.stderr.startswith("identity: No such tenant. (tenant_not_found)\n")
    assert refused.stdout == ""


def test_reset_is_refused_beside_it(service: Service) -> None:
    refused = identity("reset", "--yes", data_dir=str(service.data_dir))
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr), refused.stderr
    assert get(port_of(service), "/v1/tenants/acme", service.platform_key).status_code == 200


def test_no_secret_stands_in_a_command_line(service: Service) -> None:
    secrets = [(service.data_dir / name).read_text().strip() for name in ("admin_key", "secret_key")]
    family = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(port_of(service)) in family
    assert not any(secret in family for secret in secrets)
