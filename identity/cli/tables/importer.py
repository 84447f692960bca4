"""The import itself: a file's rows, a batch at a time, and where the refused ones go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psycopg
from rich.console import Console

from identity.cli.progress import Moved, progress
from identity.cli.tables.columns import REFUSED, mapped
from identity.cli.tables.judging import Candidate, read
from identity.cli.tables.nouns import Noun
from identity.cli.tables.reading import Source
from identity.cli.tables.tabular import STREAM, Format, Writer, open_private
from identity.cli.tables.writing import PAUSES_S, Batches, Refusal, Written
from identity.errors import StartError
from identity.stores import Stores

BATCH_ROWS = 500


class OnError(StrEnum):
    """What a refused row does to the import."""

    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True)
class Wanted:
    """How a file is to be imported."""

    file: str
    format: Format | None = None
    encoding: str | None = None
    maps: tuple[str, ...] = ()
    match: str | None = None
    dry_run: bool = False
    on_error: OnError = OnError.STOP
    refused: Path | None = None
    as_json: bool = False

    def refused_file(self, format: Format) -> Path:
        if self.refused or self.file == STREAM:
            return self.refused or Path(f"refused.{format}")
        return Path(self.file).with_name(f"{Path(self.file).stem}.refused{Path(self.file).suffix}")


@dataclass
class Summary:
    """How far an import came, and what became of its rows."""

    outcomes: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    last_line: int = 0
    refused: int = 0
    first_refusal: Refusal | None = None
    refused_file: Path | None = None

    def add(self, written: Written, last_line: int) -> None:
        self.outcomes.update(written.outcomes)
        self.rows += written.rows
        self.last_line = last_line
        self.refused += len(written.refusals)
        self.first_refusal = self.first_refusal or next(iter(written.refusals), None)

    def as_json(self, *, dry_run: bool) -> str:
        counts = {name: self.outcomes[name] for name in ("created", "changed", "unchanged")}
        file = str(self.refused_file) if self.refused_file else None
        return json.dumps(counts | {"refused": self.refused, "refused_file": file, "dry_run": dry_run})

    def __str__(self) -> str:
        counts = ", ".join(f"{self.outcomes[name]:,} {name}" for name in ("created", "changed", "unchanged"))
        return f"{counts}, {self.refused:,} refused"


class RefusedFile:
    """Where refused rows go, as they came, with their line, field and reason before them: made by the first."""

    def __init__(self, stack: ExitStack, source: Source, path: Path) -> None:
        self.stack, self.source, self.path = stack, source, path
        self.writer: Writer | None = None

    def write(self, refusals: Iterable[Refusal]) -> None:
        try:
            for refusal in refusals:
                self.writer = self.writer or self._open()
                reasons = dict(zip(REFUSED, (refusal.row.line, refusal.field, refusal.reason), strict=True))
                self.writer.write(refusal.row.cells | reasons, refusal.row.surplus)
            if self.writer:
                self.writer.file.flush()
        except OSError as error:
            raise StartError(f"Cannot write {self.path} ({error.strerror}): name another by --refused.") from None

    def _open(self) -> Writer:
        dialect = self.source.dialect
        file = self.stack.enter_context(open_private(self.path, dialect))
        return Writer(file, dialect, [*REFUSED, *(name for name in self.source.columns if name not in REFUSED)])


@dataclass
class Import:
    """One import. Its summary is true at every moment, wherever it ends."""

    noun: Noun
    source: Source
    wanted: Wanted
    summary: Summary = field(default_factory=Summary)

    async def run(self, stores: Stores) -> None:
        columns = mapped(
            self.noun.shape, self.source.dialect.format, self.source.columns, self.wanted.maps, self.source.name
        )
        await self.noun.must_be(stores)
        if not self.wanted.as_json:
            columns.show(Console(stderr=True))
        batches = Batches(self.noun, columns, self.wanted.on_error is OnError.STOP, self._pauses_s)
        candidates = (read(self.noun, columns, self.wanted.match, row) for row in self.source.rows)
        with ExitStack() as stack:
            refused = RefusedFile(stack, self.source, self.wanted.refused_file(self.source.dialect.format))
            moved = stack.enter_context(progress(f"importing {self.source.name}", self.source.size_bytes))
            await self._write_all(stores, batches, candidates, refused, moved)

    async def _write_all(
        self, stores: Stores, batches: Batches, candidates: Iterable[Candidate], refused: RefusedFile, moved: Moved
    ) -> None:
        write = self._try if self.wanted.dry_run else self._write
        pending: list[Candidate] = []
        for candidate in candidates:
            pending.append(candidate)
            if len(pending) == BATCH_ROWS:
                pending = await write(stores, batches, pending, refused, moved)
            if self._has_stopped:
                return
        while pending and not self._has_stopped:
            pending = await write(stores, batches, pending, refused, moved)

    async def _try(
        self, stores: Stores, batches: Batches, pending: list[Candidate], refused: RefusedFile, moved: Moved
    ) -> list[Candidate]:
        """Those rows, judged by the database and taken back: a transaction over the whole file would hold its tenant
        up for as long."""
        async with stores.transaction() as tx:
            while pending and not self._has_stopped:
                pending = await self._write(tx, batches, pending, refused, moved)
            raise psycopg.Rollback
        return []

    @property
    def _pauses_s(self) -> Sequence[float]:
        """A dry run's batch is tried inside a transaction, of which nothing is left to try again."""
        return () if self.wanted.dry_run else PAUSES_S

    @property
    def _has_stopped(self) -> bool:
        return self.summary.first_refusal is not None and self.wanted.on_error is OnError.STOP

    async def _write(
        self, stores: Stores, batches: Batches, pending: list[Candidate], refused: RefusedFile, moved: Moved
    ) -> list[Candidate]:
        """Those that are left for the next batch."""
        written = await batches.write(stores, pending)
        self.summary.add(written, pending[written.rows - 1].row.line)
        refused.write(written.refusals)
        self.summary.refused_file = refused.path if refused.writer else None
        moved(self.source.read_bytes, self.summary.rows)
        return pending[written.rows :]
