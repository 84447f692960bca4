"""Files to import, and what an import or an export makes of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from identity.cli.exporting import dialect_of, of_noun
from identity.cli.importer import Import, OnError, Summary, Wanted
from identity.cli.nouns import Noun
from identity.cli.reading import open_source
from identity.stores import Stores

SKIP = OnError.SKIP


async def imported(stores: Stores, noun: Noun, path: Path, **more: Any) -> Summary:
    wanted = Wanted(str(path), as_json=True, **more)
    with open_source(wanted.file, wanted.format, wanted.encoding) as source:
        done = Import(noun, source, wanted)
        await done.run(stores)
    return done.summary


async def exported(stores: Stores, noun: Noun, path: Path) -> int:
    return await of_noun(noun).write(stores, str(path), dialect_of(str(path), None))


def counts(summary: Summary) -> tuple[int, int, int, int]:
    """Created, changed, unchanged, refused."""
    assert (summary.first_refusal is None) == (summary.refused == 0)
    created, changed, unchanged = (summary.outcomes[name] for name in ("created", "changed", "unchanged"))
    return created, changed, unchanged, summary.refused


def refused(path: Path, delimiter: str = ",") -> list[tuple[str, str, str]]:
    """The line, field and reason of each row in a file of refused ones."""
    with path.open(newline="") as file:
        return [
            (row["refused_line"], row["refused_field"], row["refused_reason"])
            for row in csv.DictReader(file, delimiter=delimiter)
        ]
