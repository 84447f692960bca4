"""Clients that keep keys in flight on both workers while admins kill them, and the count of what was accepted late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.load.http import Answer, Connection, request
from tests.load.keys import Key
from tests.prove.kinds import killing

CLIENTS = 12
ADMINS = 4
PATIENCE_S = 30.0
"""How long one step of an admin may take, faults included."""
PAUSE_S = 0.002
SLOW_NS = 250_000_000
"""An answer that took so long is not as before."""
UNKNOWN = (404, 409)
"""What a repeated call is told when the first, whose answer was lost, had its effect."""


@dataclass(slots=True)
class Victim:
    """A key, what kills it, and who was asked about it."""

    key: Key
    question: bytes
    killing: bytes
    begun_ns: int | None = None
    acked_ns: int | None = None
    accepted: set[int] = field(default_factory=set)
    asked_since: set[int] = field(default_factory=set)
    """The workers who have answered a question that was sent when it was dead."""


@dataclass(slots=True)
class Tally:
    """What came of it."""

    revocations: int = 0
    verifications: int = 0
    late: int = 0
    """Answered valid though sent after the revocation had returned."""
    wrong: int = 0
    """Refused though the revocation had not begun."""
    errors: int = 0
    longest_ns: int = 0
    last_trouble_ns: int | None = None
    """When the last error, or answer that took too long, was there."""

    def take(self, victim: Victim, worker: int, answer: Answer) -> None:
        self.verifications += 1
        took_ns = answer.got_ns - answer.sent_ns
        self.longest_ns = max(self.longest_ns, took_ns)
        since = victim.acked_ns is not None and answer.sent_ns > victim.acked_ns
        if not answer.is_good:
            self.fail()
        elif answer.is_valid:
            victim.accepted.add(worker)
            self.late += since
        else:
            self.wrong += victim.begun_ns is None or answer.got_ns < victim.begun_ns
        if since and answer.is_good:
            victim.asked_since.add(worker)
        if took_ns > SLOW_NS:
            self.last_trouble_ns = time.monotonic_ns()

    def fail(self) -> None:
        self.errors += 1
        self.last_trouble_ns = time.monotonic_ns()


class Load:
    """Runs until so many revocations are through and whoever holds it lets go."""

    def __init__(
        self, ports: Sequence[int], admin_ports: Sequence[int], admin_key: str, count: int, tally: Tally
    ) -> None:
        self.tally = tally
        self.under_way = asyncio.Event()
        """A third is through."""
        self.may_end = asyncio.Event()
        self._count = count
        self._ports = ports
        self._admin_ports = admin_ports
        self._admin_key = admin_key
        self._random = Random(1)
        self._alive: list[Victim] = []
        self._dying: list[Victim] = []
        """Being killed, or dead and not yet asked about at both: here a late accept would show."""

    async def run(self, tenants: Iterator[list[Key]]) -> None:
        clients = [asyncio.create_task(self._verify(n % len(self._ports))) for n in range(CLIENTS)]
        try:
            async with asyncio.TaskGroup() as admins:
                for n in range(ADMINS):
                    admins.create_task(self._administer(self._admin_ports[n % len(self._admin_ports)], tenants))
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _verify(self, worker: int) -> None:
        connection = Connection(self._ports[worker])
        try:
            while True:
                await self._verify_one(worker, connection)
        finally:
            connection.close()

    async def _verify_one(self, worker: int, connection: Connection) -> None:
        some = self._dying if self._dying and self._random.random() < 0.5 else self._alive
        if not some:
            await asyncio.sleep(PAUSE_S)
            return
        victim = self._random.choice(some)
        try:
            answer = await connection.ask(victim.question)
        except OSError:
            self.tally.fail()
            await asyncio.sleep(PAUSE_S)
        else:
            self.tally.take(victim, worker, answer)

    @property
    def _is_enough(self) -> bool:
        return self.tally.revocations >= self._count and self.may_end.is_set()

    async def _administer(self, port: int, tenants: Iterator[list[Key]]) -> None:
        connection = Connection(port)
        while not self._is_enough and (keys := next(tenants, None)):
            victims = [self._victim(n, key) for n, key in enumerate(keys)]
            self._alive += victims
            for victim in victims:
                if not self._is_enough:
                    await self._kill(connection, victim)
        connection.close()

    def _victim(self, n: int, key: Key) -> Victim:
        question = request("POST", "/v1/keys/verify", self._admin_key, {"key": key.text})
        return Victim(key, question, killing(n, key, self._admin_key))

    async def _kill(self, connection: Connection, victim: Victim) -> None:
        """Once both workers have called it good; and the next only once both were asked again."""
        await self._until(lambda: len(victim.accepted) == len(self._ports))
        self._alive.remove(victim)
        self._dying.append(victim)
        victim.begun_ns = time.monotonic_ns()
        victim.acked_ns = await self._acknowledged(connection, victim)
        self.tally.revocations += 1
        if self.tally.revocations >= self._count // 3:
            self.under_way.set()
        await self._until(lambda: len(victim.asked_since) == len(self._ports))
        self._dying.remove(victim)

    async def _acknowledged(self, connection: Connection, victim: Victim) -> int:
        """When it was told that the key is dead; asked until it is told so."""
        until_s, lost = time.monotonic() + PATIENCE_S, False
        while time.monotonic() < until_s:
            try:
                answer = await connection.ask(victim.killing)
            except OSError:
                lost = True
            else:
                if answer.is_good or (lost and answer.status in UNKNOWN):
                    return answer.got_ns
                lost = lost or answer.status == 503
                assert answer.status == 503, f"the revocation was refused: {answer.body!r}"
            await asyncio.sleep(0.05)
        raise AssertionError("the revocation was never acknowledged")

    async def _until(self, holds: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < until_s, "a worker did not come to it in time"
            await asyncio.sleep(PAUSE_S)
