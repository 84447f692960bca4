"""Tables in files: CSV in the dialects that spreadsheets write, and JSON Lines."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import typer

from identity.errors import StartError


class Format(StrEnum):
    """What a file is written in."""

    CSV = "csv"
    JSONL = "jsonl"


SUFFIXES = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".txt": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}
STREAM = "-"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True)
class Row:
    """One line of a file, or as many as its quoted line breaks make."""

    line: int
    cells: dict[str, Any]
    """By column: text in CSV, any JSON value in JSON Lines."""
    surplus: list[str] = field(default_factory=list)
    """Cells beyond the header."""


@dataclass(frozen=True)
class Dialect:
    """How a file is written, so that another like it opens where this one did."""

    format: Format
    encoding: str = "utf-8"
    delimiter: str = ","


def format_of(file: str, given: Format | None) -> Format:
    """As given, else by the suffix; a stream is CSV."""
    found = given or (Format.CSV if file == STREAM else SUFFIXES.get(Path(file).suffix.lower()))
    if found is None:
        raise typer.BadParameter(f"the suffix of {file} does not tell its format: give --format csv or --format jsonl")
    return found


def escape(text: str) -> str:
    """Text that a spreadsheet would take for a formula, with a quote before it."""
    return f"'{text}" if _FORMULA.match(text) else text


def unescape(text: str) -> str:
    """Takes away exactly the quote that escape() puts there."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


class Writer:
    """Writes rows to an open file, the columns' names first where the format has such."""

    def __init__(self, file: TextIO, dialect: Dialect, columns: Sequence[str]) -> None:
        self.file, self.columns = file, columns
        self.csv = csv.writer(file, delimiter=dialect.delimiter) if dialect.format is Format.CSV else None
        if self.csv:
            self.csv.writerow([escape(column) for column in columns])

    def write(self, row: dict[str, Any], surplus: Iterable[str] = ()) -> None:
        if self.csv:
            cells = [row.get(column) for column in self.columns]
            self.csv.writerow([_as_cell(value) for value in chain(cells, surplus)])
        else:
            self.file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _as_cell(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value)):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return escape(" ".join(value) if isinstance(value, list) else value) if isinstance(value, str | list) else value


def open_private(path: Path, dialect: Dialect) -> TextIO:
    """To be written, and read by its owner alone: it holds people's addresses."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    return os.fdopen(descriptor, "w", encoding=dialect.encoding, newline="")


@contextmanager
def open_target(file: str, dialect: Dialect) -> Iterator[TextIO]:
    """A file to write, whole or not at all; or standard output."""
    if file == STREAM:
        with open(sys.stdout.fileno(), "w", encoding=dialect.encoding, newline="", closefd=False) as stream:
            yield stream
        return
    unfinished = Path(f"{file}.unfinished")
    try:
        with open_private(unfinished, dialect) as text:
            yield text
        unfinished.replace(file)
    except OSError as error:
        raise StartError(f"Cannot write {file} ({error.strerror}): check its folder, or name another.") from None
    finally:
        unfinished.unlink(missing_ok=True)
