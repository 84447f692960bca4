"""Any order in which rows, counters and changes arrive: what stands has not changed up to its proof."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from identity.verify import Known
from identity.verify.memory import Counter, Memory, Proof, Tenant, count

REFS = ("t", "u")
KEYS = tuple((ref, f"k{n}", f"u{n % 2}") for ref in REFS for n in range(4))
STEPS = 4_000


@dataclass
class Counted:
    """A tenant's row as the database keeps it, and all that it ever said."""

    history: list[str] = field(default_factory=list)

    @property
    def n(self) -> int:
        return len(self.history)

    def changed(self, key: str, user: str, after: int, until: int) -> bool:
        return any(what in ("*", f"key {key}", f"user {user}") for what in self.history[after:until])


class Simulation:
    """Statements take their snapshot when they are sent, and arrive whenever they like."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.memory = Memory(self.random.choice([2, 4, 8, 100]))
        self.tenants = {ref: Counted() for ref in REFS}
        self.now_s = 0.0
        self.flying: list[Callable[[], None]] = []
        self.waiting: list[tuple[tuple[str, str, str], Known]] = []
        self.stood = 0

    def run(self) -> None:
        steps = [self.ask, self.prove, self.arrive, self.change]
        for _ in range(STEPS):
            self.now_s += 1
            self.random.choices(steps, [3, 2, 8, 1])[0]()
            if self.random.random() < 0.002:
                self.memory.forget_all()

    def change(self) -> None:
        for _ in range(self.random.choices([1, 2, 40], [30, 10, 1])[0]):
            ref, key, user = self.random.choice(KEYS)
            self.tenants[ref].history.append(self.random.choices([f"key {key}", f"user {user}", "*"], [12, 6, 1])[0])

    def ask(self) -> None:
        each = self.random.choice(KEYS)
        remembered = self.memory.get("".join(each).encode())
        if remembered is None:
            self.look_up(*each)
        else:
            self.waiting.append((each, remembered))

    def look_up(self, ref: str, key: str, user: str) -> None:
        n, epoch = self.tenants[ref].n, self.memory.epoch
        entry = Known("valid", b"%d" % n, key_id=key, user_id=user, ref=ref, n=n, epoch=epoch)
        digest, counter = (ref + key + user).encode(), self.counter(ref)
        self.flying.append(lambda: self.memory.remember(digest, entry, counter, self.now_s))

    def counter(self, ref: str) -> Counter:
        return f"{ref}:{self.tenants[ref].n}:7".encode()

    def prove(self) -> None:
        waiting, self.waiting = self.waiting, []
        asked = list(dict.fromkeys(each[0] for each, _ in waiting))
        counters, asked_at_s = [self.counter(ref) for ref in asked], self.now_s

        def arrive() -> None:
            proved, moved = self.memory.prove(asked, counters, asked_at_s)
            self.learn(proved, moved, lambda: self.judge(waiting, Proof(proved, now_s=0), counters))

        self.flying.append(arrive)

    def learn(self, proved: dict[str, Tenant], moved: list[str], then: Callable[[], None]) -> None:
        last = [(self.counter(ref), self.tenants[ref].history[-32:]) for ref in moved]

        def arrive() -> None:
            for counter, changes in last:
                proved.update(self.memory.learn(counter, changes, self.now_s))
            self.flying.append(then)

        self.flying.append(arrive) if moved else self.flying.append(then)

    def judge(self, waiting: list[tuple[tuple[str, str, str], Known]], proof: Proof, counters: list[Counter]) -> None:
        until = {counter.partition(b":")[0].decode(): count(counter) for counter in counters}
        for (ref, key, user), remembered in waiting:
            if self.memory.stands(remembered, proof):
                self.stood += 1
                assert not self.tenants[ref].changed(key, user, int(remembered.answer), until[ref])

    def arrive(self) -> None:
        if self.flying:
            self.flying.pop(self.random.randrange(len(self.flying)))()


@pytest.mark.parametrize("seed", range(20))
def test_what_stands_has_not_changed_up_to_its_proof(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run()
    assert simulation.stood > 20
