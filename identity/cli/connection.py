"""Can this login set a database up: what is wrong is said in a sentence, with what mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import Identifier

from identity.errors import StartError
from identity.migrate import NO_HOST, why_not

CONNECT_TIMEOUT_S = 5
OLDEST = 150000

ABOUT = """
SELECT current_user::text AS login, current_database()::text AS database, pg_backend_pid() AS pid,
       pg_is_in_recovery() AS is_replica, current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_num, current_setting('server_encoding') AS encoding,
       r.rolsuper AS is_superuser, r.rolcreaterole AS may_make_roles,
       pg_has_role(d.datdba, 'USAGE') AS owns_database
  FROM pg_roles AS r, pg_database AS d
 WHERE r.rolname = current_user AND d.datname = current_database()
"""


@dataclass(frozen=True)
class Database:
    """A database that this login can set up."""

    login: str
    name: str
    version: str
    is_superuser: bool

    def __str__(self) -> str:
        rights = "superuser" if self.is_superuser else "may make roles, owns the database"
        return f"PostgreSQL {self.version}, database {self.name}, login {self.login}: {rights}"


def masked(url: str) -> str:
    """The URL as it may be shown: a password is dots."""
    parts = conninfo_to_dict(url)
    if not str(parts.get("port", "")).isdigit():
        parts.pop("port", None)  # half a password, more likely than a port
    named = " ".join(f"{name}={parts[name]}" for name in ("host", "port", "dbname", "user") if parts.get(name))
    return f"{named} password=••••••••" if conninfo_to_dict(url).get("password") else named


def examine(url: str) -> Database:
    """Connects and looks. StartError with what is wrong and what mends it."""
    _must_read_as_meant(url)
    try:
        where = masked(url) or "the default server"
        connection = psycopg.connect(make_conninfo(url, connect_timeout=CONNECT_TIMEOUT_S), autocommit=True)
    except psycopg.ProgrammingError:
        raise StartError("This is no PostgreSQL URL: postgresql://LOGIN:PASSWORD@HOST:PORT/DATABASE") from None
    except psycopg.OperationalError as error:
        raise StartError(f"No connection to {where}: {why_not(str(error))}.") from None
    except UnicodeError:  # of a name with an empty label, or one of more than 63 letters
        raise StartError(f"No connection to {where}: {NO_HOST}.") from None
    with connection:
        found = _about(connection, where)
        if wrong := _what_is_wrong(found, connection.info.backend_pid):
            raise StartError(wrong)
        return Database(found["login"], found["database"], found["version"], found["is_superuser"])


def _must_read_as_meant(url: str) -> None:
    """Of a password with a raw @, / or ?, libpq would take the rest for the host, and so would we show it."""
    if re.match(r"postgres(ql)?://", url) and not re.fullmatch(r"\w+://[^@/?]*@?[^@]*", url):
        raise StartError("This URL is not read as it is meant: in a password write @ as %40, / as %2F and ? as %3F.")


def _about(connection: psycopg.Connection[Any], where: str) -> dict[str, Any]:
    try:
        found = connection.cursor(row_factory=psycopg.rows.dict_row).execute(ABOUT).fetchone()
    except psycopg.Error as error:
        raise StartError(f"A connection to {where}, and no answer: {why_not(str(error))}.") from None
    assert found is not None
    return found


def _what_is_wrong(found: dict[str, Any], pid: int) -> str | None:
    login, database = found["login"], found["database"]
    if found["version_num"] < OLDEST:
        return f"This is PostgreSQL {found['version']}: it must be 15 or later."
    if found["pid"] != pid:  # the server's process is another than the one that we were told of
        return "A pooler answers, and a direct connection is needed here: name the server itself, on its own port."
    if found["is_replica"]:
        return "This server is a replica, and takes no changes: name the primary."
    if found["encoding"] != "UTF8":
        return f"The database {database} is in {found['encoding']}: make one with ENCODING 'UTF8'."
    if found["is_superuser"]:
        return None
    if not found["may_make_roles"]:
        return f"The login {login} may make no roles: ALTER ROLE {_quoted(login)} CREATEROLE, or use one that may."
    if not found["owns_database"]:
        mend = f"ALTER DATABASE {_quoted(database)} OWNER TO {_quoted(login)}"
        return f"The login {login} does not own the database: {mend}."
    return None


def _quoted(name: str) -> str:
    return Identifier(name).as_string()
