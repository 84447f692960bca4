"""identity init in a terminal, and unattended: what is asked, what is answered wrong, what is left behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.cli.managed import PASSWORD, Managed, managed_server
from tests.cli.place import KEY, Place
from tests.cli.terminal import Terminal, terminal
from tests.operation.command import started
from tests.operation.http import get, wait_until_ready
from tests.running import free_port
from tests.server import execute

WHERE, URL, PORT, GO = "1 or 2 [1]: ", "(not shown): ", "listen on [", "Go ahead? [Y/n]: "


@pytest.fixture(scope="module")
def managed() -> Iterator[Managed]:
    with managed_server() as server:
        yield server


@pytest.fixture(scope="module")
def login(managed: Managed) -> str:
    """One for all: whoever makes the cluster's roles may grant them, and no other."""
    return managed.new_login()


@pytest.fixture
def place(managed: Managed, login: str, tmp_path: Path) -> Place:
    return Place(managed, login, tmp_path)


def arguments_of(pid: int) -> bytes:
    """Of it and of all that it has started."""
    found = [Path(f"/proc/{pid}/cmdline").read_bytes()]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [arguments_of(int(child)) for child in children.read_text().split()]
    return b"\n".join(found)


def answer(shown: Terminal, question: str, text: str) -> None:
    shown.wait_for(question)
    assert PASSWORD.encode() not in arguments_of(shown.process.pid)
    shown.type(text)


def test_wrong_answers_are_said_and_asked_again_until_all_is_right(place: Place, managed: Managed) -> None:
    weak = managed.new_login("NOCREATEROLE")
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as taken,
        terminal("init", "--service-login", place.service_login, cwd=place.directory) as shown,
    ):
        answer(shown, WHERE, "own")
        answer(shown, WHERE, "2")
        answer(shown, URL, f"postgresql://{place.login}:p@{PASSWORD}@127.0.0.1/shop")
        shown.wait_for("✗ This URL is not read as it is meant")
        answer(shown, URL, f"postgresql://{place.login}:{PASSWORD}@127.0.0.1:{free_port()}/shop")
        shown.wait_for("✗ No connection to host=127.0.0.1 ")
        answer(shown, URL, managed.url(place.login, place.database, f"not-{PASSWORD}"))
        shown.wait_for("the login or its password is wrong")
        answer(shown, URL, managed.url(weak, place.database))
        shown.wait_for("may make no roles: ALTER ROLE")
        answer(shown, URL, place.url)
        shown.wait_for("✓ PostgreSQL 1")
        answer(shown, PORT, "many")
        answer(shown, PORT, "99999")
        answer(shown, PORT, str(taken.getsockname()[1]))
        shown.wait_for("✗ Cannot listen on")
        answer(shown, PORT, str(place.port))
        shown.wait_for("secret key")
        answer(shown, GO, "y")
        assert shown.end() == 0
    assert_set_up(place, shown.screen)


def assert_set_up(place: Place, screen: str) -> None:
    (key,) = KEY.findall(screen)
    assert place.works(key)
    assert place.settings.port == place.port
    assert f"login {place.login}: may make roles, owns the database" in screen
    assert f"{place.service_login} password=••••••••" in screen
    password = str(conninfo_to_dict(place.settings.main_url)["password"])
    assert place.settings.secret_key is not None
    secrets = (password, place.settings.secret_key.get_secret_value())
    assert not [secret for secret in (*secrets, PASSWORD) if secret in screen]
    assert not [secret for secret in (*secrets, key) if secret in place.managed.place.log.read_text()]
    assert PASSWORD not in place.env.read_text()


def test_serve_needs_nothing_else(place: Place) -> None:
    done = place.shell(*place.init("--yes"), migrate_database_url=place.url)
    (key,) = KEY.findall(done.stdout)
    with started("serve", cwd=place.directory) as service:
        wait_until_ready(place.port)
        assert get(place.port, "/v1/tenants", key).status_code == 200
        service.terminate()
        service.wait(15)


@pytest.mark.parametrize("at", range(4))
def test_ctrl_c_at_any_question_leaves_nothing(at: int, place: Place) -> None:
    script = [(WHERE, "2"), (URL, place.url), (PORT, str(place.port)), (GO, "y")]
    with terminal("init", "--service-login", place.service_login, cwd=place.directory) as shown:
        for question, text in script[:at]:
            answer(shown, question, text)
        shown.wait_for(script[at][0])
        assert shown.interrupt() == 1
    assert "Aborted." in shown.screen
    assert "Traceback" not in shown.screen
    assert place.is_untouched()
    assert not place.managed.has_schema(place.database)


def test_no_at_the_end_leaves_nothing(place: Place) -> None:
    with terminal(*place.init(), "--database-url", "-", cwd=place.directory) as shown:
        shown.type(place.url)
        answer(shown, GO, "n")
        assert shown.end() == 1
    assert place.is_untouched()
    assert not place.managed.has_schema(place.database)


KEPT = "IDENTITY_PORT='8099'\nMINE='kept'\n"


@pytest.mark.parametrize(("choice", "code"), [("s", 1), ("k", 1), ("w", 0)])
def test_a_file_that_is_there_is_not_written_over_unasked(choice: str, code: int, place: Place) -> None:
    place.env.write_text(KEPT)
    with terminal(*place.init(), cwd=place.directory, variables={"migrate_database_url": place.url}) as shown:
        answer(shown, "or stop (s)? [k]: ", "what?")
        answer(shown, "or stop (s)? [k]: ", choice)
        if choice == "w":
            answer(shown, GO, "y")
        assert shown.end() == code
    if choice == "w":
        assert place.works(*KEY.findall(shown.screen))
    else:
        assert place.env.read_text() == KEPT
        assert not place.managed.knows(place.service_login)


def test_unattended_a_file_that_is_there_needs_a_word(place: Place) -> None:
    before = KEPT + "IDENTITY_TRUSTED_PROXIES='[\"10.0.0.0/8\"]'\n"
    place.env.write_text(before)
    variables = {"migrate_database_url": place.url}
    refused = place.shell(*place.init("--yes"), **variables).refusal
    assert "--keep-env" in refused
    assert "--overwrite" in refused
    assert place.env.read_text() == before
    done = place.shell(*place.init("--yes", "--overwrite"), **variables)
    (key,) = KEY.findall(done.stdout)
    assert place.works(key)
    written = place.env.read_text()
    assert written.count("IDENTITY_TRUSTED_PROXIES") == 1, "what was set besides stays"
    assert written.count("IDENTITY_DATABASE_URL") == 1
    again = place.shell(*place.init("--yes", "--keep-env"), **variables)
    assert again.exit_code == 0
    assert "identity keys issue platform identity" in again.stdout
    assert place.env.read_text() == written
    assert place.works(key)


def test_a_login_that_is_there_gets_a_new_password_only_when_told_to(place: Place) -> None:
    variables = {"migrate_database_url": place.url}
    (key,) = KEY.findall(place.shell(*place.init("--yes"), **variables).stdout)
    place.env.unlink()
    refused = place.shell(*place.init("--yes"), **variables)
    assert refused.exit_code == 1
    assert "--new-password" in refused.stderr
    assert "--service-login" in refused.stderr
    assert not place.env.exists()
    with terminal(*place.init(), cwd=place.directory, variables=variables) as shown:
        answer(shown, "(What uses the old one will stop) [y/N]: ", "y")
        answer(shown, GO, "y")
        assert shown.end() == 0
    assert place.works(key)
    place.env.unlink()
    assert place.shell(*place.init("--yes", "--new-password"), **variables).exit_code == 0
    assert place.works(key)


def test_the_url_comes_from_standard_input_and_no_password_by_an_argument(place: Place) -> None:
    for url in (place.url, f"postgresql://{place.login}:{PASSWORD}@127.0.0.1/x"):
        refused = place.shell(*place.init("--yes"), "--database-url", url).refusal
        assert "--database-url -" in refused
        assert PASSWORD not in refused
    assert place.is_untouched()
    done = place.shell(*place.init("--yes"), "--database-url", "-", typed=f"{place.url}\n")
    assert place.works(*KEY.findall(done.stdout))


def test_unattended_without_a_url_it_says_what_is_missing(place: Place) -> None:
    for options in ([], ["--own-server"]):
        assert "IDENTITY_MIGRATE_DATABASE_URL is missing" in place.shell(*place.init("--yes", *options)).refusal
    assert place.is_untouched()


def test_unattended_what_is_wrong_ends_it(place: Place) -> None:
    wrong = place.managed.url(place.login, place.database, "wrong")
    refused = place.shell(*place.init("--yes"), migrate_database_url=wrong).refusal
    assert "the login or its password is wrong" in refused
    with closing(socket.create_server(("127.0.0.1", place.port))):
        done = place.shell(*place.init("--yes"), migrate_database_url=place.url)
        assert (done.exit_code, "Cannot listen on" in done.stderr) == (1, True)
    assert place.shell(*place.init("--yes", "--port", "0"), migrate_database_url=place.url).exit_code == 2
    assert place.is_untouched()


@pytest.mark.parametrize("name", ["", "pg_service", "a b", "Big", "x" * 64])
def test_a_login_that_cannot_be_named_so_is_wrong_usage(name: str, place: Place) -> None:
    done = place.shell("init", "--yes", "--service-login", name, migrate_database_url=place.url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert not place.managed.has_schema(place.database)


def test_a_login_of_somebody_else_is_left_alone_and_the_file_taken_back(place: Place) -> None:
    other = place.managed.new_login("NOCREATEROLE")
    words = ["init", "--yes", "--service-login", other, "--new-password", "--port", str(place.port)]
    done = place.shell(*words, migrate_database_url=place.url)
    assert done.exit_code == 1
    assert "was not made for this" in done.stderr
    assert list(place.directory.iterdir()) == []
    assert execute(place.managed.url(other, place.database), "SELECT current_user::text") == [(other,)]


def test_names_that_mean_something_to_rich_do_no_harm(managed: Managed, login: str, tmp_path: Path) -> None:
    directory = tmp_path / "[red]a[/nothing]"
    directory.mkdir(parents=True)
    place = Place(managed, login, directory)
    database = f"[/x]{place.database}"
    managed.execute("ALTER DATABASE {} RENAME TO {}", place.database, database)
    done = place.shell(*place.init("--yes"), migrate_database_url=make_conninfo(place.url, dbname=database))
    assert database in done.stdout
    assert str(directory) in done.stdout
    assert place.works(*KEY.findall(done.stdout))
