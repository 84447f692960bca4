"""The command line: `identity …`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import typer

from identity.api.strict_json import SURROGATE
from identity.cli import copies, init, migrate, passwords, pattern, purge, reseal, reset, serve, signing_keys, verify
from identity.cli.commands import nouns
from identity.cli.demos import seed
from identity.cli.hints import next_step
from identity.cli.show import harmless
from identity.cli.tables import exporting, importing
from identity.cli.version import options
from identity.errors import IdentityError, StartError

USAGE = 2


class Identity(typer.Typer):
    """Errors are a sentence that says what to do, and an exit code for scripts; never a traceback."""

    def __call__(self, args: Sequence[str] | None = None, **kwargs: Any) -> Any:
        _let_any_text_through()
        try:
            return super().__call__(_as_text(sys.argv[1:] if args is None else args), **kwargs)
        except StartError as error:
            typer.echo(f"identity: {harmless(str(error))}", err=True)
            sys.exit(error.exit_code)
        except IdentityError as error:
            _refuse(error)
            sys.exit(1)


def _let_any_text_through() -> None:
    """A terminal or pipe that knows ASCII alone gets escapes for the rest, and no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _as_text(args: Sequence[str]) -> list[str]:
    """Bytes that are no text come from the shell as lone surrogates, which no database takes."""
    for number, each in enumerate(args, 1):
        if SURROGATE.search(each):
            typer.echo(f"identity: The {number}. argument is not UTF-8.", err=True)
            sys.exit(USAGE)
    return list(args)


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
app.command()(reseal.reseal)
app.command()(verify.verify)
app.command()(seed.seed)
app.add_typer(migrate.app, name="migrate")
app.add_typer(signing_keys.app, name="signing-keys")
groups = nouns()
groups["tenants"].command("purge")(purge.purge_tenant)
groups["tenants"].command("export")(copies.export_tenant)
groups["tenants"].command("import")(copies.import_tenant)
groups["users"].command("import")(importing.import_users)
groups["users"].command("export")(exporting.export_users)
groups["users"].command("set-password")(passwords.set_password)
groups["branches"].command("import")(importing.import_branches)
groups["branches"].command("export")(exporting.export_branches)
groups["keys"].command("export")(exporting.export_keys)
groups["keys"].command("pattern")(pattern.pattern)
for noun, group in groups.items():
    app.add_typer(group, name=noun)
