"""What a worker remembers: positive verdicts, none of which is believed before its tenant's change counter has proved
it anew. A "no" is never remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from identity.verify.known import Known

EVERYTHING = "*"
MAX_CHANGES = 10_000
"""Of one tenant, before all of it is forgotten instead."""

Counter = bytes
"""A tenant's ref, its n, and which version of its row says so (xmin), as `ref:n:xmin`. The same n of another version is
that of a database that was restored, and has changed since."""


def count(counter: Counter) -> int:
    return int(counter.split(b":")[1])


@dataclass(slots=True)
class Tenant:
    """What changed in a tenant, as far as it is known: up to its counter, and no verdict from before `floor` stands."""

    counter: Counter
    n: int
    floor: int
    learnt_at_s: float
    changed: dict[str | None, int] = field(default_factory=dict)
    """By the id of a key or a user; should one be the other's, both are asked anew."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The tenants of which all is known up to one statement, and the database's clock in it."""

    tenants: Mapping[str, Tenant]
    now_s: float


class Memory:
    """Bounded in two generations: nothing moves when something is found, and the older half goes when it is full."""

    def __init__(self, capacity: int) -> None:
        self._half = (capacity + 1) // 2
        self._young_kib = 0
        """A verdict takes one of its capacity; one that is larger than a KiB takes more."""
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._tenants: dict[str, Tenant] = {}
        self.epoch = 0
        """Rises when all is forgotten: what was asked before may not be remembered after."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> Known | None:
        return self._young.get(digest) or self._old.get(digest)

    def remember(self, digest: bytes, entry: Known, counter: Counter, now_s: float) -> None:
        if entry.epoch != self.epoch or not self._half:
            return
        self._young_kib += entry.weight_kib
        if self._young_kib > self._half:
            self._old, self._young, self._young_kib = self._young, {}, entry.weight_kib
            living = {each.ref for each in self._old.values()}
            self._tenants = {ref: tenant for ref, tenant in self._tenants.items() if ref in living}
        self._young[digest] = entry
        if entry.ref not in self._tenants:
            # of what happened before nothing is known: a verdict that another statement read earlier may be dead
            self._tenants[entry.ref] = Tenant(counter, entry.n, entry.n, now_s)

    def stands(self, entry: Known, proof: Proof) -> bool:
        """Whether nothing has changed that this verdict says, as far as the proof saw."""
        tenant = proof.tenants.get(entry.ref)
        if tenant is None or entry.epoch != self.epoch or entry.n < tenant.floor or proof.now_s >= entry.expires_at_s:
            return False
        changed, n = tenant.changed, entry.n
        if changed and (changed.get(entry.key_id, 0) > n or changed.get(entry.user_id, 0) > n):
            return False
        if n < tenant.n:
            entry.n = tenant.n
        return True

    def prove(
        self, asked: Iterable[str], counters: Iterable[Counter], asked_at_s: float
    ) -> tuple[dict[str, Tenant], list[str]]:
        """Of which tenants all is known, and of which the changes must be asked before anybody is answered."""
        proved, others, told = {}, [], frozenset(counters)
        for ref in asked:
            tenant = self._tenants.get(ref)
            if tenant is not None and tenant.counter in told:
                proved[ref] = tenant
            elif tenant is not None:
                others.append(ref)
        return self._weigh(proved, others, told, asked_at_s) if others else (proved, others)

    def _weigh(
        self, proved: dict[str, Tenant], others: list[str], told: Iterable[Counter], asked_at_s: float
    ) -> tuple[dict[str, Tenant], list[str]]:
        """Of those whose counter is another than was known."""
        found, moved = {counter.partition(b":")[0].decode(): count(counter) for counter in told}, []
        for ref in others:
            tenant, n = self._tenants[ref], found.get(ref)
            if n is None:
                del self._tenants[ref]  # purged
            elif n > tenant.n:
                moved.append(ref)
            elif asked_at_s <= tenant.learnt_at_s:
                proved[ref] = tenant  # another statement, sent later, has come first
            else:
                self.forget_all()  # a counter that goes back is that of another database: one restored from a backup
                return {}, []
        return proved, moved

    def learn(self, counter: Counter, changes: Sequence[str], now_s: float) -> dict[str, Tenant]:
        """The last changes of a tenant, up to its counter. Where they do not reach back, all of it is forgotten."""
        ref, n = counter.partition(b":")[0].decode(), count(counter)
        tenant = self._tenants.get(ref)
        if tenant is None:
            return {}
        if n > tenant.n:
            _take_in(tenant, n, changes)
            tenant.counter, tenant.n, tenant.learnt_at_s = counter, n, now_s
        return {ref: tenant}

    def forget_all(self) -> None:
        self._young, self._old, self._tenants, self._young_kib = {}, {}, {}, 0
        self.epoch += 1


def _take_in(tenant: Tenant, n: int, changes: Sequence[str]) -> None:
    first = n - len(changes) + 1
    if first > tenant.n + 1 or len(tenant.changed) > MAX_CHANGES:
        tenant.floor, tenant.changed = n, {}
        return
    for number, what in enumerate(changes, first):
        if number <= tenant.n:
            continue
        if what == EVERYTHING:
            tenant.floor = number
        else:
            tenant.changed[what.partition(" ")[2]] = number
