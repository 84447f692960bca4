"""Reading a table from a file: its encoding, its dialect, and its rows, one at a time."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

import typer

from identity.api import strict_json
from identity.cli.tables.tabular import STREAM, Dialect, Format, Row, format_of, unescape
from identity.errors import Invalid, StartError

DELIMITERS = ",;\t|"
READ_AHEAD_BYTES = 1 << 16
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A file that is read once, from its first row to its last."""

    name: str
    dialect: Dialect
    columns: list[str]
    """Of CSV all of them; of JSON Lines those of the first row."""
    rows: Iterator[Row]
    binary: BinaryIO
    size_bytes: int | None

    @property
    def read_bytes(self) -> int:
        return self.binary.tell() if self.size_bytes is not None else 0


@contextmanager
def open_source(file: str, format: Format | None = None, encoding: str | None = None) -> Iterator[Source]:
    """A file to read, or StartError where it is none that could be."""
    kind = format_of(file, format)
    name = "standard input" if file == STREAM else Path(file).name
    with open_binary(file) as binary:
        encoding = _encoding(encoding) or _by_bom(binary)
        size_bytes = None if file == STREAM else Path(file).stat().st_size
        with io.TextIOWrapper(binary, encoding, newline="") as text:
            lines = _lines(text, name)
            columns, rows, delimiter = _read_csv(lines, name) if kind is Format.CSV else _read_jsonl(lines, name)
            yield Source(name, Dialect(kind, encoding, delimiter), columns, rows, binary, size_bytes)


def open_binary(file: str) -> io.BufferedReader:
    try:
        if file == STREAM:
            return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), READ_AHEAD_BYTES)
        return io.BufferedReader(io.FileIO(file), READ_AHEAD_BYTES)
    except OSError as error:
        raise StartError(
            f"Cannot read {file} ({error.strerror}): check its name and whether you may read it."
        ) from None


def _encoding(name: str | None) -> str | None:
    try:
        found = codecs.lookup(name) if name else None
        "".encode(name or "utf-8")  # some turn no text into bytes: rot13
    except LookupError:
        raise typer.BadParameter(f"there is no encoding {name}: try utf-8, utf-16 or cp1252") from None
    return found.name if found else None


def _by_bom(binary: io.BufferedReader) -> str:
    start = binary.peek(4)
    return next((encoding for bom, encoding in _BOMS if start.startswith(bom)), "utf-8")


def _lines(text: TextIO, name: str) -> Iterator[str]:
    """Its lines with their ends, or the line where it is not of its encoding: a decoder fails ahead of the last line
    that was handed out, by as many lines as lie before its error in what it was given."""
    count = 0
    try:
        for line in text:
            count += 1
            if "\0" in line:
                raise StartError(f"Line {count} of {name} holds NULs: if it is UTF-16, give --encoding utf-16-le.")
            if strict_json.SURROGATE.search(line):
                raise StartError(f"Line {count} of {name} holds half a character: name its encoding by --encoding.")
            yield line
    except UnicodeDecodeError as error:
        at = count + 1 + error.object[: error.start].count(b"\n")
        raise StartError(
            f"Line {at} of {name} is not {text.encoding.removesuffix('-sig').upper()}: save it as UTF-8,"
            " or name its encoding (of Excel on Windows: --encoding cp1252)."
        ) from None
    except UnicodeError as error:
        raise StartError(f"{name} is not {text.encoding.upper()} ({error}): name its encoding by --encoding.") from None


def _read_csv(lines: Iterator[str], name: str) -> tuple[list[str], Iterator[Row], str]:
    skipped, head = _head(lines, name)
    delimiter = max(DELIMITERS, key=lambda each: len(_cells(head, each)))
    if named := _SEPARATOR.fullmatch(head[0]):
        delimiter, (more, head) = named[1], _head(lines, name)
        skipped += more + 1
    reader = csv.reader(chain(head, lines), delimiter=delimiter, strict=True)
    try:
        columns = [unescape(cell).strip() or f"column {n}" for n, cell in enumerate(next(reader), 1)]
    except csv.Error as error:
        _refuse_csv(skipped + 1, name, str(error))
    if twice := next((column for column in columns if columns.count(column) > 1), None):
        raise StartError(f"The column {twice} is there twice in {name}: rename or remove one.")
    return columns, _csv_rows(reader, columns, name, skipped), delimiter


def _head(lines: Iterator[str], name: str) -> tuple[int, list[str]]:
    """How many blank lines come before the first row, and the lines of that row: one, unless a quote runs on."""
    skipped = quotes = chars = 0
    head: list[str] = []
    for line in lines:
        if not head and not line.strip():
            skipped += 1
            continue
        head.append(line)
        quotes, chars = quotes + line.count('"'), chars + len(line)
        if quotes % 2 == 0:
            return skipped, head
        if chars > READ_AHEAD_BYTES:
            break
    if head:
        _refuse_csv(skipped + 1, name, "a quote is not closed")
    raise StartError(f"{name} is empty: its first line must name the columns.")


def _cells(head: list[str], delimiter: str) -> list[str]:
    return next(csv.reader(head, delimiter=delimiter))


def _csv_rows(reader: Any, columns: list[str], name: str, skipped: int) -> Iterator[Row]:
    while True:
        line = skipped + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            _refuse_csv(line, name, str(error))
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield _csv_row(line, columns, [unescape(cell) for cell in cells])


def _refuse_csv(line: int, name: str, why: str) -> NoReturn:
    raise StartError(f"From line {line} on {name} is not CSV ({why}): mend the quotes there.") from None


def _csv_row(line: int, columns: list[str], cells: list[str]) -> Row:
    padded = cells + [""] * (len(columns) - len(cells))
    return Row(line, dict(zip(columns, padded, strict=False)), cells[len(columns) :])


def _read_jsonl(lines: Iterator[str], name: str) -> tuple[list[str], Iterator[Row], str]:
    rows = (Row(n, _object(line, n, name)) for n, line in enumerate(lines, 1) if line.strip())
    first = next(rows, None)
    if first is None:
        raise StartError(f"{name} is empty: each line of it must be a JSON object.")
    return list(first.cells), chain([first], rows), ","


def _object(line: str, number: int, name: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(line.encode())
    except Invalid as error:
        why = error.detail.replace("The body", "it").rstrip(".")
        raise StartError(f"Line {number} of {name} cannot be read ({why}): mend it.") from None
    if not isinstance(value, dict):
        raise StartError(f"Line {number} of {name} is not a JSON object: mend it.")
    return value
