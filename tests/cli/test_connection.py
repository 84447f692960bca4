"""What `identity init` says of a database: what is wrong with it, and what mends it."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from identity import embedded
from identity.cli.connection import _what_is_wrong, examine, masked
from identity.errors import StartError
from tests.cli.managed import PASSWORD, Managed, managed_server
from tests.running import free_port
from tests.server import execute


@pytest.fixture(scope="module")
def managed() -> Iterator[Managed]:
    with managed_server() as server:
        yield server


@pytest.fixture(scope="module")
def login(managed: Managed) -> str:
    return managed.new_login()


@pytest.fixture(scope="module")
def database(managed: Managed, login: str) -> str:
    return managed.new_database(login)


def said_of(url: str) -> str:
    with pytest.raises(StartError) as refused:
        examine(url)
    said = str(refused.value)
    assert PASSWORD not in said
    assert "\n" not in said
    return said


def test_a_database_that_will_do_is_described(managed: Managed, login: str, database: str) -> None:
    found = examine(managed.url(login, database))
    assert (found.login, found.name, found.is_superuser) == (login, database, False)
    assert str(found).endswith(f"database {database}, login {login}: may make roles, owns the database")
    assert str(examine(managed.admin_url)).endswith("login postgres: superuser")


@pytest.mark.parametrize("url", ["nonsense", "http://db.example.com/x", "postgresql://%zz@h/x", "host='unfinished"])
def test_what_is_no_url_is_told_what_one_looks_like(url: str) -> None:
    assert "postgresql://LOGIN:PASSWORD@HOST:PORT/DATABASE" in said_of(url)


@pytest.mark.parametrize("password", ["p@hunter2", "p/hunter2", "p?hunter2", "1/hunter2", "hunter2@"])
def test_a_password_that_breaks_the_url_is_not_shown_as_its_host(password: str) -> None:
    said = said_of(f"postgresql://deploy:{password}@127.0.0.1:1/shop")
    assert "%40" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("password", ["p%40hunter2", "p:hunter2", "p#hunter2"])
def test_one_that_is_written_as_it_must_be_passes(password: str) -> None:
    said = said_of(f"postgresql://deploy:{password}@127.0.0.1:{free_port()}/shop")
    assert "nothing listens there" in said
    assert "hunter2" not in said


def test_a_host_that_has_no_name_is_told_from_one_where_nothing_listens() -> None:
    assert "there is no host of that name" in said_of("postgresql://deploy@a..b/shop")
    assert "nothing listens there" in said_of(f"postgresql://deploy@127.0.0.1:{free_port()}/shop")
    assert "there is no such socket" in said_of("postgresql:///shop?host=/nowhere")


def test_a_wrong_password_or_none_is_the_logins(managed: Managed, login: str, database: str) -> None:
    assert "the login or its password is wrong" in said_of(managed.url(login, database, "wrong"))
    assert "the login or its password is wrong" in said_of(managed.url("nobody-of-that-name", database))
    assert "this login needs a password" in said_of(managed.place.url(login, database))


def test_a_database_that_is_not_there_is_to_be_made(managed: Managed, login: str) -> None:
    assert "CREATE DATABASE it, owned by this login" in said_of(managed.url(login, "not-there"))


def test_the_cure_of_a_weak_login_cures_it(managed: Managed) -> None:
    """As they stand, names with a dash and all."""
    weak = managed.new_login("NOCREATEROLE")
    database = managed.new_database("postgres")
    url = managed.url(weak, database)
    for _ in range(2):
        cure = said_of(url).split(": ", 1)[1].split(", or", 1)[0].rstrip(".")
        execute(managed.admin_url, cure)
    assert examine(url).login == weak


def test_another_encoding_is_told_of(managed: Managed, login: str) -> None:
    options = "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    said = said_of(managed.url(login, managed.new_database(login, options)))
    assert "is in LATIN1: make one with ENCODING 'UTF8'" in said


def test_a_replica_is_told_of() -> None:
    directory = Path(tempfile.mkdtemp(prefix="idt-", dir="/tmp"))
    directory.chmod(0o711)
    try:
        with embedded.server(directory, embedded.THROW_AWAY) as place:
            signal = place.cluster / "standby.signal"
        signal.touch()
        with embedded.server(directory, embedded.THROW_AWAY) as place:
            assert "is a replica, and takes no changes: name the primary" in said_of(place.url(embedded.SUPERUSER))
    finally:
        shutil.rmtree(directory)


def test_an_old_server_is_told_of() -> None:
    said = _what_is_wrong({"version_num": 140012, "version": "14.12", "login": "x", "database": "y"}, 1)
    assert said == "This is PostgreSQL 14.12: it must be 15 or later."


KEY_DATA = b"K\0\0\0\x0c"
"""BackendKeyData: its length, then the process's id, then its secret."""


@contextmanager
def listening(answer: bytes | None = None, before: str = "") -> Iterator[int]:
    """One connection: an answer that is no PostgreSQL's, or the server behind that socket, its pid another's."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_serve, args=(listener, answer, before), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, answer: bytes | None, before: str) -> None:
    client, _ = listener.accept()
    with client, socket.socket(socket.AF_UNIX) as server:
        if answer is not None:
            client.recv(1024)
            client.sendall(answer)
            return
        server.connect(before)
        up = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
        up.start()
        _pass_on(server, client)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            at = data.find(KEY_DATA) + len(KEY_DATA)
            if at >= len(KEY_DATA):
                data = data[:at] + (4_000_000).to_bytes(4, "big") + data[at + 4 :]
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_a_pooler_is_known_by_a_pid_that_is_not_the_servers(managed: Managed, login: str, database: str) -> None:
    before = str(managed.place.home / ".s.PGSQL.5432")
    with listening(before=before) as port:
        said = said_of(make_conninfo(managed.url(login, database), host="127.0.0.1", port=port))
    assert "A pooler answers, and a direct connection is needed here" in said


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\0" * 10])
def test_what_is_no_postgresql_is_told_of(answer: bytes) -> None:
    with listening(answer) as port:
        said = said_of(f"postgresql://deploy:{PASSWORD}@127.0.0.1:{port}/shop")
    assert "what answers there is no PostgreSQL" in said


def test_one_that_does_not_answer_is_waited_for_a_moment() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        said = said_of(f"postgresql://deploy@127.0.0.1:{listener.getsockname()[1]}/shop")
    assert "it does not answer" in said


@pytest.mark.parametrize("url", [f"postgresql://deploy:{PASSWORD}@h:5/shop", f"host=h password={PASSWORD}"])
def test_a_password_is_dots(url: str) -> None:
    assert masked(url).endswith(" password=••••••••")
    assert PASSWORD not in masked(url)
    assert masked("postgresql://deploy@h:5/shop") == "host=h port=5 dbname=shop user=deploy"
