"""What a worker remembers: positive verdicts, none of which is believed before its tenant's change counter has proved
it anew. A "no" is never remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from identity.verify.known import Known

EVERYTHING = "*"
MAX_CHANGES = 10_000
"""Of one tenant, before all of it is forgotten instead."""


Counter = tuple[int, bytes]
"""A tenant's n, and which version of its row says so (xmin): the same n of another version is that of a database that
was restored, and has changed since."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The counters of the tenants that waited, and the database's clock, by one statement."""

    counters: Mapping[str, Counter]
    now_s: float


@dataclass(slots=True)
class Tenant:
    """What changed in a tenant, as far as it is known: up to change n, and no verdict from before `floor` stands."""

    n: int
    version: bytes
    floor: int
    learnt_at_s: float
    changed: dict[str | None, int] = field(default_factory=dict)
    """By the id of a key or a user; should one be the other's, both are asked anew."""


class Memory:
    """Bounded in two generations: nothing moves when something is found, and the older half goes when it is full."""

    def __init__(self, capacity: int) -> None:
        self._half = (capacity + 1) // 2
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._tenants: dict[str, Tenant] = {}
        self.epoch = 0
        """Rises when all is forgotten: what was asked before may not be remembered after."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> Known | None:
        return self._young.get(digest) or self._old.get(digest)

    def remember(self, digest: bytes, entry: Known, version: bytes, now_s: float) -> None:
        if entry.epoch != self.epoch or not self._half:
            return
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
            living = {each.ref for each in self._old.values()}
            self._tenants = {ref: tenant for ref, tenant in self._tenants.items() if ref in living}
        self._young[digest] = entry
        if entry.ref not in self._tenants:
            # of what happened before nothing is known: a verdict that another statement read earlier may be dead
            self._tenants[entry.ref] = Tenant(entry.n, version, entry.n, now_s)

    def stands(self, entry: Known, proof: Proof) -> bool:
        """Whether nothing has changed that this verdict says, as far as the proof saw."""
        tenant, counter = self._tenants.get(entry.ref), proof.counters.get(entry.ref)
        if tenant is None or counter is None or tenant.n < counter[0]:
            return False  # what was proved has been forgotten since
        if entry.epoch != self.epoch or entry.n < tenant.floor or proof.now_s >= entry.expires_at_s:
            return False
        changed = tenant.changed
        if changed and (changed.get(entry.key_id, 0) > entry.n or changed.get(entry.user_id, 0) > entry.n):
            return False
        if entry.n < tenant.n:
            entry.n = tenant.n
        return True

    def moved(self, counters: Mapping[str, Counter], asked: Iterable[str], asked_at_s: float) -> list[str]:
        """Takes a proof in, and says of which tenants the changes must be asked before anybody is answered."""
        moved = []
        for ref in asked:
            tenant, counter = self._tenants.get(ref), counters.get(ref)
            if tenant is None:
                continue
            if counter is None:
                del self._tenants[ref]  # purged
            elif counter[0] > tenant.n:
                moved.append(ref)
            elif counter != (tenant.n, tenant.version) and asked_at_s > tenant.learnt_at_s:
                self.forget_all()  # a counter that goes back is that of another database: one restored from a backup
                return []
        return moved

    def learn(self, ref: str, counter: Counter, changes: Sequence[str], now_s: float) -> None:
        """The last changes of a tenant, up to number n. Where they do not reach back, all of it is forgotten."""
        tenant, n = self._tenants.get(ref), counter[0]
        if tenant is None or n <= tenant.n:
            return
        first = n - len(changes) + 1
        if first > tenant.n + 1 or len(tenant.changed) > MAX_CHANGES:
            tenant.floor, tenant.changed = n, {}
        else:
            for number, what in enumerate(changes, first):
                if number <= tenant.n:
                    continue
                if what == EVERYTHING:
                    tenant.floor = number
                else:
                    tenant.changed[what.partition(" ")[2]] = number
        (tenant.n, tenant.version), tenant.learnt_at_s = counter, now_s

    def forget_all(self) -> None:
        self._young, self._old, self._tenants = {}, {}, {}
        self.epoch += 1
