"""The service as a newcomer runs it: `identity serve` as a process, on an embedded database of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
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
    process: subprocess.Popen[str]
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
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "identity", "serve", "--demo", "--port", str(port), *options],
        env=os.environ | {"IDENTITY_DATA_DIR": str(directory), "PYTHONUNBUFFERED": "1"},
        cwd="/",
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Service(f"http://127.0.0.1:{port}", directory, process, _banner(process))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=START_S)
        if data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)


def _banner(process: subprocess.Popen[str]) -> str:
    """What it prints until it is ready."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Stop it with"):
            return "".join(lines)
    raise AssertionError(f"it ended instead: {''.join(lines)}")
