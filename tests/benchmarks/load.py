"""A load in a process of its own: so many connections, each of which asks again as soon as it is answered. A loop of
epoll over sockets takes less of the processors than a server does, and nothing has to be installed for it."""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from argon2 import PasswordHasher

from identity.hashing import MEMORY_KIB, NICENESS, PASSES
from tests.benchmarks.cpu import used_s
from tests.benchmarks.order import Order
from tests.benchmarks.questions import GOOD, next_refresh, questions
from tests.load.http import length_of

AT_ONCE_BYTES = 1 << 18
SPARE_S = 60.0
ENDLESS_S = 600.0


@dataclass
class Took:
    """What came of it; times in seconds."""

    seconds: float
    requests: int
    refused: int
    """Keys of which it was answered that they are not valid."""
    errors: int
    """Answers other than 200: they are no requests that were done, however fast."""
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


def took(took_s: list[float], seconds: float, refused: int, errors: int, used: dict[str, float]) -> Took:
    ordered = sorted(took_s) or [0.0]
    p50_s, p99_s = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return Took(seconds, len(took_s), refused, errors, p50_s, p99_s, ordered[-1], used)


class Load:
    """One loop over all connections."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._questions = questions(order)
        self._good = GOOD[order.ask]
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._asked_s: dict[int, float] = {}
        self._parts: dict[int, bytes] = {}
        self._goes_on = order.ask == "refresh"
        self._asked: dict[int, bytes] = {}
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
        found = took(self._took_s, seconds, self._refused, self._errors, used)
        self._finish()
        return found

    def _finish(self) -> None:
        """All that was asked is answered: else the next round would find the server still at work on it."""
        self._goes_on, self._questions = False, iter(())
        self._loop(time.perf_counter() + SPARE_S / 2)

    def _used(self) -> dict[str, float]:
        return {name: used_s(pid) for name, pid in self._order.watched.items()} | {"load": time.process_time()}

    def _ask(self, number: int, after: bytes = b"") -> None:
        question = next_refresh(self._asked[number], after) if self._goes_on and after else next(self._questions, None)
        if question is None:
            self._asked_s.pop(number, None)
            return
        if self._goes_on:
            self._asked[number] = question
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
        if data.startswith(b"HTTP/1.1 2"):
            self._took_s.append(time.perf_counter() - self._asked_s[number])
            self._refused += (self._order.batch or 1) - data.count(self._good)
        else:
            self._errors += 1
        self._ask(number, data)


def hash_alone(order: Order) -> Took:
    """What argon2 does in so many threads where nothing else is done, each as nice as the service's are."""
    hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
    hash, took_s = hasher.hash("password"), list[float]()
    begun_s, before_s = time.perf_counter(), time.process_time()
    until_s = begun_s + order.seconds

    def verify() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while (asked_s := time.perf_counter()) < until_s:
            hasher.verify(hash, "password")
            took_s.append(time.perf_counter() - asked_s)

    threads = [threading.Thread(target=verify) for _ in range(order.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = dict.fromkeys(order.watched, 0.0) | {"load": time.process_time() - before_s}
    return took(took_s, time.perf_counter() - begun_s, 0, 0, used)


if __name__ == "__main__":
    gc.disable()  # nothing here is in a circle, and a collection would be taken for a slow answer
    with suppress(KeyboardInterrupt):
        asked = Order(**json.load(sys.stdin))
        print(json.dumps(asdict(hash_alone(asked) if asked.ask == "hash" else Load(asked).run())))
