"""Several subjects in turn, round after round, so that what else the machine does befalls them alike; and medians."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from tests.benchmarks.load import Took, run
from tests.benchmarks.order import Order
from tests.load.service import Process

Say = Callable[[str, int, int], object]
"""Told what is done now, how much is done and of how much; of preparations nobody knows."""
Beside = Callable[[], AbstractContextManager[object]]
"""What goes on while it is measured."""
MEASURES = ("per_s", "p50_ms", "p99_ms", "longest_ms", "worker_us", "postgres_us", "load_us")


@dataclass(frozen=True)
class Subject:
    """Somebody who is asked, and what."""

    name: str
    process: Process
    order: Order
    beside: Beside = nullcontext


@dataclass(frozen=True)
class Sample:
    """One round of one subject; microseconds are of the processors' time, a request."""

    per_s: float
    """Keys a second: of a batch each counts."""
    p50_ms: float
    p99_ms: float
    longest_ms: float
    worker_us: float
    postgres_us: float
    load_us: float
    refused: int
    errors: int


@dataclass(frozen=True)
class Series:
    """All rounds of one subject at so many connections."""

    subject: str
    connections: int
    rounds: list[Sample]

    def rounds_of(self, measure: str) -> list[float]:
        return [getattr(sample, measure) for sample in self.rounds]

    def median(self, measure: str) -> float:
        return statistics.median(self.rounds_of(measure))


@dataclass(frozen=True)
class Length:
    """How many rounds of how many seconds."""

    rounds: int
    seconds: float


def in_turn(subjects: Sequence[Subject], connections: Sequence[int], length: Length, say: Say) -> list[Series]:
    found = {(count, each.name): Series(each.name, count, []) for count in connections for each in subjects}
    turns = [(count, subject) for _ in range(length.rounds) for count in connections for subject in subjects]
    for done, (count, subject) in enumerate(turns):
        say(f"{subject.name} at {count}", done, len(turns))
        found[count, subject.name].rounds.append(_sample(subject, count, length.seconds))
    return list(found.values())


def _sample(subject: Subject, connections: int, seconds: float) -> Sample:
    order = replace(subject.order, connections=connections, seconds=seconds)
    with subject.beside():
        return _of(run(order), order.batch or 1)


def _of(took: Took, keys: int) -> Sample:
    each_us = 1e6 / max(1, took.requests * keys)
    used = {name: round(cpu_s * each_us, 1) for name, cpu_s in took.cpu_s.items()}
    return Sample(
        per_s=round(took.requests * keys / took.seconds, 1),
        p50_ms=round(took.p50_s * 1e3, 3),
        p99_ms=round(took.p99_s * 1e3, 3),
        longest_ms=round(took.longest_s * 1e3, 3),
        worker_us=used["worker"],
        postgres_us=used["postgres"],
        load_us=used["load"],
        refused=took.refused,
        errors=took.errors,
    )


def by_round(ours: Series, measure: str, base: Series, base_measure: str) -> list[float]:
    """The ratio in each round: what befell both falls out."""
    pairs = zip(ours.rounds_of(measure), base.rounds_of(base_measure), strict=True)
    return [mine / its if its else float("inf") for mine, its in pairs]


def sweep(subject: Subject, times: int = 1) -> Took:
    """Each key once, so that it is remembered."""
    for _ in range(times):
        took = run(replace(subject.order, connections=64, once=True))
    return took
