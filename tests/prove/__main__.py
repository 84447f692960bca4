"""make prove: the table of faults, and how long failed sign-ins take, on the terminal and as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.load.service import database, directory, serving
from tests.prove.caching import caching
from tests.prove.faults import FAULTS, none
from tests.prove.load import Tally
from tests.prove.phases import Outcome, phase
from tests.prove.site import Site, site
from tests.prove.timing import UNLIMITED, Timing, time_sign_ins
from tests.prove.timing import table_of as timing_table_of

ONE_PORT = "two workers on one port"
CONTROL = "a cache of 1 s before a worker"
"""Not ours: it shows that a late accept would be seen."""
CONTROLS = 50
TIMING = "failed sign-ins"
COLUMNS = ("fault", "revocations", "verifications", "late accepts", "errors", "longest answer", "back after")

Outcomes = dict[str, Outcome]
Timings = dict[str, Timing]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--revocations", type=int, default=10_000, help="without a fault")
    parser.add_argument("--each", type=int, default=1_000, help="with each fault")
    parser.add_argument("--sign-ins", type=int, default=200, help="of each kind that fails")
    parser.add_argument("--only", nargs="+", choices=[*FAULTS, ONE_PORT, CONTROL, TIMING], metavar="FAULT")
    parser.add_argument("--json", type=Path, default=Path("build/prove.json"))
    return parser.parse_args()


async def prove(asked: argparse.Namespace, outcomes: Outcomes) -> None:
    wanted = [name for name in asked.only or [*FAULTS, ONE_PORT, CONTROL] if name != TIMING]
    if not wanted:
        return
    with directory() as data_dir:
        async with site(data_dir) as place:
            for name in wanted:
                count = {"none": asked.revocations, CONTROL: CONTROLS}.get(name, asked.each)
                async with _ports(name, place) as ports:
                    with _shown(name, count) as tally:
                        outcomes[name] = await phase(place, FAULTS.get(name, none), count, ports=ports, tally=tally)


def time_failures(asked: argparse.Namespace, timings: Timings) -> None:
    if asked.only and TIMING not in asked.only:
        return
    with directory() as data_dir, database(data_dir) as found, serving(found.environment | UNLIMITED) as process:
        console = Console(stderr=True)
        columns = (TextColumn(f"{TIMING:35}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=asked.sign_ins)
            say = partial(bar.update, task)
            timing = time_sign_ins(process.port, found, asked.sign_ins, lambda done: say(completed=done))
            timings |= asyncio.run(timing)


@asynccontextmanager
async def _ports(name: str, place: Site) -> AsyncIterator[list[int]]:
    if name == CONTROL:
        async with caching(place.ports[1]) as port:
            yield [place.ports[0], port]
    elif name == ONE_PORT:
        starting = serving(place.database.environment, "--workers", "2")
        both = await asyncio.to_thread(starting.__enter__)
        try:
            yield [both.port, both.port]
        finally:
            starting.__exit__(None, None, None)
    else:
        yield place.ports


@contextmanager
def _shown(name: str, count: int) -> Iterator[Tally]:
    """How far it is, while it runs."""
    tally, console = Tally(), Console(stderr=True)
    columns = (TextColumn(f"{name:35}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[late]} late"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=count, late=0)

        async def watch() -> None:
            while True:
                bar.update(task, completed=tally.revocations, late=tally.late)
                await asyncio.sleep(0.2)

        watching = asyncio.get_running_loop().create_task(watch())
        try:
            yield tally
        finally:
            watching.cancel()
            bar.update(task, completed=tally.revocations, late=tally.late)


def table_of(outcomes: Outcomes) -> Table:
    table = Table(*COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, found in outcomes.items():
        tally = found.tally
        table.add_row(
            name,
            f"{tally.revocations:,}",
            f"{tally.verifications:,}",
            f"[{'green' if is_as_promised(name, found) else 'bold red'}]{tally.late:,}[/]",
            f"{tally.errors:,}",
            f"{tally.longest_ns / 1e6:,.0f} ms",
            f"{found.back_after_s:.2f} s" if found.back_after_s else "at once",
        )
    return table


def is_as_promised(name: str, found: Outcome) -> bool:
    """Nothing late, and nothing refused that was good; of the control the opposite."""
    return found.tally.late > 0 if name == CONTROL else found.tally.late == found.tally.wrong == 0


def main() -> int:
    asked, outcomes, timings = arguments(), Outcomes(), Timings()
    try:
        asyncio.run(prove(asked, outcomes))
        time_failures(asked, timings)
    except KeyboardInterrupt:
        Console(stderr=True).print("[yellow]cut off: these are the faults that were through[/yellow]")
    for table in (table_of(outcomes) if outcomes else None, timing_table_of(timings) if timings else None):
        if table is not None:
            Console().print(table)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    told: dict[str, dict[str, Any]] = {
        name: asdict(found) | {"as_promised": is_as_promised(name, found)} for name, found in outcomes.items()
    }
    if timings:
        told[TIMING] = {"kinds": {kind: asdict(each) for kind, each in timings.items()}, "as_promised": alike(timings)}
    asked.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if told and all(each["as_promised"] for each in told.values()) else 1


def alike(timings: Timings) -> bool:
    return all(each.is_alike for each in timings.values())


if __name__ == "__main__":
    sys.exit(main())
