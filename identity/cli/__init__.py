"""The command line: `identity …`, one thin file a noun."""

from __future__ import annotations

import sys
from typing import Any

import typer

from identity.cli import exporting, importing, init, keys, migrate, reset, seed, serve
from identity.errors import IdentityError, StartError


class Identity(typer.Typer):
    """Errors are one sentence that says what to do, and an exit code for scripts; never a traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except StartError as error:
            typer.echo(f"identity: {error}", err=True)
            sys.exit(error.exit_code)
        except IdentityError as error:
            typer.echo(f"identity: {error.detail} ({error.code})", err=True)
            sys.exit(1)


app = Identity(
    help="Multi-tenant identity and app keys on plain PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command()(init.init)
app.command()(reset.reset)
app.command()(seed.seed)
app.add_typer(migrate.app, name="migrate")
app.add_typer(keys.app, name="keys")
users = typer.Typer(help="Users.", no_args_is_help=True)
users.command("import")(importing.import_users)
users.command("export")(exporting.export_users)
app.add_typer(users, name="users")
branches = typer.Typer(help="Branches.", no_args_is_help=True)
branches.command("import")(importing.import_branches)
branches.command("export")(exporting.export_branches)
app.add_typer(branches, name="branches")
keys.app.command("export")(exporting.export_keys)
