"""A row is what its table holds: each field is a column of that type, but for what is never shown."""

from __future__ import annotations

import types
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from identity.app_keys import AppKey
from identity.apps import App
from identity.branches import Branch
from identity.db import Row
from identity.factors import Factor
from identity.invitations import Invitation
from identity.sessions import Session
from identity.tenants import Tenant
from identity.user_apps import UserApp
from identity.users import User
from tests import server

ROWS = {
    "tenants": Tenant,
    "apps": App,
    "branches": Branch,
    "users": User,
    "user_apps": UserApp,
    "app_keys": AppKey,
    "sessions": Session,
    "factors": Factor,
    "invitations": Invitation,
}
NEVER_SHOWN = {
    "tenants": {"purged_at"},
    "users": {"username_canonical", "email_canonical"},
    "app_keys": {"secret_hash"},
    "factors": {"secret", "last_step"},
    "sessions": {"paid_until"},
    "invitations": {"email_canonical", "token_hash", "inviter_tenant_id"},
}
KEPT_APART = {
    "invitations": {"app_ids": ("text[]", False), "scopes": ("text[]", False)},
    "factors": {"recovery_codes_left": ("bigint", False)},
    "users": {"last_login_at": ("timestamptz", True)},
    "app_keys": {"rotated_to": ("text", True), "last_used_at": ("timestamptz", True), "leaks": ("jsonb", False)},
}

COLUMNS = """
SELECT attname::text, format_type(atttypid, NULL), NOT attnotnull
  FROM pg_attribute
 WHERE attrelid = format('identity.%%I', %s::text)::regclass AND attnum > 0 AND NOT attisdropped
"""
NAMES = {"timestamp with time zone": "timestamptz"}

each_table = pytest.mark.parametrize(("table", "row"), ROWS.items(), ids=ROWS)


def column_of(annotation: Any) -> tuple[str, bool]:
    """The type of column that such a field reads, and whether it may be NULL."""
    if get_origin(annotation) in (Union, types.UnionType):
        [given] = [each for each in get_args(annotation) if each is not type(None)]
        return column_of(given)[0], True
    if annotation is str or get_origin(annotation) is Literal:
        return "text", False
    if annotation is int:
        return "bigint", False
    if annotation is datetime:
        return "timestamptz", False
    if get_origin(annotation) is tuple:
        each = column_of(get_args(annotation)[0])[0]
        return each if each == "jsonb" else f"{each}[]", False
    if get_origin(annotation) is dict or issubclass(annotation, BaseModel):
        return "jsonb", False
    raise AssertionError(f"no column holds {annotation}")


@each_table
def test_each_field_is_a_column_of_its_type_and_each_column_a_field_unless_never_shown(
    database: server.Database, table: str, row: type[Row]
) -> None:
    fields = {name: column_of(field.annotation) for name, field in row.model_fields.items()}
    columns = {
        name: (NAMES.get(type, type), nullable)
        for name, type, nullable in server.execute(database.admin_url, COLUMNS, table)
    }
    hidden = NEVER_SHOWN.get(table, set())
    assert hidden <= columns.keys()
    shown = {name: column for name, column in columns.items() if name not in hidden}
    assert fields == shown | KEPT_APART.get(table, {})


@each_table
def test_a_row_is_frozen(table: str, row: type[Row]) -> None:
    assert row.model_config["frozen"] is True
