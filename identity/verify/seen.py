"""What a worker has seen since it started: plain numbers that only rise, so that the hot path pays next to nothing.
Whoever is asked for metrics makes them of these (identity.api.metrics)."""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LATENCIES_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """How often a value was at most so large: one count for each bound, and one for what is above them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def numbers(self) -> dict[str, Any]:
        return {"counts": self.counts, "total": self.total}


class Seen:
    """Counted where it happens, in one worker."""

    def __init__(self) -> None:
        self.worker = secrets.token_hex(8)
        """Tells its numbers from those of others."""
        self.verifications: dict[str, int] = defaultdict(int)
        """By the verdict's code."""
        self.batch_sizes = Histogram(SIZES)
        """Names in a statement of the lanes."""
        self.lane_waits_s = Histogram(LATENCIES_S)
        """How long the first of a batch waited for a lane."""
        self.lane_replacements = 0
        self.hedges = 0
        """Batches that were asked again, on another lane."""
        self.requests: dict[tuple[str, str, int], Histogram] = {}
        """How long they took, by method, route and status."""

    def request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """The route and never the path: there are but so many routes."""
        durations_s = self.requests.get((method, route, status))
        if durations_s is None:
            durations_s = self.requests[method, route, status] = Histogram(LATENCIES_S)
        durations_s.observe(duration_s)

    def numbers(self) -> dict[str, Any]:
        """All of it as JSON can say it."""
        return {
            "verifications": dict(self.verifications),
            "batch_sizes": self.batch_sizes.numbers(),
            "lane_waits_s": self.lane_waits_s.numbers(),
            "lane_replacements": self.lane_replacements,
            "hedges": self.hedges,
            "requests": {" ".join(map(str, key)): each.numbers() for key, each in self.requests.items()},
        }
