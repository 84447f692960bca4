"""What was measured, as tables for people and as JSON for machines; targets stand beside, and fail nothing."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from tests.benchmarks.case import Case, Target
from tests.benchmarks.measure import MEASURES, Series, by_round

SCALES = {"per_s": "{:,.0f}", "p50_ms": "{:.2f}", "p99_ms": "{:.2f}", "longest_ms": "{:,.1f}"}


@dataclass(frozen=True)
class Judged:
    """A target, and what came of it: the median of the rounds."""

    target: Target
    value: float
    lowest: float
    highest: float

    @property
    def is_met(self) -> bool:
        return self.target.is_met(self.value)


def judged(case: Case, found: Sequence[Series]) -> Iterator[Judged]:
    """Those targets of which both sides were measured."""
    series = {(each.subject, each.connections): each for each in found if each.rounds}
    for target in case.targets:
        ours = series.get((target.subject, target.connections))
        base = series.get((target.base or "", target.base_connections or target.connections))
        if ours is None or (target.base is not None and base is None):
            continue
        values = _values(target, ours, base)
        yield Judged(target, statistics.median(values), min(values), max(values))


def _values(target: Target, ours: Series, base: Series | None) -> list[float]:
    if base is None:
        return ours.rounds_of(target.measure)
    return by_round(ours, target.measure, base, target.base_measure or target.measure)


def figures(case: Case, found: Sequence[Series]) -> Table:
    """The first subject is what the others are compared with."""
    table = Table(title=f"{case.name}: {case.title}", title_justify="left", title_style="bold")
    names = ("subject", "at", "keys/s", "p50 ms", "p99 ms", "longest", "worker µs", "postgres µs", "load µs")
    bases = list(dict.fromkeys(each.subject for each in found))[: 2 if case.name in ("warm", "cold") else 1]
    for name in (*names, *(f"of {base}" for base in bases), "not valid", "errors"):
        table.add_column(name, justify="left" if name == "subject" else "right")
    for each in found:
        if not each.rounds:
            continue
        measured = [SCALES.get(measure, "{:.1f}").format(each.median(measure)) for measure in MEASURES]
        ratios = [_ratio(each, base, found) for base in bases]
        errors = sum(sample.errors for sample in each.rounds)
        refused = sum(sample.refused for sample in each.rounds)
        told = f"[bold red]{errors:,}[/]" if errors else "0"
        table.add_row(each.subject, str(each.connections), *measured, *ratios, f"{refused:,}", told)
    return table


def _ratio(ours: Series, base: str, found: Sequence[Series]) -> str:
    for each in found:
        if (each.subject, each.connections) == (base, ours.connections) and len(each.rounds) == len(ours.rounds):
            return "1" if each is ours else f"[cyan]{statistics.median(by_round(ours, 'per_s', each, 'per_s')):.2f}[/]"
    return ""


def targets(all_judged: Sequence[tuple[Case, Judged]]) -> Table:
    table = Table("what", "wanted", "found", "rounds", "", title="targets", title_justify="left", title_style="bold")
    for case, each in all_judged:
        mark = "[green]met[/]" if each.is_met else "[yellow]not met[/]"
        wanted = f"{'at most' if each.target.at_most else 'at least'} {each.target.limit:.2f}"
        table.add_row(
            _what(case, each.target), wanted, f"{each.value:.2f}", f"{each.lowest:.2f} to {each.highest:.2f}", mark
        )
    return table


def _what(case: Case, target: Target) -> str:
    what = f"{case.name}: {target.measure} of {target.subject} at {target.connections}"
    if target.base is None:
        return what
    at = f" at {target.base_connections}" if target.base_connections else ""
    return f"{what}, of {target.base}'s{f' {target.base_measure}' if target.base_measure else ''}{at}"


def as_json(
    measured: dict[Case, list[Series]], all_judged: Sequence[tuple[Case, Judged]], **more: Any
) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **more,
        "cases": {case.name: [asdict(each) for each in found] for case, found in measured.items()},
        "targets": [asdict(each) | {"case": case.name, "is_met": each.is_met} for case, each in all_judged],
    }
