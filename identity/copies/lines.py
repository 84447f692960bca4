"""The lines of a copy. Each is a JSON object that anybody may read, and ends with a seal: the secrets of the line, and
the proof that it is that line of that copy. So one that was changed, moved, doubled or taken from elsewhere is known by
its number, before anything of it is believed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from argon2.low_level import Type, hash_secret_raw

from identity.errors import StartError
from identity.sealing import NONCE_BYTES, Sealing

FORMAT = 1
MIN_PASSPHRASE_CHARS = 12
SALT_BYTES = 16
MEMORY_KIB, PASSES, LANES = 64 * 1024, 3, 4
"""Of Argon2id, as RFC 9106 says for those who have no 2 GiB. They are part of the format."""
MAX_LINE_BYTES = 1 << 22
"""Several times what the largest row comes to."""
_SEAL, _END = b',"sealed":"', b'"}\n'
NOTHING = b"{}"
NOTHING_WRITTEN = "Nothing was written."


def key_of(passphrase: str, salt: bytes) -> bytes:
    return hash_secret_raw(
        passphrase.encode(errors="surrogateescape"),
        salt,
        time_cost=PASSES,
        memory_cost=MEMORY_KIB,
        parallelism=LANES,
        hash_len=32,
        type=Type.ID,
    )


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Tally:
    """How many lines there were, and what they come to by SHA-256; anybody can count that who has no passphrase."""

    def __init__(self) -> None:
        self.lines, self._sha256 = 0, hashlib.sha256()

    def add(self, line: bytes) -> None:
        self.lines += 1
        self._sha256.update(line)

    def as_json(self) -> dict[str, Any]:
        return {"rows": self.lines, "sha256": self._sha256.hexdigest()}


@dataclass
class Tallies:
    """Of all lines so far, and of each table's."""

    whole: Tally = field(default_factory=Tally)
    tables: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def add(self, line: bytes, table: str | None) -> None:
        self.whole.add(line)
        if table is not None:
            self.tables[table].add(line)

    @property
    def rows(self) -> dict[str, int]:
        return {name: tally.lines for name, tally in self.tables.items()}

    def as_json(self) -> dict[str, Any]:
        tables = {name: tally.as_json() for name, tally in self.tables.items()}
        return {"sha256": self.whole.as_json()["sha256"], "tables": tables}


def close(key: bytes, number: int, shown: bytes, secrets: bytes = NOTHING) -> bytes:
    """A line: what it shows, without its last brace, and its seal."""
    return shown + _SEAL + base64.b64encode(_sealing(key, number, shown).close(secrets)) + _END


def split(line: bytes) -> tuple[bytes, bytes] | None:
    """What a line shows, and its seal; None where it has none, or one that is written otherwise than we do."""
    shown, _, text = line.removesuffix(_END).rpartition(_SEAL)
    try:
        sealed = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    as_written = shown + _SEAL + base64.b64encode(sealed) + _END == line
    return (shown, sealed) if as_written and len(sealed) > NONCE_BYTES else None


def open_line(key: bytes, number: int, line: bytes) -> tuple[bytes, bytes] | None:
    """What it shows, and its secrets; None where it is not that line of that copy."""
    parts = split(line)
    secrets = _sealing(key, number, parts[0]).open(parts[1]) if parts else None
    return None if parts is None or secrets is None else (parts[0], secrets)


def _sealing(key: bytes, number: int, shown: bytes) -> Sealing:
    return Sealing("tenant copy", b"%d " % number + shown, (key,))


class Lines:
    """The lines of a file, each opened or refused by its number."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.key = b""

    def read(self) -> bytes:
        self.number += 1
        return self._file.readline(MAX_LINE_BYTES)

    def next(self) -> tuple[bytes, bytes, bytes]:
        """The line, what it shows, and its secrets."""
        line = self.read()
        if not line:
            raise StartError(f"The copy is cut off after line {self.number - 1}: get it whole. {NOTHING_WRITTEN}")
        opened = open_line(self.key, self.number, line)
        if opened is None:
            raise self.wrong("is not as it was written, or not in its place")
        return line, *opened

    def must_end(self) -> None:
        self.number += 1
        if self._file.read(1):
            raise self.wrong("comes after the end")

    def refused(self, why: str) -> StartError:
        """It is as it was written, and not taken all the same."""
        return StartError(f"Line {self.number} of the copy: {why}. {NOTHING_WRITTEN}")

    def wrong(self, why: str) -> StartError:
        return StartError(f"Line {self.number} of the copy {why}: get it anew. {NOTHING_WRITTEN}")
