"""A database and the service as processes of ours, as an operator runs them; ended whichever way the run ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from identity import embedded
from identity.cli.start import prepare
from identity.settings import Settings
from tests.operation.http import status
from tests.running import free_port

ROOT = Path(__file__).parents[2]
START_S = 30.0
STOP_S = 15.0
SERVE = (sys.executable, "-m", "identity", "serve")


@dataclass(frozen=True)
class Database:
    """A PostgreSQL of its own, migrated, with the platform's key."""

    server: embedded.Server
    settings: Settings

    @property
    def admin_url(self) -> str:
        return self.server.url(embedded.SUPERUSER)

    @property
    def platform_key(self) -> str:
        return (self.settings.data_dir / "admin_key").read_text().strip()

    @property
    def environment(self) -> dict[str, str]:
        """What the service is told."""
        assert self.settings.secret_key is not None
        return {
            "IDENTITY_DATABASE_URL": self.settings.main_url,
            "IDENTITY_SECRET_KEY": self.settings.secret_key.get_secret_value(),
        }


@dataclass(frozen=True)
class Process:
    """One that listens on a port of this machine."""

    port: int
    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def stop(self) -> None:
        """It may be frozen, and then it hears nothing else."""
        with suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
        try:
            self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


@contextmanager
def directory() -> Iterator[Path]:
    """One that the user who runs PostgreSQL can reach, and nobody else can list."""
    made = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def database(data_dir: Path, flags: Mapping[str, str] = embedded.DURABLE) -> Iterator[Database]:
    """In a directory; what an earlier one left there is found again."""
    with embedded.server(data_dir, flags) as server:
        yield Database(server, prepare(Settings(_env_file=None, data_dir=data_dir), server))


@contextmanager
def serving(
    environment: Mapping[str, str], *options: str, command: Sequence[str] = SERVE, log: Path | None = None
) -> Iterator[Process]:
    """A service that is ready; the command is given its port."""
    port = free_port()
    with (log or Path(os.devnull)).open("ab") as said:
        popen = subprocess.Popen(
            [*command, "--port", str(port), *options],
            env=_bare() | dict(environment),
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
            preexec_fn=partial(embedded.signal_on_parents_death, signal.SIGTERM, os.getpid()),
        )
    process = Process(port, popen)
    try:
        _wait_until_ready(process)
        yield process
    finally:
        process.stop()


def _bare() -> dict[str, str]:
    """An operator's settings are not for these."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")}
    return others | {"PYTHONPATH": str(ROOT)}


def _wait_until_ready(process: Process) -> None:
    until_s = time.monotonic() + START_S
    while status(process.port) != 200:
        if process.popen.poll() is not None or time.monotonic() > until_s:
            raise RuntimeError("the service did not get ready: its log says why")
        time.sleep(0.05)
