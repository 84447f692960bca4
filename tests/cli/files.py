"""Files to import, and what an import or an export makes of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from identity.cli.tables.exporting import dialect_of, of_noun
from identity.cli.tables.importer import Import, OnError, Summary, Wanted
from identity.cli.tables.nouns import Branches, Noun, Users
from identity.cli.tables.reading import open_source
from identity.stores import Stores
from identity.users import User, UserFilter
from tests.conftest import Organisation

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


def written(file: Path, text: str) -> Path:
    file.write_text(text, newline="")
    return file


async def user(org: Organisation, name: str) -> User:
    found = await org.stores.users.find(org.id, UserFilter(username=name))
    assert found is not None
    return found


async def of_users(org: Organisation, file: Path, text: str, **more: Any) -> tuple[int, int, int, int]:
    return counts(await imported(org.stores, Users(org.id), written(file, text), **more))


async def of_branches(org: Organisation, file: Path, text: str, **more: Any) -> tuple[int, int, int, int]:
    return counts(await imported(org.stores, Branches(org.id, "shop"), written(file, text), **more))
