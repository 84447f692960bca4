"""The constraints of the schema, by table: each is named for the error that it means, so what an operation writes tells
which of them it can meet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from identity.api.routes import Route
from identity.migrate import directory

_TABLES = {"access": "user_apps", "keys": "app_keys"}
"""The nouns whose table is called otherwise."""
_SETS = {
    "delete": {"deleted_at"},
    "restore": {"deleted_at"},
    "disable": {"status"},
    "suspend": {"status"},
}
"""The columns that a verb sets without a body."""


@dataclass(frozen=True)
class Constraint:
    """Its name, and the text that tells which columns it is about."""

    name: str
    about: str

    def concerns(self, columns: set[str]) -> bool:
        return bool(columns & set(re.findall(r"\w+", self.about.replace("_canonical", ""))))


@cache
def _source(table: str) -> str:
    """Nothing of a noun that has none: the service itself."""
    path = directory("schema") / f"{table}.sql"
    return path.read_text() if path.exists() else ""


def _found(table: str, pattern: str) -> list[Constraint]:
    return [Constraint(*found) for found in re.findall(pattern, _source(table))]


def _table(route: Route) -> str:
    return _TABLES.get(route.noun, route.noun)


def _writes(route: Route) -> set[str]:
    given = route.takes.model_fields if route.takes and (route.makes or route.method in ("PUT", "PATCH")) else ()
    return {*given, *_SETS.get(route.verb, ())}


def broken_values(route: Route) -> list[str]:
    """The checks that no type holds before the database does."""
    checks = _found(_table(route), r"CONSTRAINT (\w+) CHECK (.*)")
    raised = [Constraint(name, "scopes") for name in _raised(_table(route)) if "scope" in name]
    held = ("_invalid", "_missing", "_too_many", "protected")
    return [each.name for each in (*checks, *raised) if each.concerns(_writes(route)) and not each.name.endswith(held)]


def _raised(table: str) -> list[str]:
    return re.findall(r"check_violation USING CONSTRAINT = '(\w+)'", _source(table))


def conflicts(route: Route) -> list[str]:
    """What is taken, what is full, and what may not be touched."""
    table, writes = _table(route), _writes(route)
    brings = route.makes or route.method == "PUT" or route.verb == "restore"
    keys = _found(table, r"CONSTRAINT (\w+_taken) PRIMARY KEY (.*)") if "id" in writes else []
    unique = _found(table, r"UNIQUE INDEX (\w+) ON (.*)") if route.verb != "delete" else []
    protected = _found(table, r"CONSTRAINT (protected) CHECK (.*)") if route.verb != "restore" else []
    found = [each.name for each in keys] + [
        each.name for each in (*unique, *protected) if each.concerns(writes - {"id"})
    ]
    return found + (_quota(table) if brings else [])


def _quota(table: str) -> list[str]:
    counted = re.findall(r"noun IN \((.*)\)", _source("tenant_counters"))[0]
    return [f"{table}_max_reached"] if f"'{table}'" in counted else []
