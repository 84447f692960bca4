"""The wizard's questions: each has an option that answers it, and one that cannot be right is asked again."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr
from rich.table import Column, Table
from rich.text import Text

from identity import migrate
from identity.cli.connection import examine, masked
from identity.cli.serve import must_be_free
from identity.cli.show import console
from identity.cli.start import NO_MIGRATE_URL
from identity.db import secrets_in_dsn
from identity.errors import StartError
from identity.settings import Settings

ENV_FILE = Path(".env")


@dataclass(frozen=True)
class Plan:
    """What was asked and answered; nothing is done yet."""

    settings: Settings
    service_login: str
    password: SecretStr
    keeps_env: bool
    """Whether .env stays as it is, and the database is made to match it."""

    @property
    def migrate_url(self) -> str | None:
        """None: the embedded database."""
        url = self.settings.migrate_database_url
        return url.get_secret_value() if url else None

    @property
    def service_url(self) -> SecretStr:
        assert self.migrate_url is not None
        if self.keeps_env:
            return SecretStr(self.settings.main_url)
        return SecretStr(
            make_conninfo(
                self.migrate_url, user=self.service_login, password=self.password.get_secret_value(), options=None
            )
        )


def keeps_env(asks: bool, keep: bool, overwrite: bool) -> bool:
    if not ENV_FILE.exists():
        return False
    if keep or overwrite:
        return keep
    if not asks:
        raise StartError(
            f"There is a {ENV_FILE} already: --keep-env makes the database match it, --overwrite writes it anew."
        )
    typer.echo(f"There is a {ENV_FILE} already.")
    choice = _one_of("kws", "Keep it and make the database match it (k), write it anew (w), or stop (s)?", default="k")
    if choice == "s":
        raise typer.Abort
    return choice == "k"


def _one_of(answers: str, question: str, default: str) -> str:
    while (given := str(typer.prompt(question, default=default)).strip().lower()) not in tuple(answers):
        typer.secho(f"  ✗ One of {', '.join(answers)}.", fg="red", err=True)
    return given


def is_embedded(asks: bool, given: bool | None, database_url: str | None, settings: Settings) -> bool:
    if given is not None:
        return given
    own = bool(database_url or settings.migrate_database_url or settings.database_url)
    if own:
        return False
    if not asks:
        raise StartError(f"{NO_MIGRATE_URL} Or --embedded, for PostgreSQL in the data directory.")
    typer.echo("Where is the database?\n  1  here: a PostgreSQL in the data directory\n  2  on a server of your own")
    return _one_of("12", "1 or 2", default="1") == "1"


def own_server(asks: bool, given: str | None, settings: Settings) -> SecretStr:
    """A URL that works; in a dialogue it is asked for until it does."""
    url = _first_url(given, settings)
    while True:
        if url is None:
            if not asks:
                raise StartError(NO_MIGRATE_URL)
            url = typer.prompt("Its URL, postgresql://LOGIN:PASSWORD@HOST/DATABASE (not shown)", hide_input=True)
        try:
            typer.secho(f"  ✓ {examine(url)}", fg="green")
        except StartError as error:
            if not asks:
                raise
            typer.secho(f"  ✗ {error}", fg="red", err=True)
            url = None
        else:
            return SecretStr(url)


def _first_url(given: str | None, settings: Settings) -> str | None:
    if given == "-":
        return sys.stdin.readline().strip()
    if given is not None:
        _must_hold_no_password(given)
        return given
    return settings.migrate_database_url.get_secret_value() if settings.migrate_database_url else None


def _must_hold_no_password(url: str) -> None:
    try:
        found = set(secrets_in_dsn(url)) & {"password", "sslpassword"}
    except ValueError:
        return  # examine says what is wrong with it
    if found:
        raise StartError(
            "A password in an argument stays in the shell's history: use --database-url - and standard input, "
            "or IDENTITY_MIGRATE_DATABASE_URL."
        )


def port_of(asks: bool, given: int | None, settings: Settings) -> int:
    """One that is free; in a dialogue it is asked for until it is."""
    port = given or settings.port
    while True:
        if asks and given is None:
            port = typer.prompt("Port that the service will listen on", default=port, type=int)
        try:
            must_be_free(settings.host, port)
        except StartError as error:
            if not asks or given is not None:
                raise
            typer.secho(f"  ✗ {error}", fg="red", err=True)
        else:
            return port


def with_login(asks: bool, plan: Plan, new_password: bool) -> Plan:
    """The service's login: of the .env that is kept, or new, or one that is there and gets a new password."""
    assert plan.migrate_url is not None
    if plan.keeps_env:
        kept = conninfo_to_dict(plan.settings.main_url) if plan.settings.database_url else {}
        if not kept.get("user") or not kept.get("password") or plan.settings.secret_key is None:
            raise StartError(f"{ENV_FILE} lacks the service's login, password or secret key: --overwrite adds them.")
        return replace(plan, service_login=str(kept["user"]), password=SecretStr(str(kept["password"])))
    if migrate.login_exists(plan.migrate_url, plan.service_login) and not new_password:
        question = f"There is a login {plan.service_login} already, and its password is not known here"
        if not asks:
            raise StartError(f"{question}: --new-password gives it one, or name another with --service-login.")
        typer.confirm(f"{question}. Give it a new one? (What uses the old one will stop)", abort=True)
    return plan


def on_embedded(plan: Plan) -> Plan:
    if plan.keeps_env and plan.settings.database_url is not None:
        raise StartError(f"{ENV_FILE} names a server of your own: --overwrite writes it anew, for the embedded one.")
    return plan


def review(plan: Plan) -> None:
    url, settings = plan.migrate_url, plan.settings
    rows = {"database": masked(url) if url else f"embedded, in {settings.data_dir.absolute()}"}
    if url:
        rows["service's login"] = f"{plan.service_login} password=••••••••"
    rows["secret key"] = "•••••••• " + ("(as set)" if settings.secret_key else "(new, 32 bytes)")
    rows["listens on"] = f"{settings.host}:{settings.port}"
    rows["settings"] = f"{ENV_FILE.absolute()}" + (" (kept)" if plan.keeps_env else "")
    table = Table("", Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console().print(table)
