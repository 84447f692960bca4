"""The wheel: what `pip install` brings is whole, and works in an environment that holds nothing else of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
import zipfile
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

import identity
from identity.api.docs import FILES
from tests.running import START_S, free_port
from tests.server import new_database

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [found] = directory.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds nothing but the wheel. What it depends on is read where it
    lies already, so that no network is needed; our own editable install there is a .pth, which is not followed."""
    directory = tmp_path_factory.mktemp("env")
    venv.create(directory, with_pip=False, symlinks=True)
    programs = directory / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--quiet", "--disable-pip-version-check", str(wheel)], check=True, capture_output=True)
    [packages] = directory.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def run(program: Path, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [str(program), *arguments], cwd="/", env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_the_schema_the_migrations_and_the_page(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"identity/{path.relative_to(ROOT)}" for part in ("schema", "migrations") for path in (ROOT / part).iterdir()
    }
    program = (ROOT / "identity").rglob("*")
    wanted |= {str(path.relative_to(ROOT)) for path in program if path.suffix in (".py", ".js", ".css")}
    assert wanted | {"identity/py.typed", "identity/api/swagger_ui/LICENSE", "identity/api/swagger_ui/NOTICE"} <= names
    assert not [name for name in names if name.startswith(("tests", ".")) or name.endswith((".pyc", ".map"))]


def test_what_it_says_of_itself_is_true(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        metadata = files.read(f"identity-{identity.__version__}.dist-info/METADATA").decode()
    assert f"Version: {identity.__version__}\n" in metadata
    assert all(f"Provides-Extra: {extra}\n" in metadata for extra in ("embedded", "hashes"))
    assert "License-Expression: Apache-2.0\n" in metadata


def test_the_installed_program_is_the_wheels(installed: Path) -> None:
    where = run(installed / "python", "-c", "import identity; print(identity.__file__)").strip()
    assert Path(where).is_relative_to(installed.parent)
    assert run(installed / "identity", "--version").strip() == f"identity {identity.__version__}"


def test_the_installed_program_finds_its_migrations(installed: Path) -> None:
    with new_database(empty=True) as database:
        variables = {"IDENTITY_MIGRATE_DATABASE_URL": database.admin_url, "IDENTITY_DATABASE_URL": database.service_url}
        plan = run(installed / "identity", "migrate", "plan", **variables)
    assert all(path.stem in plan for path in (ROOT / "migrations").glob("*.sql") if ".rollback" not in path.name)


def test_the_installed_program_serves(installed: Path) -> None:
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    url = f"http://127.0.0.1:{(port := free_port())}"
    variables = {"IDENTITY_DATA_DIR": str(directory), "PATH": os.environ["PATH"]}
    serve = [str(installed / "identity"), "serve", "--port", str(port)]
    process = subprocess.Popen(serve, cwd="/", env=variables, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(url, process)
        for path in ("/openapi.json", "/docs", *(f"/docs/{name}" for name in FILES)):
            assert httpx2.get(url + path).status_code == 200
    finally:
        process.terminate()
        process.wait(START_S)
        shutil.rmtree(directory, ignore_errors=True)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        with suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("it did not start")


def test_types_are_told_to_those_who_import_it(installed: Path) -> None:
    [found] = installed.parent.glob("lib/python*/site-packages/identity/py.typed")
    assert found.is_file()
