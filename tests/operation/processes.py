"""What runs on this machine: so that a test can say that nothing is left."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path


def of(data_dir: Path, port: int) -> list[int]:
    """Processes whose command or environment names the data directory or the port, other than zombies."""
    signs = (str(data_dir).encode(), f"--port\0{port}\0".encode())
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if any(sign in text for sign in signs):
                found.append(int(process.name))
    return found


def none_left(data_dir: Path, port: int, within_s: float = 5) -> bool:
    until_s = time.monotonic() + within_s
    while left := of(data_dir, port):
        if time.monotonic() > until_s:
            raise AssertionError({pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left})
        time.sleep(0.05)
    return True


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
