"""A case: who is compared with whom, and what is wanted of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.benchmarks.measure import Length, Series, Subject, in_turn
from tests.benchmarks.site import Site


@dataclass(frozen=True)
class Target:
    """A measure of a subject, over one of another in the same run, or by itself."""

    subject: str
    connections: int
    measure: str
    limit: float
    base: str | None = None
    base_measure: str | None = None
    base_connections: int | None = None
    at_most: bool = False

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True)
class Case:
    """Subjects that are compared, and what is wanted of them."""

    name: str
    title: str
    connections: Sequence[int]
    subjects: Callable[[Site, ExitStack, argparse.Namespace], list[Subject]]
    targets: Sequence[Target] = field(default_factory=tuple)

    def run(self, site: Site, length: Length, asked: argparse.Namespace) -> list[Series]:
        with ExitStack() as stack:
            subjects = self.subjects(site, stack, asked)
            return in_turn(subjects, self.connections, length, site.say)
