"""make prove: the table of faults, on the terminal and as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.load.service import directory, serving
from tests.prove.caching import caching
from tests.prove.faults import FAULTS, none
from tests.prove.load import Tally
from tests.prove.phases import Outcome, phase
from tests.prove.site import Site, site

ONE_PORT = "two workers on one port"
CONTROL = "a cache of 1 s before a worker"
"""Not ours: it shows that a late accept would be seen."""
CONTROLS = 50
COLUMNS = ("fault", "revocations", "verifications", "late accepts", "errors", "longest answer", "back after")

Outcomes = dict[str, Outcome]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--revocations", type=int, default=10_000, help="without a fault")
    parser.add_argument("--each", type=int, default=1_000, help="with each fault")
    parser.add_argument("--only", nargs="+", choices=[*FAULTS, ONE_PORT, CONTROL], metavar="FAULT")
    parser.add_argument("--json", type=Path, default=Path("build/prove.json"))
    return parser.parse_args()


async def prove(asked: argparse.Namespace, outcomes: Outcomes) -> None:
    wanted = asked.only or [*FAULTS, ONE_PORT, CONTROL]
    with directory() as data_dir:
        async with site(data_dir) as place:
            for name in wanted:
                count = {"none": asked.revocations, CONTROL: CONTROLS}.get(name, asked.each)
                async with _ports(name, place) as ports:
                    with _shown(name, count) as tally:
                        outcomes[name] = await phase(place, FAULTS.get(name, none), count, ports=ports, tally=tally)


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
    asked, outcomes = arguments(), Outcomes()
    try:
        asyncio.run(prove(asked, outcomes))
    except KeyboardInterrupt:
        Console(stderr=True).print("[yellow]cut off: these are the faults that were through[/yellow]")
    Console().print(table_of(outcomes))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    told = {name: asdict(found) | {"as_promised": is_as_promised(name, found)} for name, found in outcomes.items()}
    asked.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if outcomes and all(is_as_promised(*each) for each in outcomes.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
