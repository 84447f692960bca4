"""How often keys were verified, drawn: a bar an hour or day, what was good and what was refused."""

from __future__ import annotations

from collections import defaultdict

from rich.table import Table
from rich.text import Text

from identity.cli.show import Record, console, instant, show_page

BAR_CELLS = 40
EIGHTHS = " ▏▎▍▌▋▊▉█"


def show_usage(usage: Record, *, as_json: bool) -> None:
    """Bars for who looks at a terminal; in a pipe a line for each count, since bars are no numbers."""
    out = console()
    if as_json or not out.is_terminal or not usage["items"]:
        show_page(usage if as_json else {**usage, "next": None}, as_json=as_json)
        return
    by_time: dict[str, dict[str, int]] = defaultdict(dict)
    for item in usage["items"]:
        by_time[item["at"]][item["code"]] = item["count"]
    most = max(sum(counts.values()) for counts in by_time.values())
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(width=BAR_CELLS)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for at, counts in by_time.items():
        total = sum(counts.values())
        refused = ", ".join(f"{code} {count:,}" for code, count in counts.items() if code != "valid")
        bar = _bar(counts.get("valid", 0), total, most)
        table.add_row(Text(instant(at), style="dim"), bar, f"{total:,}", Text(refused, style="red"))
    out.print(table)


def _bar(good: int, total: int, most: int) -> Text:
    """Green as far as keys were good, then red; the longest fills the column."""
    eighths = max(1, round(total / most * BAR_CELLS * 8))
    whole, rest = divmod(eighths, 8)
    bar = "█" * whole + (EIGHTHS[rest] if rest else "")
    green = round(good / total * len(bar))
    return Text.assemble((bar[:green], "green"), (bar[green:], "red"))
