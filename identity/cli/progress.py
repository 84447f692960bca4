"""A progress bar for people: on standard error, and only in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Moved = Callable[[int, int], None]
"""Told how much is done, and how many rows that is."""


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Moved]:
    """A bar that fills up to the total; without one it only shows that something moves."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total, rows=0)

        def moved(done: int, rows: int) -> None:
            bar.update(task, completed=done, rows=rows)

        yield moved
