"""identity init on the embedded database, in a terminal and unattended."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.place import KEY
from tests.cli.shell import Shell
from tests.cli.terminal import terminal
from tests.operation.command import started
from tests.operation.http import get, wait_until_ready
from tests.operation.processes import none_left
from tests.running import free_port


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where an unprivileged server may lie."""
    found = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    found.chmod(0o711)
    yield found
    shutil.rmtree(found)


def test_three_answers_and_serve_runs(directory: Path) -> None:
    port = free_port()
    with terminal("init", cwd=directory) as shown:
        for question, text in (("1 or 2 [1]: ", ""), ("listen on [", str(port)), ("Go ahead? [Y/n]: ", "")):
            shown.wait_for(question)
            shown.type(text)
        assert shown.end() == 0
    (key,) = KEY.findall(shown.screen)
    env = directory / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    secret_key = (directory / ".identity" / "secret_key").read_text().strip()
    assert secret_key not in shown.screen + env.read_text()
    assert key not in env.read_text()
    assert none_left(directory, port)
    with started("serve", cwd=directory) as service:
        wait_until_ready(port, within_s=30)
        assert get(port, "/v1/tenants", key).status_code == 200
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0


def test_ctrl_c_while_it_is_made_leaves_no_file_and_no_server(directory: Path) -> None:
    port = str(free_port())
    with terminal("init", "--embedded", "--port", port, cwd=directory) as shown:
        shown.wait_for("Go ahead? [Y/n]: ")
        shown.type("y")
        while not list((directory / ".identity").glob("postgres/data/postmaster.pid")):
            assert shown.process.poll() is None
            time.sleep(0.02)
        shown.press_ctrl_c()
        assert shown.end() == 130
    assert "Traceback" not in shown.screen
    assert not (directory / ".env").exists()
    assert none_left(directory, 0)
    assert Shell(directory)("init", "--embedded", "--yes", "--port", port).exit_code == 0


def test_a_file_that_names_a_server_is_not_kept_for_the_embedded_one(directory: Path) -> None:
    env = directory / ".env"
    env.write_text("IDENTITY_DATABASE_URL='host=127.0.0.1 port=1'\n")
    words = ["init", "--embedded", "--yes", "--port", str(free_port())]
    assert "--overwrite" in Shell(directory)(*words, "--keep-env").refusal
    assert list(directory.iterdir()) == [env]


def test_where_no_file_can_be_written_it_says_so(directory: Path) -> None:
    (directory / ".env.unfinished").mkdir()
    done = Shell(directory)("init", "--embedded", "--yes", "--port", str(free_port()))
    assert done.exit_code == 1
    assert done.stderr == f"identity: The file {directory / '.env'} cannot be written (Is a directory).\n"


@pytest.mark.parametrize("raw", [b"IDENTITY_PORT='\xff'\n", None])
def test_a_file_that_is_no_text_is_named(raw: bytes | None, tmp_path: Path) -> None:
    if raw is None:
        (tmp_path / ".env").symlink_to("/proc/self/mem")
    else:
        (tmp_path / ".env").write_bytes(raw)
    for words in (["init", "--yes"], ["tenants", "list"]):
        assert "The file .env cannot be read" in Shell(tmp_path)(*words).refusal
