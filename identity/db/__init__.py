"""The only package that speaks psycopg to the stores: pool, tenant scope, rows, stores, and what an error means."""

from psycopg import Rollback

from identity.db.pool import check_login, json_loads, open_pool, secrets_in_dsn, settings_of
from identity.db.sessions import Connection, Pool, PoolSession, Scope, Session, bounded, checkout, in_scope
from identity.db.store import (
    IfMatch,
    Page,
    Row,
    Store,
    columns,
    in_order,
    jsonb,
    naming,
    precondition_failed,
)
from identity.db.sweeps import Swept, sweep, sweep_by_tenant

__all__ = [
    "Connection",
    "IfMatch",
    "Page",
    "Pool",
    "PoolSession",
    "Rollback",
    "Row",
    "Scope",
    "Session",
    "Store",
    "Swept",
    "bounded",
    "check_login",
    "checkout",
    "columns",
    "in_order",
    "in_scope",
    "json_loads",
    "jsonb",
    "naming",
    "open_pool",
    "precondition_failed",
    "secrets_in_dsn",
    "settings_of",
    "sweep",
    "sweep_by_tenant",
]
