"""A load in a process of its own: so many connections, each of which asks again as soon as it is answered. A loop of
epoll over sockets takes less of the processors than a server does, and nothing has to be installed for it."""

from __future__ import annotations

import gc
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from tests.benchmarks.cpu import used_s
from tests.load.http import length_of

AT_ONCE_BYTES = 1 << 18
SPARE_S = 60.0
ENDLESS_S = 600.0
GOOD = b'"valid":true'


@dataclass(frozen=True)
class Order:
    """What is to be asked, of whom, and for how long."""

    port: int
    connections: int
    seconds: float
    keys: str
    """A file of keys' texts, in the order of their tenants."""
    callers: str
    """A file of those who ask, of whom each asks about an equal share of the keys."""
    batch: int = 0
    """Keys in one question; 0 for a single one, which is asked in another form."""
    lead_s: float = 0.5
    """Not counted."""
    once: bool = False
    """Each key once, in order, instead of random ones for so long."""
    watched: dict[str, int] = field(default_factory=dict)
    """Processes whose share of the processors is told, by name."""


@dataclass
class Took:
    """What came of it; times in seconds."""

    seconds: float
    requests: int
    refused: int
    """Keys of which it was answered that they are not valid."""
    errors: int
    """Answers other than 200."""
    p50_s: float
    p99_s: float
    longest_s: float
    cpu_s: dict[str, float]


def run(order: Order) -> Took:
    """In a process of its own, bounded in time."""
    limit_s = ENDLESS_S if order.once else order.lead_s + order.seconds + SPARE_S
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.load"],
        input=json.dumps(asdict(order)).encode(),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        timeout=limit_s,
        check=True,
    )
    return Took(**json.loads(done.stdout))


def questions(order: Order) -> Iterator[bytes]:
    """Requests without end, of keys drawn at random; or of each key once."""
    keys, callers = (Path(name).read_bytes().split() for name in (order.keys, order.callers))
    draw: Callable[[], float] = Random().random
    if order.once:
        yield from (_single(callers[n * len(callers) // len(keys)], key) for n, key in enumerate(keys))
    elif order.batch:
        while True:
            asked = [keys[int(draw() * len(keys))] for _ in range(order.batch)]
            yield _batch(callers[0], asked)
    else:
        heads = [_single(caller, keys[0]).partition(b'{"key')[0] + b'{"key":"' for caller in callers]
        count, share = len(keys), len(callers) / len(keys)
        while True:
            n = int(draw() * count)
            yield heads[int(n * share)] + keys[n] + b'"}'


def _single(caller: bytes, key: bytes) -> bytes:
    return _request(b"/v1/keys/verify", caller, b'{"key":"%b"}' % key)


def _batch(caller: bytes, keys: list[bytes]) -> bytes:
    return _request(b"/v1/keys/verify-batch", caller, b'{"keys":[{"key":"%b"}]}' % b'"},{"key":"'.join(keys))


def _request(path: bytes, caller: bytes, body: bytes) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (path, caller, len(body), body)
    )


class Load:
    """One loop over all connections."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._questions = questions(order)
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._asked_s: dict[int, float] = {}
        self._parts: dict[int, bytes] = {}
        self._took_s: list[float] = []
        self._refused = self._errors = 0

    def run(self) -> Took:
        for _ in range(self._order.connections):
            connection = socket.create_connection(("127.0.0.1", self._order.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)
            self._ask(connection.fileno())
        if not self._order.once:
            self._loop(time.perf_counter() + self._order.lead_s)
        self._took_s, self._refused, self._errors = [], 0, 0
        before, begun_s = self._used(), time.perf_counter()
        self._loop(begun_s + (ENDLESS_S if self._order.once else self._order.seconds))
        seconds = time.perf_counter() - begun_s
        used = {name: cpu_s - before[name] for name, cpu_s in self._used().items()}
        took_s = sorted(self._took_s) or [0.0]
        p50_s, p99_s = (took_s[int(len(took_s) * share)] for share in (0.5, 0.99))
        return Took(seconds, len(self._took_s), self._refused, self._errors, p50_s, p99_s, took_s[-1], used)

    def _used(self) -> dict[str, float]:
        return {name: used_s(pid) for name, pid in self._order.watched.items()} | {"load": time.process_time()}

    def _ask(self, number: int) -> None:
        question = next(self._questions, None)
        if question is None:
            self._asked_s.pop(number, None)
            return
        self._asked_s[number] = time.perf_counter()
        self._sockets[number].sendall(question)

    def _loop(self, until_s: float) -> None:
        now_s = time.perf_counter()
        while now_s < until_s and self._asked_s:
            for number, _ in self._epoll.poll(0.1):
                data = self._sockets[number].recv(AT_ONCE_BYTES)
                if not data:
                    raise ConnectionError("the server closed a connection")
                self._take(number, data)
            now_s = time.perf_counter()

    def _take(self, number: int, data: bytes) -> None:
        """An answer, or a part of one."""
        if number in self._parts:
            data = self._parts.pop(number) + data
        head_bytes = data.find(b"\r\n\r\n") + 4
        if head_bytes < 4 or len(data) < head_bytes + length_of(data[:head_bytes]):
            self._parts[number] = data
            return
        self._took_s.append(time.perf_counter() - self._asked_s[number])
        if data.startswith(b"HTTP/1.1 200"):
            self._refused += (self._order.batch or 1) - data.count(GOOD)
        else:
            self._errors += 1
        self._ask(number)


if __name__ == "__main__":
    gc.disable()  # nothing here is in a circle, and a collection would be taken for a slow answer
    with suppress(KeyboardInterrupt):
        print(json.dumps(asdict(Load(Order(**json.load(sys.stdin))).run())))
