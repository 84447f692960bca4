"""The files: where they lie, in which order they come, and what a step would do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from yoyo import read_migrations
from yoyo.migrations import Migration, MigrationList, read_sql_migration


@dataclass(frozen=True)
class Step:
    """A migration that is to be applied, and what it would do."""

    id: str
    statements: list[str]
    transactional: bool


def directory(name: str) -> Path:
    """schema/ or migrations/: beside the package in a checkout, inside it in a wheel."""
    inside = Path(str(resources.files("identity"))) / name
    return inside if inside.is_dir() else inside.parents[1] / name


def read(source: Path | None = None) -> MigrationList:
    found = read_migrations(str(source or directory("migrations")))
    return found.replace(sorted(found, key=lambda migration: migration.id))


def ids() -> list[str]:
    return sorted(
        path.stem for path in directory("migrations").glob("*.sql") if not path.name.endswith(".rollback.sql")
    )


def step_of(migration: Migration) -> Step:
    directives, _, statements = read_sql_migration(migration.path)
    return Step(migration.id, statements, directives.get("transactional", "true").lower() != "false")


def sha256_of(migration: Migration) -> str:
    return hashlib.sha256(Path(migration.path).read_bytes()).hexdigest()
