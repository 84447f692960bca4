"""identity init"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from identity import migrate
from identity.cli.start import NO_MIGRATE_URL, SERVICE_LOGIN, new_secret_key, read_settings, write_secret
from identity.errors import StartError
from identity.settings import Settings
from identity.stores import create_platform, open_stores

ENV_FILE = Path(".env")


def init(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    service_login: Annotated[str, typer.Option(help="The login to make for the service.")] = SERVICE_LOGIN,
) -> None:
    """Set up a server of one's own: roles, the service's login, migrations, the first platform key, and .env.

    Needs IDENTITY_MIGRATE_DATABASE_URL: a login that is superuser, or has CREATEROLE and owns the database."""
    settings = read_settings()
    if settings.migrate_database_url is None:
        raise StartError(NO_MIGRATE_URL)
    if ENV_FILE.exists():
        raise StartError(f"There is a {ENV_FILE} already, and it is not overwritten: move it away to set up anew.")
    url = settings.migrate_database_url.get_secret_value()
    if migrate.login_exists(url, service_login):
        raise StartError(
            f"There is a login {service_login} already, and its password is not known here: "
            "drop it, or name another with --service-login."
        )
    if not yes:
        typer.confirm(f"Migrate this database, make the login {service_login}, and write {ENV_FILE}?", abort=True)
    migrate.apply(url, typer.echo)
    password = migrate.make_login(url, service_login)
    service = SecretStr(make_conninfo(url, user=service_login, password=password, options=None))
    key = settings.secret_key or SecretStr(new_secret_key())
    write_secret(
        ENV_FILE,
        f"IDENTITY_DATABASE_URL={_quoted(service)}\nIDENTITY_SECRET_KEY={key.get_secret_value()}",
    )
    typer.echo(f"wrote {ENV_FILE} (readable by you alone)")
    asyncio.run(_show_platform_key(settings.model_copy(update={"database_url": service, "secret_key": key})))
    typer.echo("Start it with: identity serve")


def _quoted(value: SecretStr) -> str:
    """As a .env file quotes it."""
    escaped = value.get_secret_value().replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


async def _show_platform_key(settings: Settings) -> None:
    async with open_stores(settings) as stores:
        key = await create_platform(stores)
    if key is None:
        typer.echo("There is a platform already; for a key: identity keys issue platform identity --scope '*'")
    else:
        typer.echo(f"The platform's key, shown this once: {key.key}")
