"""`identity serve` as a process over a test's database; all that it says, on either stream, is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from identity.cli.start import new_secret_key
from tests.operation.http import wait_until_ready
from tests.running import free_port
from tests.server import Database

END_S = 20


@dataclass(frozen=True)
class Service:
    """A running one, and its output until now."""

    port: int
    secret_key: str
    said: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return self.said.read_text()


@contextmanager
def serving(database: Database, *, module: str = "identity", **variables: str) -> Iterator[Service]:
    """Variables are given in short: receive_timeout_s is IDENTITY_RECEIVE_TIMEOUT_S."""
    port, secret_key = free_port(), new_secret_key()
    given = {"database_url": database.service_url, "secret_key": secret_key, **variables}
    env = os.environ | {f"IDENTITY_{name.upper()}": value for name, value in given.items()}
    with tempfile.TemporaryDirectory(prefix="idt-", dir="/tmp") as directory:
        said = Path(directory) / "out"
        with said.open("wb") as out:
            command = [sys.executable, "-m", module, "serve", "--port", str(port)]
            process = subprocess.Popen(command, env=env, cwd=Path.cwd(), stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_until_ready(port)
            yield Service(port, secret_key, said)
        finally:
            process.terminate()
            process.wait(END_S)


def password_of(database: Database) -> str:
    return str(conninfo_to_dict(database.service_url)["password"])
