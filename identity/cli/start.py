"""What every start does: read the settings, and make an embedded database ready for the service."""

from __future__ import annotations

import asyncio
import base64
import getpass
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from identity import embedded, migrate
from identity.db import Scope
from identity.errors import StartError
from identity.fields import words_of
from identity.settings import SECRET_KEY_BYTES, Settings
from identity.stores import Stores, create_platform, open_stores

SERVICE_LOGIN = "identity_service"
NO_MIGRATE_URL = (
    "IDENTITY_MIGRATE_DATABASE_URL is missing: the URL of a login that may migrate"
    " (superuser, or CREATEROLE and owner of the database)."
)


def read_settings() -> Settings:
    """From IDENTITY_* variables and .env; a sentence that names the variable where one is wrong."""
    name_ourselves()
    try:
        return Settings()
    except SettingsError as error:
        name = re.findall(r'"(\w+)"', str(error))[0].upper()
        raise StartError(f"The setting IDENTITY_{name} is not as it should be: it must be JSON.") from None
    except (OSError, UnicodeDecodeError):
        raise StartError("The file .env cannot be read: it must be text in UTF-8, and yours.") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        name = f"IDENTITY_{str(found['loc'][0]).upper()} " if found["loc"] else ""
        raise StartError(f"The setting {name}is not as it should be: {words_of(found['msg'])}.") from None


def name_ourselves() -> str:
    """Who runs this; an arbitrary uid of a container has no name, and yoyo, which logs one, then fails."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return os.environ.setdefault("LOGNAME", str(os.getuid()))


def cli_scope() -> Scope:
    """Who acts at the command line, with full rank: whoever has the database's login could do it all anyway."""
    return Scope(actor=f"cli:{name_ourselves()}")


@asynccontextmanager
async def open_stores_at_hand(settings: Settings) -> AsyncIterator[Stores]:
    """The stores, with full rank. BehindMigrations where the database lacks what this program needs."""
    async with open_stores(settings) as stores:
        await migrate.must_not_be_behind(stores.session)
        yield stores.acting_as(cli_scope())


def must_have_secret_key(settings: Settings) -> None:
    """Or what is sealed now, nobody could open."""
    if settings.secret_key is None:
        raise StartError("IDENTITY_SECRET_KEY is missing, under which secrets are sealed.")


def new_secret_key() -> str:
    return base64.b64encode(secrets.token_bytes(SECRET_KEY_BYTES)).decode()


def prepare(settings: Settings, place: embedded.Place) -> Settings:
    """Migrations, the service's login and the platform's first key, each made once; the settings filled in."""
    superuser = place.url(embedded.SUPERUSER)
    migrate.apply(superuser)
    if not migrate.login_exists(superuser, SERVICE_LOGIN):
        migrate.make_login(superuser, SERVICE_LOGIN, None)
    settings = on_embedded(settings, place)
    asyncio.run(_make_platform(settings))
    return settings


def on_embedded(settings: Settings, place: embedded.Place) -> Settings:
    """The settings with the embedded server's URL and, unless one is set, the secret key of the data directory."""
    key = settings.secret_key or SecretStr(_kept(settings.data_dir / "secret_key", new_secret_key))
    return settings.model_copy(update={"database_url": SecretStr(place.url(SERVICE_LOGIN)), "secret_key": key})


async def _make_platform(settings: Settings) -> None:
    """Its key is written before it is committed, so that neither can be without the other."""
    async with open_stores(settings) as stores, stores.transaction() as tx:
        if key := await create_platform(tx):
            write_secret(settings.data_dir / "admin_key", key.key)


def _kept(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_secret(path, make())
    return path.read_text().strip()


def write_secret(path: Path, text: str) -> None:
    """Readable by its owner alone, from the first moment, and whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
        unfinished.rename(path)
    except OSError as error:
        raise StartError(f"The file {path.absolute()} cannot be written ({error.strerror}).") from None


@contextmanager
def database(settings: Settings) -> Iterator[Settings]:
    """The database for one command: the one that is set, the embedded one that runs, or one started for as long."""
    if settings.database_url is not None:
        yield settings
    elif embedded.is_running(settings.data_dir):
        yield on_embedded(settings, embedded.place(settings.data_dir))
    else:
        with embedded.hold(settings.data_dir), embedded.server(settings.data_dir) as place:
            yield prepare(settings, place)


@contextmanager
def migrating_url(settings: Settings) -> Iterator[str]:
    """The login that may migrate."""
    if settings.migrate_database_url is not None:
        yield settings.migrate_database_url.get_secret_value()
    elif settings.database_url is not None:
        raise StartError(NO_MIGRATE_URL)
    elif embedded.is_running(settings.data_dir):
        yield embedded.place(settings.data_dir).url(embedded.SUPERUSER)
    else:
        with embedded.hold(settings.data_dir), embedded.server(settings.data_dir) as place:
            yield place.url(embedded.SUPERUSER)
