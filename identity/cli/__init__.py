"""The command line: `identity …`."""

from __future__ import annotations

import sys
from typing import Any

import typer

from identity.cli import exporting, importing, init, migrate, reset, seed, serve, verify
from identity.cli.commands import nouns
from identity.cli.hints import next_step
from identity.cli.version import options
from identity.errors import IdentityError, StartError


class Identity(typer.Typer):
    """Errors are a sentence that says what to do, and an exit code for scripts; never a traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except StartError as error:
            typer.echo(f"identity: {error}", err=True)
            sys.exit(error.exit_code)
        except IdentityError as error:
            _refuse(error)
            sys.exit(1)


def _refuse(error: IdentityError) -> None:
    typer.echo(f"identity: {error.detail} ({error.code})", err=True)
    for each in error.errors:
        where = each.parameter or (each.pointer or "").strip("/")
        if where:
            typer.echo(f"  {where}: {each.detail}", err=True)
    if step := next_step(error.code):
        typer.echo(f"  {step}", err=True)


app = Identity(
    help="Multi-tenant identity and app keys on plain PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.callback()(options)
app.command()(serve.serve)
app.command()(init.init)
app.command()(reset.reset)
app.command()(verify.verify)
app.command()(seed.seed)
app.add_typer(migrate.app, name="migrate")
groups = nouns()
groups["users"].command("import")(importing.import_users)
groups["users"].command("export")(exporting.export_users)
groups["branches"].command("import")(importing.import_branches)
groups["branches"].command("export")(exporting.export_branches)
groups["keys"].command("export")(exporting.export_keys)
for noun, group in groups.items():
    app.add_typer(group, name=noun)
