"""Where a cluster lies, as whom it runs, and who holds the data directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from identity.errors import StartError

MAX_SOCKET_PATH = 100
SOCKET_NAME = ".s.PGSQL.5432"
VAR_LIB = Path("/var/lib/identity")
DATABASE = "identity"
UNPRIVILEGED = ("postgres", "nobody")


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
    if owner is not None and not can_reach(owner, data_dir.parent):
        home = VAR_LIB / hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    if len(str(home / SOCKET_NAME).encode()) > MAX_SOCKET_PATH:
        raise StartError(f"The path {home} is too long for a socket: set IDENTITY_DATA_DIR to a shorter one.")
    return Place(data_dir, home, owner)


def _unprivileged() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise StartError(
        f"As root, PostgreSQL must run as {' or '.join(UNPRIVILEGED)}, and there is no such user: "
        "run this as an ordinary user."
    )


def can_reach(owner: pwd.struct_passwd, path: Path) -> bool:
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
    place(data_dir)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
        lock = (data_dir / "lock").open("w")
    except OSError as error:
        raise StartError(
            f"The data directory {data_dir} cannot be written ({error.strerror}): set IDENTITY_DATA_DIR to another."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"An identity is already running on {data_dir}: stop it, or set IDENTITY_DATA_DIR to another directory."
            ) from None
        yield
