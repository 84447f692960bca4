"""A terminal of its own for one command: what it shows, what somebody types, and Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.operation.command import COMMAND, environment

WAIT_S = 30.0
STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """Its master side; all that the command has shown so far, as it came."""

    process: subprocess.Popen[bytes]
    master: int
    raw: str = ""
    seen: int = 0
    """How much of the screen has been waited for."""

    @property
    def screen(self) -> str:
        """Without colours."""
        return STYLES.sub("", self.raw).replace("\r\n", "\n")

    def wait_for(self, text: str, within_s: float = WAIT_S) -> None:
        """Until the command shows it, after what was waited for last."""
        until_s = time.monotonic() + within_s
        while text not in self.screen[self.seen :]:
            assert self._read(until_s), f"no {text!r} in:\n{self.screen}"
        self.seen = self.screen.index(text, self.seen) + len(text)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode() + b"\r")

    def press_ctrl_c(self) -> None:
        os.write(self.master, b"\x03")

    def interrupt(self) -> int:
        """Ctrl-C at a question, and once more where nothing happens, as a person does: Python's readline misses one
        that comes between its prompt and its first read. How it ended."""
        for _ in range(10):
            time.sleep(0.1)
            self.press_ctrl_c()
            with suppress(subprocess.TimeoutExpired):
                return self.end(1)
        raise AssertionError(f"Ctrl-C does not end it:\n{self.screen}")

    def end(self, within_s: float = WAIT_S) -> int:
        """How it ended, by itself."""
        until_s = time.monotonic() + within_s
        while self._read(until_s):
            pass
        return self.process.wait(max(0.1, until_s - time.monotonic()))

    def _read(self, until_s: float) -> bool:
        """What there is; False where nothing more comes, or nothing in time."""
        ready, _, _ = select.select([self.master], [], [], max(0, until_s - time.monotonic()))
        shown = b""
        with suppress(OSError):  # EIO: the command has ended
            shown = os.read(self.master, 65536) if ready else b""
        self.raw += shown.decode(errors="replace")
        return bool(shown)


@contextmanager
def terminal(
    *arguments: str,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    columns: int = 120,
    command: Sequence[str] = COMMAND,
) -> Iterator[Terminal]:
    """The command in it; killed in the end if it has not ended."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [*command, *arguments],
        env=_environment(variables or {}),
        cwd=cwd,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Without what pytest's workers are told of their own terminal."""
    of_others = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    found = {name: value for name, value in environment(**variables).items() if name not in of_others}
    return {**found, "TERM": "xterm-256color"}
