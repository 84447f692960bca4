"""identity migrate plan|apply|rollback|status"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from identity import migrate
from identity.cli.locks import lock_of
from identity.cli.start import migrating_url, read_settings

app = typer.Typer(help="Bring the database to where this program needs it, or back.", no_args_is_help=True)

BEHIND = 3


@app.command()
def plan() -> None:
    """Show what apply would do: each statement, and the lock that it takes."""
    console = Console(soft_wrap=True, highlight=False)
    with migrating_url(read_settings()) as url:
        steps = migrate.plan(url)
    made: set[str] = set()
    for step in steps:
        console.print(f"[bold]{step.id}[/bold]" + ("" if step.transactional else "  (outside a transaction)"))
        for statement in step.statements:
            console.print(f"  [cyan]-- lock: {lock_of(statement, made)}[/cyan]")
            console.print("\n".join(f"  {line}" for line in statement.strip().splitlines()), markup=False)
    console.print(f"{len(steps)} to apply." if steps else "Nothing to apply.")


@app.command()
def apply() -> None:
    """Apply what is pending. Several at once apply once; a killed one is carried on."""
    with migrating_url(read_settings()) as url:
        done = migrate.apply(url, typer.echo)
    typer.echo(f"{len(done)} applied." if done else "Nothing to apply.")


@app.command()
def rollback(
    count: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the last migrations back; what they made is gone, with its data."""
    with migrating_url(read_settings()) as url:
        applied = sorted(migrate.status(url).applied, reverse=True)[:count]
        if not applied:
            typer.echo("Nothing to roll back.")
            return
        if not yes:
            typer.confirm(f"Roll back {', '.join(applied)}, and lose the data that they hold?", abort=True)
        migrate.rollback(url, count, typer.echo)


@app.command()
def status() -> None:
    """Show what is applied and what is pending; exit code 3 where anything is."""
    with migrating_url(read_settings()) as url:
        found = migrate.status(url)
    table = Table("migration", "state")
    for id in found.applied:
        table.add_row(id, "[green]applied[/green]")
    for id in found.pending:
        table.add_row(id, "[yellow]pending[/yellow]")
    Console().print(table)
    raise typer.Exit(BEHIND if found.pending else 0)
