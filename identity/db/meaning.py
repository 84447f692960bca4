"""What a database error means to the caller: a constraint is named for the error that it is."""

from __future__ import annotations

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from identity.errors import Conflict, IdentityError, Invalid, NotFound, Unavailable

AGAIN = (pg.SerializationFailure, pg.DeadlockDetected)
"""Nothing has happened, and the same statement may well succeed now."""
GONE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TooManyRequests)
"""There is no connection, or no more."""

GIVEN_TWICE = "given_twice"
"""An upsert that would write one row twice; the store knows its better name."""

_BUSY = (pg.QueryCanceled, pg.LockNotAvailable, *AGAIN)
_CONFLICTS = ("_taken", "_reached", "protected")


def meaning(error: Exception) -> Exception:
    """Ours where the caller can do something about it; else the error itself, which is our bug: a violation of
    row-level security (42501), say."""
    if isinstance(error, pg.IntegrityError):
        return _constraint(error.diag.constraint_name) if error.diag.constraint_name else error
    if isinstance(error, pg.CardinalityViolation):
        return Conflict(GIVEN_TWICE, "The same record is given twice.")
    if isinstance(error, _BUSY):
        return Unavailable("The database was too busy to finish this in time; try again shortly.")
    if isinstance(error, pg.DataError) and not isinstance(error, pg.InvalidParameterValue):
        return Invalid("invalid_request", "A value is outside what the database can hold.")
    return Unavailable() if isinstance(error, GONE) else error


def _constraint(name: str) -> IdentityError:
    detail = name.replace("_", " ").capitalize() + "."
    if name.endswith(_CONFLICTS) or name.startswith("already_"):
        return Conflict(name, detail)
    if name.endswith("_not_found"):
        return NotFound(name, detail)
    return Invalid(name, detail)
