"""identity init that is cut off between any two of its deeds: nothing half done, or a second run ends it well."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cut import cut
from tests.cli.managed import PASSWORD, Managed, managed_server
from tests.cli.place import KEY, Place
from tests.cli.shell import Shell
from tests.operation.processes import none_left
from tests.running import free_port

MIGRATING = [
    ("identity.migrate.steps:make_roles", "after"),
    ("identity.migrate.steps:_apply_one", "after"),
    ("identity.migrate:apply", "after"),
]
SETTING_UP = [
    ("identity.cli.init:write_secret", "before"),
    ("identity.cli.init:write_secret", "after"),
    ("identity.migrate:make_login", "after"),
    ("identity.cli.init:create_platform", "before"),
    ("identity.cli.init:create_platform", "after"),
]
ON_EMBEDDED = [
    ("identity.embedded:_initdb", "after"),
    ("identity.migrate.steps:_apply_one", "after"),
    ("identity.migrate:make_login", "after"),
    ("identity.cli.start:create_platform", "after"),
    ("identity.cli.init:write_secret", "before"),
    ("identity.cli.init:write_secret", "after"),
]


@pytest.fixture(scope="module")
def managed() -> Iterator[Managed]:
    with managed_server() as server:
        yield server


@pytest.fixture(scope="module")
def login(managed: Managed) -> str:
    return managed.new_login()


@pytest.fixture
def place(managed: Managed, login: str, tmp_path: Path) -> Place:
    return Place(managed, login, tmp_path)


@pytest.mark.parametrize(("deed", "moment"), [*MIGRATING, *SETTING_UP])
def test_killed_and_run_again_it_ends_well(deed: str, moment: str, place: Place) -> None:
    words = place.init("--yes")
    killed = cut(deed, moment, signal.SIGKILL, words, place.directory, migrate_database_url=place.url)
    assert killed.returncode == -signal.SIGKILL
    assert not place.managed.knows(place.service_login) or place.env.exists()
    kept = ["--keep-env"] if place.env.exists() else []
    again = place.shell(*words, *kept, migrate_database_url=place.url)
    assert again.exit_code == 0, again.stderr
    assert place.works(key_of(again.stdout, place.shell))
    assert [file.name for file in place.directory.iterdir()] == [".env"]


def key_of(said: str, shell: Shell) -> str:
    """The one that is shown; where it was made and never seen, the way back."""
    found = KEY.findall(said)
    return str(found[0]) if found else shell("keys", "issue", "platform", "identity", "--scope", "*").stdout


@pytest.mark.parametrize(("deed", "moment"), MIGRATING)
def test_ctrl_c_while_it_migrates_leaves_no_file_and_no_login(deed: str, moment: str, place: Place) -> None:
    done = cut(deed, moment, signal.SIGINT, place.init("--yes"), place.directory, migrate_database_url=place.url)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert place.is_untouched()


@pytest.mark.parametrize(("deed", "moment"), SETTING_UP)
def test_ctrl_c_after_that_waits_until_all_is_done(deed: str, moment: str, place: Place) -> None:
    done = cut(deed, moment, signal.SIGINT, place.init("--yes"), place.directory, migrate_database_url=place.url)
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert place.works(*KEY.findall(done.stdout))


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where an unprivileged server may lie."""
    found = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    found.chmod(0o711)
    yield found
    shutil.rmtree(found)


@pytest.mark.parametrize(("deed", "moment"), ON_EMBEDDED)
def test_on_embedded_too(deed: str, moment: str, directory: Path) -> None:
    words = ["init", "--yes", "--embedded", "--port", str(free_port())]
    killed = cut(deed, moment, signal.SIGKILL, words, directory)
    assert killed.returncode == -signal.SIGKILL
    assert none_left(directory, 0)
    shell = Shell(directory)
    kept = ["--keep-env"] if (directory / ".env").exists() else []
    again = shell(*words, *kept)
    assert again.exit_code == 0, again.stderr
    (key,) = KEY.findall(again.stdout)
    assert key == (directory / ".identity" / "admin_key").read_text().strip()
    assert shell("verify", typed=key).exit_code == 0
    assert none_left(directory, 0)
