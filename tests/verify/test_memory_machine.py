"""Any order in which rows, counters and changes arrive: what stands has not changed up to its proof."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from identity.verify import Known
from identity.verify.memory import Counter, Memory, Proof

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
        digest = (ref + key + user).encode()
        self.flying.append(lambda: self.memory.remember(digest, entry, b"", self.now_s))

    def prove(self) -> None:
        waiting, self.waiting = self.waiting, []
        asked = list(dict.fromkeys(each[0] for each, _ in waiting))
        proof = Proof({ref: (self.tenants[ref].n, b"") for ref in asked}, now_s=0)
        asked_at_s = self.now_s

        def arrive() -> None:
            moved = self.memory.moved(proof.counters, asked, asked_at_s)
            self.learn(moved, lambda: self.judge(waiting, proof))

        self.flying.append(arrive)

    def learn(self, moved: list[str], then: Callable[[], None]) -> None:
        last: dict[str, tuple[Counter, list[str]]] = {
            ref: ((self.tenants[ref].n, b""), self.tenants[ref].history[-32:]) for ref in moved
        }

        def arrive() -> None:
            for ref, (counter, changes) in last.items():
                self.memory.learn(ref, counter, changes, self.now_s)
            self.flying.append(then)

        self.flying.append(arrive) if moved else self.flying.append(then)

    def judge(self, waiting: list[tuple[tuple[str, str, str], Known]], proof: Proof) -> None:
        for (ref, key, user), remembered in waiting:
            if self.memory.stands(remembered, proof):
                self.stood += 1
                read_at = int(remembered.answer)
                assert not self.tenants[ref].changed(key, user, read_at, proof.counters[ref][0])

    def arrive(self) -> None:
        if self.flying:
            self.flying.pop(self.random.randrange(len(self.flying)))()


@pytest.mark.parametrize("seed", range(20))
def test_what_stands_has_not_changed_up_to_its_proof(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run()
    assert simulation.stood > 20
