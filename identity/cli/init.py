"""identity init: from nothing to a service that can start. First all questions, then a review, and only then deeds:
the migrations, each whole by itself; then, with Ctrl-C held off, .env, the service's login and the platform's key."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from pydantic import SecretStr

from identity import migrate
from identity.cli.start import SERVICE_LOGIN, database, new_secret_key, read_settings, write_secret
from identity.cli.wizard import (
    ENV_FILE,
    Plan,
    is_embedded,
    keeps_env,
    on_embedded,
    own_server,
    port_of,
    review,
    with_login,
)
from identity.settings import Settings
from identity.stores import create_platform, open_stores


def _name_of_a_login(name: str) -> str:
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_-]{0,62}", name):
        raise typer.BadParameter("must be 1 to 63 of a-z, 0-9, _ and -, and not begin with pg_")
    return name


def init(
    embedded: Annotated[
        bool | None, typer.Option("--embedded/--own-server", help="PostgreSQL in the data directory, or your own.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="Your server, as a login that may migrate; - reads it. Default: IDENTITY_MIGRATE_DATABASE_URL."
        ),
    ] = None,
    service_login: Annotated[
        str, typer.Option(callback=_name_of_a_login, help="The login to make for the service.")
    ] = SERVICE_LOGIN,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="If that login is there already, give it a new password.")
    ] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port that the service will listen on.")] = None,
    keep_env: Annotated[
        bool, typer.Option("--keep-env", help="If there is a .env, keep it, and make the database match it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="If there is a .env, write it anew.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: options and IDENTITY_* variables answer.")] = False,
) -> None:
    """Set the service up: roles, its login, migrations, the first platform key, and .env.

    Your own server needs a login that is superuser, or has CREATEROLE and owns the database."""
    settings, asks = read_settings(), not yes
    keeps = keeps_env(asks, keep_env, overwrite)
    url = None if is_embedded(asks, embedded, database_url, settings) else own_server(asks, database_url, settings)
    chosen = {"migrate_database_url": url, "port": port_of(asks, port, settings)}
    plan = Plan(settings.model_copy(update=chosen), service_login, SecretStr(migrate.new_password()), keeps)
    plan = with_login(asks, plan, new_password) if url is not None else on_embedded(plan)
    review(plan)
    if asks:
        typer.confirm("Go ahead?", default=True, abort=True)
    if url is not None:
        _set_up(plan, url.get_secret_value())
    else:
        _set_up_embedded(plan)
    typer.echo("Start it with: identity serve")


def _set_up(plan: Plan, url: str) -> None:
    migrate.apply(url, typer.echo)
    key = plan.settings.secret_key or SecretStr(new_secret_key())
    service = {"database_url": plan.service_url, "secret_key": key}
    with _uninterrupted():
        with _env_file(plan, {**service, "port": plan.settings.port}):
            migrate.make_login(url, plan.service_login, plan.password.get_secret_value())
        asyncio.run(_show_platform_key(plan.settings.model_copy(update=service)))


def _set_up_embedded(plan: Plan) -> None:
    """Its first start makes roles, migrations, secret key and the platform's key; a second one finds them."""
    settings = plan.settings.model_copy(update={"database_url": None})
    with database(settings):
        kept = settings.data_dir / "admin_key"
    with _uninterrupted(), _env_file(plan, {"data_dir": settings.data_dir.absolute(), "port": settings.port}):
        typer.echo(f"The platform's key, which stays in {kept}: {kept.read_text().strip()}")


@contextmanager
def _env_file(plan: Plan, settings: dict[str, object]) -> Iterator[None]:
    """Written before what it speaks of is made, and taken back if that fails: so the database never has a login whose
    password nobody knows."""
    if plan.keeps_env:
        yield
        return
    before = ENV_FILE.read_text() if ENV_FILE.exists() else None
    kept = _kept_lines(before or "", {*settings, "database_url", "lanes_database_url"})
    lines = [f"IDENTITY_{name.upper()}={_env_quoted(value)}" for name, value in settings.items()]
    write_secret(ENV_FILE, "\n".join([*lines, *kept]))
    try:
        yield
    except BaseException:
        ENV_FILE.unlink() if before is None else write_secret(ENV_FILE, before.rstrip("\n"))
        raise
    typer.echo(f"wrote {ENV_FILE} (readable by you alone)")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits: it is a moment, and half of it would be worse than either."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _kept_lines(before: str, names: set[str]) -> list[str]:
    """What somebody set besides: trusted proxies, say."""
    ours = {f"IDENTITY_{name.upper()}" for name in names}
    return [line for line in before.splitlines() if line.partition("=")[0].strip().upper() not in ours]


def _env_quoted(value: object) -> str:
    """As a .env file quotes it."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


async def _show_platform_key(settings: Settings) -> None:
    async with open_stores(settings) as stores:
        key = await create_platform(stores)
    if key is None:
        typer.echo("There is a platform already; for a key: identity keys issue platform identity --scope '*'")
    else:
        typer.echo(f"The platform's key, shown this once: {key.key}")
