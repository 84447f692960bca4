"""What a person sees: tables and colours in a terminal, plain columns in a pipe; and JSON for machines."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

Record = dict[str, Any]

WIDE = 1_000_000
"""A pipe has no width: nothing is cut, metadata of 64 kB neither."""
COLOURS = {
    **dict.fromkeys(("active", "valid"), "green"),
    **dict.fromkeys(("suspended", "disabled", "locked", "revoked"), "red"),
}
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)[.\d]*(?:Z|\+00:00)")
LEFT_OUT = ("tenant_id", "updated_at", "prefix")
"""Of a list's columns: what is the same in all rows, or tells nobody anything."""


def console(*, to_stderr: bool = False) -> Console:
    found = Console(stderr=to_stderr, highlight=False, soft_wrap=False)
    if not found.is_terminal:
        found.width = WIDE
    return found


def show_page(page: Record, *, as_json: bool) -> None:
    if as_json:
        typer.echo(_json(page))
        return
    items: list[Record] = page["items"]
    if not items:
        typer.echo("There are none.", err=True)
        return
    names = [name for name in items[0] if name not in LEFT_OUT and any(_is_plain(item[name]) for item in items)]
    out = console()
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")  # what is cut cannot be copied
    for item in items:
        table.add_row(*(_cell(name, item[name]) for name in names))
    out.print(table)
    if page["next"] is not None:
        typer.echo(f"The first {len(items)}: --limit for more, --all for all.", err=True)


def show_record(record: Record, *, as_json: bool) -> None:
    """A key's text goes to standard output alone, so that a script can keep it: KEY=$(identity keys issue …)."""
    if as_json:
        typer.echo(_json(record))
        return
    admin_key = record.pop("admin_key", None) or {}
    token = record.pop("token", None)
    text = record.pop("key", None) or admin_key.get("key") or token
    out = console(to_stderr=text is not None)
    table = Table("", Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
    for name, value in record.items():
        table.add_row(Text(name, style="dim"), _cell(name, value, whole=True))
    out.print(table)
    if text is not None:
        out.print(Text(f"The {'token' if token else 'key'}, shown this once:", style="bold"))
        sys.stderr.flush()
        typer.echo(text)


def show_done(sentence: str, *, as_json: bool) -> None:
    typer.echo("{}" if as_json else sentence, err=not as_json)


def _is_plain(value: Any) -> bool:
    return value not in (None, [], {}) and not isinstance(value, dict)


def _cell(name: str, value: Any, *, whole: bool = False) -> Text:
    """As text that means nothing to a terminal or to rich: names may hold brackets."""
    if value is None or value == []:
        return Text("")
    if isinstance(value, dict):
        return Text(_json(value, indent=2 if whole and value else None))
    if isinstance(value, list):
        return Text(", ".join(each if isinstance(each, str) else _json(each) for each in value))
    text = instant(str(value))
    return Text(text, style=COLOURS.get(text, "cyan" if name == "id" else ""))


def instant(text: str) -> str:
    """An instant as people read it; any other text as it is."""
    return INSTANT.sub(r"\1 \2Z", text)


def _json(value: Any, indent: int | None = None) -> str:
    """Readable, and harmless: what moves a cursor, rings a bell or turns the line round stands as \\uXXXX."""
    text = json.dumps(value, ensure_ascii=sys.stdout.encoding.lower() != "utf-8", indent=indent)
    return harmless(text)


def harmless(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def plain(text: str) -> Text:
    """A table's cell with somebody else's words."""
    return Text(harmless(text))
