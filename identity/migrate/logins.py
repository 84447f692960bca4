"""Roles and logins: what belongs to the cluster, and so to no migration."""

from __future__ import annotations

import secrets
import time
from typing import Any

import psycopg
from psycopg import sql

from identity.errors import StartError
from identity.migrate.files import directory
from identity.migrate.reasons import why_not

IS_OURS = """
SELECT NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)
       AND pg_has_role(oid, 'identity_app', 'MEMBER')
  FROM pg_roles WHERE rolname = %s
"""


def connect(url: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise StartError(f"The database cannot be reached by the login that migrates: {why_not(str(error))}.") from None


def make_roles(url: str) -> None:
    """Runs schema/roles.sql; by any login that is superuser, or has CREATEROLE and owns the database."""
    script = (directory("schema") / "roles.sql").read_text(encoding="utf-8")
    with connect(url) as connection:
        for tries_left in reversed(range(20)):
            try:
                connection.execute(script.encode())
            except psycopg.errors.InsufficientPrivilege as error:
                raise StartError(
                    f"This login may not make the roles ({error.diag.message_primary}): "
                    "use one that is superuser, or that has CREATEROLE and owns the database."
                ) from None
            except psycopg.errors.InternalError_:
                if not tries_left:
                    raise
                time.sleep(0.05)  # "tuple concurrently updated": another database of this cluster grants the same
            else:
                return


def new_password() -> str:
    return secrets.token_urlsafe(32)


def make_login(url: str, name: str, password: str | None) -> None:
    """The service's login: NOINHERIT, and a member of what the service becomes and of nothing else. Its password is
    hashed before it is sent, so that no server log can hold it; None gives it none. One of ours that is there already
    is made so again; any other is refused."""
    try:
        with connect(url) as connection, connection.transaction():
            _make_login(connection, name, password)
    except psycopg.errors.InsufficientPrivilege as error:
        raise StartError(
            f"This login may not make the login {name} ({error.diag.message_primary}): "
            "use one that is superuser or has CREATEROLE, or name another with --service-login."
        ) from None


def _make_login(connection: psycopg.Connection[Any], name: str, password: str | None) -> None:
    login, found = sql.Identifier(name), connection.execute(IS_OURS, [name]).fetchone()
    if found == (False,):
        raise StartError(f"There is a login {name} that was not made for this: name another with --service-login.")
    connection.execute(sql.SQL("{} ROLE {} LOGIN NOINHERIT").format(sql.SQL("ALTER" if found else "CREATE"), login))
    if password:
        hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(login, hashed))
    options = sql.SQL(" WITH INHERIT FALSE, SET TRUE" if connection.info.server_version >= 160000 else "")
    for role in ("identity_app", "identity_verifier", "identity_platform"):
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), login) + options)


def login_exists(url: str, name: str) -> bool:
    with connect(url) as connection:
        return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone() is not None
