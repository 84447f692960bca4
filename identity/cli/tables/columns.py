"""Which column of a file is which field of a record: as told, else guessed from its name, and shown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from identity.api import strict_json
from identity.cli.show import plain
from identity.cli.tables.tabular import Format, Row
from identity.errors import Invalid, StartError

Path = tuple[str, ...]
"""A field, or a document and its member."""
Fate = Literal["as told", "by its name", "left out", "passed over", "unknown, left out"]

REFUSED = ("refused_line", "refused_field", "refused_reason")
"""Of a file of refused rows; passed over when it is imported again."""
KEPT_BY_US = ("tenant_id", "app_id", "created_at", "updated_at", "deleted_at")


@dataclass(frozen=True)
class Shape:
    """What a noun's records look like in a file."""

    noun: str
    fields: tuple[str, ...]
    documents: dict[str, tuple[str, ...]]
    """Those with members of their own, which stand in columns as address.city."""
    names: tuple[str, ...]
    """By which a row names its record."""
    synonyms: dict[str, str]
    """What other systems call a field, without case and punctuation."""
    statuses: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    """Fields that come in and never go out."""
    numbers: frozenset[Path] = frozenset()
    json: frozenset[Path] = frozenset({("metadata",), ("settings",)})

    def path(self, target: str) -> Path | None:
        """address.city as a path, where there is such a field."""
        name, dot, member = target.partition(".")
        if not dot:
            return (name,) if name in (*self.fields, *self.unseen) else None
        known = name == "metadata" or member in self.documents.get(name, ())
        return (name, member) if known and member else None

    def in_csv(self) -> tuple[str, ...]:
        """The columns of a CSV file, in their order."""
        flat: list[str] = []
        for name in self.fields:
            spread = name in self.documents and (name,) not in self.json
            flat += [f"{name}.{member}" for member in self.documents[name]] if spread else [name]
        return tuple(flat)


class Refused(Exception):
    """A row that cannot be taken: which field of it, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True)
class Mapped:
    """Where a column goes, and how that is known."""

    path: Path | None
    fate: Fate


@dataclass
class Columns:
    """A file's columns as fields; in JSON Lines new ones may turn up with any row."""

    shape: Shape
    format: Format
    told: dict[str, str]
    found: dict[str, Mapped] = field(default_factory=dict)

    def add(self, column: str) -> Mapped:
        if column not in self.found:
            mapped = self._judge(column)
            if twice := mapped.path and self.column(mapped.path):
                raise StartError(
                    f"The columns {twice} and {column} would both be {'.'.join(mapped.path or ())}:"
                    f' leave one out, for instance by --map "{column}=".'
                )
            self.found[column] = mapped
        return self.found[column]

    def column(self, path: Path) -> str | None:
        return next((column for column, mapped in self.found.items() if mapped.path == path), None)

    def column_of(self, location: Path) -> str:
        """The column that holds what is wrong there, or the field itself where none does."""
        for length in range(len(location), 0, -1):
            if column := self.column(location[:length]):
                return column
        return ".".join(location[:2])

    def _judge(self, column: str) -> Mapped:
        if column in self.told:
            target = self.told[column]
            return Mapped(self.shape.path(target), "as told" if target else "left out")
        if column in REFUSED or _plain(column) in map(_plain, KEPT_BY_US):
            return Mapped(None, "passed over")
        path = self._guess(column)
        return Mapped(path, "by its name" if path else "unknown, left out")

    def _guess(self, column: str) -> Path | None:
        exact = self.shape.path(column.strip())
        if exact and (self.format is Format.JSONL or exact[0] == "metadata" or column.strip() in self._known()):
            return exact
        plain = _plain(column)
        by_name = {_plain(name): name for name in self._known()}
        target = by_name.get(plain) or self.shape.synonyms.get(plain)
        return self.shape.path(target) if target else None

    def _known(self) -> tuple[str, ...]:
        settings = tuple(f"settings.{member}" for member in self.shape.documents.get("settings", ()))
        return (*self.shape.in_csv(), *self.shape.unseen, *settings)

    def values(self, row: Row) -> dict[Path, Any]:
        """What the row gives, by field; an empty cell is None. Refused where a cell cannot be read."""
        if row.surplus:
            raise Refused("", f"has {len(row.surplus)} more cells than there are columns")
        found = {}
        for column, cell in row.cells.items():
            if path := self.add(column).path:
                found[path] = self._value(column, path, cell) if self.format is Format.CSV else cell
        return found

    def _value(self, column: str, path: Path, cell: str) -> Any:
        text = cell if path[0] == "metadata" and len(path) > 1 else cell.strip()
        if not text:
            return None
        if path in self.shape.json:
            return _json(column, text)
        return _number(text) if path in self.shape.numbers else text

    def show(self, console: Console) -> None:
        table = Table("column", "field", "")
        for column, mapped in self.found.items():
            target = ".".join(mapped.path) if mapped.path else "-"
            table.add_row(plain(column), plain(target), mapped.fate, style=None if mapped.path else "dim")
        console.print(table)


def read_maps(maps: Iterable[str], shape: Shape) -> dict[str, str]:
    """`Mail=email` as {"Mail": "email"}; a usage error where there is no such field."""
    found = {}
    for given in maps:
        column, equals, target = given.rpartition("=")
        if not equals or (target and shape.path(target) is None):
            known = ", ".join((*shape.in_csv(), *shape.unseen))
            raise typer.BadParameter(f"--map {given!r} names no field: COLUMN=FIELD, of {known}, metadata.ANY")
        found[column] = target
    return found


def mapped(shape: Shape, format: Format, columns: list[str], maps: Iterable[str], name: str) -> Columns:
    """The columns of a file that is about to be imported; StartError where none of them names a record."""
    told = read_maps(maps, shape)
    if missing := [column for column in told if column not in columns and format is Format.CSV]:
        raise typer.BadParameter(f"{name} has no column {missing[0]}: it has {', '.join(columns)}")
    found = Columns(shape, format, told)
    for column in columns:
        found.add(column)
    if not any(found.column((each,)) for each in shape.names):
        raise StartError(
            f"No column of {name} names a {shape.noun}: say which does, for instance"
            f' --map "{columns[0]}={shape.names[1]}".'
        )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _json(column: str, text: str) -> Any:
    try:
        return strict_json.loads(text.encode())
    except Invalid as error:
        raise Refused(column, error.detail.replace("The body", "It").rstrip(".")) from None


def _number(text: str) -> float | str:
    """Left as text where it is none, for the field's own judgement."""
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text
