"""make bench: ratios to what runs in the same run, on one machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks.case import Case
from tests.benchmarks.cases import CASES, GROUPS, OPTIONAL
from tests.benchmarks.measure import Length, Say, Series
from tests.benchmarks.plot import svg
from tests.benchmarks.report import Judged, as_json, figures, judged, targets
from tests.benchmarks.site import NotThere, Site
from tests.load.service import database, directory

Measured = dict[Case, list[Series]]
out, err = Console(), Console(stderr=True)


def arguments() -> argparse.Namespace:
    names = [*(case.name for case in CASES), *GROUPS]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="CASE", help=", ".join(names))
    parser.add_argument("--rounds", type=int, choices=range(1, 101), default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--counting-off", metavar="NAME=VALUE", help="the variable that turns counting off")
    parser.add_argument("--f2-reads", action="store_true", help="F2 reads and parses the question, as we must")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    return parser.parse_args()


def bench(asked: argparse.Namespace, measured: Measured) -> None:
    length = Length(asked.rounds, min(asked.seconds, 60.0))
    wanted = asked.only or [case.name for case in CASES if case.name not in OPTIONAL]
    wanted = [name for each in wanted for name in GROUPS.get(each, [each])]
    with ExitStack() as stack:
        data_dir = stack.enter_context(directory())
        texts = stack.enter_context(directory())
        texts.chmod(0o700)
        f2 = "f2-reads" if asked.f2_reads else "f2"
        site = Site(texts, stack.enter_context(database(data_dir)), f2=f2)
        for case in [case for case in CASES if case.name in wanted]:
            try:
                with _shown(case) as site.say:
                    measured[case] = case.run(site, length, asked)
            except NotThere as why:
                err.print(f"[yellow]{case.name} is left out: {why}[/]")
            else:
                out.print(figures(case, measured[case]))


@contextmanager
def _shown(case: Case) -> Iterator[Say]:
    """A bar of the measurements, and what is done before them."""
    columns = (TextColumn(f"{case.name:14}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)


def told(asked: argparse.Namespace, measured: Measured) -> None:
    """The tables, and the files beside them."""
    found: list[tuple[Case, Judged]] = [(case, each) for case in measured for each in judged(case, measured[case])]
    if found:
        out.print(targets(found))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    told = as_json(
        measured, found, cpus=os.cpu_count(), f2_reads=asked.f2_reads, rounds=asked.rounds, seconds=asked.seconds
    )
    asked.json.write_text(json.dumps(told, indent=2) + "\n")
    out.print(f"All rounds are in {asked.json}.")
    if asked.plot:
        asked.plot.parent.mkdir(parents=True, exist_ok=True)
        asked.plot.write_text(svg({f"{case.name}: {case.title}": found for case, found in measured.items()}))
        out.print(f"The plot is in {asked.plot}.")


def main() -> int:
    asked, measured = arguments(), Measured()
    try:
        bench(asked, measured)
    except KeyboardInterrupt:
        err.print("[yellow]cut off: these are the cases that were through[/]")
    finally:
        told(asked, measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
