"""The service as a newcomer runs it: `identity serve` as a process, on an embedded database of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 60


@dataclass(frozen=True)
class Service:
    """A running one: where it listens, where its data lies, and what it said when it started."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    banner: str

    @property
    def platform_key(self) -> str:
        return (self.data_dir / "admin_key").read_text().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(*options: str, data_dir: Path | None = None) -> Iterator[Service]:
    """With the demo organisation. A data directory that is given is kept."""
    directory = data_dir or Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    port, said = free_port(), directory.with_name(f"{directory.name}.out")
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "identity", "serve", "--demo", "--port", str(port), *options],
            env=os.environ | {"IDENTITY_DATA_DIR": str(directory), "PYTHONUNBUFFERED": "1"},
            cwd="/",
            stdout=out,
        )
    try:
        yield Service(f"http://127.0.0.1:{port}", directory, process, _banner(process, said))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_S)
        said.unlink()
        if data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)


def _banner(process: subprocess.Popen[bytes], said: Path) -> str:
    """What it prints until it is ready. (To a file: a pipe that nobody reads would fill with its log, and stop it.)"""
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        text = said.read_text()
        if "Stop it with" in text:
            return text[text.index("Identity listens") :].split("Ctrl-C.\n")[0] + "Ctrl-C.\n"
        time.sleep(0.05)
    raise AssertionError(f"it did not start: {said.read_text()}")
