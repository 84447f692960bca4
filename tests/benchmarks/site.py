"""What the cases ask: one database, keys in it, and services over it, each started when a case first wants it."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random

from tests.benchmarks.floor import DATABASE_URL
from tests.benchmarks.load import run
from tests.benchmarks.measure import Say, Subject, sweep
from tests.benchmarks.order import Order
from tests.load.keys import Filled, Key, fill
from tests.load.service import Database, Process, serving

CHANGES_S = 0.1
"""Between two revocations, and between two enablings."""
REVOKED_FOR = 10
"""Changes, until a key is enabled again."""


@dataclass(frozen=True)
class Keys:
    """Keys in the database, and their texts in files that only we can read."""

    filled: Filled
    texts: Path
    callers: Path


class Site:
    """Texts of keys lie in a directory that only we can read."""

    def __init__(self, directory: Path, database: Database, *, f2: str = "f2") -> None:
        self._directory = directory
        self._f2 = f2
        self._keys: dict[str, Keys] = {}
        self.database = database
        self.say: Say = lambda what, done, total: None

    def keys(self, name: str, tenants: int, each: int) -> Keys:
        """Made when they are first asked for."""
        if name not in self._keys:
            self.say(f"making {tenants * each:,} keys in {tenants:,} tenants", 0, 0)
            filled = fill(self.database.admin_url, name, tenants=tenants, keys_each=each)
            self._keys[name] = self.kept(name, filled)
        return self._keys[name]

    def kept(self, name: str, filled: Filled) -> Keys:
        texts = self.write(f"{name}.keys", [key.text for key in filled.keys])
        return Keys(filled, texts, self.write(f"{name}.callers", [key.text for key in filled.callers]))

    @cached_property
    def platform(self) -> Path:
        """The caller who may ask about all tenants."""
        return self.write("platform", [self.database.platform_key])

    def write(self, name: str, texts: list[str]) -> Path:
        """In a file that only we can read."""
        path = self.path(name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{text}\n" for text in texts)
        return path

    def path(self, name: str) -> Path:
        return self._directory / name

    @contextmanager
    def floor(self, which: str, keys: Keys) -> Iterator[Subject]:
        name = self._f2 if which == "F2" else which.lower()
        command = (sys.executable, "-m", "tests.benchmarks.floor", name)
        with serving({DATABASE_URL: self.database.admin_url}, command=command) as process:
            yield self.subject(which, process, keys)

    @contextmanager
    def service(self, name: str, keys: Keys, *options: str, warm: bool = True, **variables: str) -> Iterator[Subject]:
        """`identity serve`, as a user runs it; where it is warm, each key has been asked about before."""
        environment = self.database.environment | {f"IDENTITY_{key.upper()}": text for key, text in variables.items()}
        with serving(environment, *options) as process:
            subject = self.subject(name, process, keys)
            if warm:
                self.say(f"{name}: asking about each key once", 0, 0)
                sweep(subject, times=1 if not options else 6)
            yield subject

    def subject(self, name: str, process: Process, keys: Keys) -> Subject:
        watched = {"worker": process.pid, "postgres": self.database.server.process.pid}
        order = Order(process.port, 1, 1.0, str(keys.texts), str(keys.callers), watched=watched)
        return Subject(name, process, order)

    def under_change(self, subject: Subject, keys: Keys) -> Subject:
        """Ten keys a second are disabled beside it, and as many enabled again."""
        return replace(subject, beside=lambda: changing(subject.process.port, self.database.platform_key, keys.filled))


@contextmanager
def changing(port: int, admin_key: str, filled: Filled) -> Iterator[None]:
    """In a thread, over HTTP; what is disabled at the end is enabled."""
    ended = threading.Event()
    thread = threading.Thread(target=_change, args=(port, admin_key, filled.keys, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


def _change(port: int, admin_key: str, keys: list[Key], ended: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    draw, disabled, next_s = Random(port), list[Key](), time.monotonic()
    while not ended.is_set():
        disabled.append(keys[draw.randrange(len(keys))])
        _act(connection, admin_key, disabled[-1], "disable")
        if len(disabled) > REVOKED_FOR:
            _act(connection, admin_key, disabled.pop(0), "enable")
        next_s += CHANGES_S
        ended.wait(max(0.0, next_s - time.monotonic()))
    for key in disabled:
        _act(connection, admin_key, key, "enable")
    connection.close()


def _act(connection: http.client.HTTPConnection, admin_key: str, key: Key, verb: str) -> None:
    path = f"/v1/tenants/{key.tenant_id}/apps/{key.app_id}/keys/{key.id}/{verb}"
    connection.request("POST", path, headers={"Authorization": f"Bearer {admin_key}"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"a change was refused: {answer.status}")


@contextmanager
def load_beside(order: Order) -> Iterator[None]:
    """Another load, for longer than what is measured."""
    thread = threading.Thread(target=run, args=(order,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def issue(port: int, admin_key: str, keys: Filled, count: int, **more: object) -> Filled:
    """Keys that only the service can make, such as those with limits, spread over the tenants of others."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    issued, share = [], len(keys.callers) / count
    for n in range(count):
        tenant_id = keys.callers[int(n * share)].tenant_id
        body = json.dumps({"name": f"limited {n}", "user_id": f"user-{n % 10}", **more})
        headers = {"Authorization": f"Bearer {admin_key}", "Content-Type": "application/json"}
        connection.request("POST", f"/v1/tenants/{tenant_id}/apps/shop/keys", body, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 201:
            raise NotThere(f"keys with {', '.join(more)} are refused: {told.get('code')}")
        issued.append(Key(tenant_id, "shop", None, f"user-{n % 10}", told["id"], told["key"]))
    connection.close()
    return Filled(keys.callers, issued)


class NotThere(Exception):
    """The service cannot do this (yet): the case is left out, and why is told."""
