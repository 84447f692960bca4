"""A copy into another installation: all of it in one transaction, which ends well only where its last line does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, BinaryIO

from identity import migrate, password_hashes
from identity.copies.lines import FORMAT, NOTHING, SALT_BYTES, Lines, Tallies, key_of, open_line, split
from identity.copies.secrets import FACTORS, FactorSecrets
from identity.copies.store import CopyStore
from identity.copies.tables import COPIED
from identity.db import Rollback
from identity.errors import StartError
from identity.stores import Stores

PASSWORDS = "passwords"
BATCH_ROWS, BATCH_BYTES = 500, 1 << 22
_ROW = re.compile(rb'\{"table":"(\w+)","row":(.*)', re.DOTALL)
NO_COPY = "This is no copy of a tenant: it must be a file that `identity tenants export` wrote."


class Import:
    """One copy, read once."""

    def __init__(self, file: BinaryIO, passphrase: Callable[[], str], secret_keys: tuple[bytes, ...]) -> None:
        """The passphrase is asked for when the first line has been looked at. StartError where that or the passphrase
        is wrong."""
        self.tallies = Tallies()
        self._lines = Lines(file)
        line = self._lines.read()
        self.head = _head(line)
        self._lines.key = key_of(passphrase(), _salt(self.head))
        if open_line(self._lines.key, 1, line) is None:
            raise StartError("The passphrase is not that of this copy, or its first line was changed.")
        _must_be_known(self.head)
        self.tallies.add(line, None)
        self.tenant_id: str = self.head["tenant_id"]
        self.factors = FactorSecrets(self.tenant_id, secret_keys)

    async def run(self, stores: Stores, *, dry_run: bool, moved: Callable[[int], None] = lambda rows: None) -> None:
        """Conflict where the tenant, its ref or its domain is there already."""
        async with stores.transaction() as tx:
            copies = CopyStore(tx.session)
            await copies.take_as_it_is(self.tenant_id)
            for table, rows in self._batches():
                columns = self.head["tables"][table]
                await copies.write(self.tenant_id, COPIED[table], columns, b"[" + b",".join(rows) + b"]")
                moved(self.tallies.whole.lines)
            if dry_run:
                raise Rollback

    def _batches(self) -> Iterator[tuple[str, list[bytes]]]:
        """Rows of one table each."""
        for table, each in groupby(self._rows(), key=itemgetter(0)):
            rows, size_bytes = [], 0
            for _, row in each:
                rows.append(row)
                size_bytes += len(row)
                if len(rows) == BATCH_ROWS or size_bytes > BATCH_BYTES:
                    yield table, rows
                    rows, size_bytes = [], 0
            if rows:
                yield table, rows

    def _rows(self) -> Iterator[tuple[str, bytes]]:
        """Until the last line, which must say of those before it what they were."""
        while True:
            line, shown, secrets = self._lines.next()
            found = _ROW.fullmatch(shown)
            if found is None:
                _must_agree(self.tallies, shown, self._lines)
                return self._lines.must_end()
            table, row = found[1].decode(), found[2]
            self.tallies.add(line, table)
            if table == FACTORS:
                secrets = self.factors.sealed(row, secrets)
            row = row if secrets == NOTHING else row[:-1] + b"," + secrets[1:]
            if table == PASSWORDS:
                _judge(row, self._lines)
            yield table, row


def _head(line: bytes) -> dict[str, Any]:
    parts = split(line)
    try:
        head = json.loads(parts[0] + b"}") if parts else None
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or "identity_tenant_copy" not in head:
        raise StartError(NO_COPY)
    if head["identity_tenant_copy"] != FORMAT:
        raise StartError("This copy was written by a newer version, in a format that this one cannot read: update it.")
    return head


def _salt(head: dict[str, Any]) -> bytes:
    try:
        salt = base64.b64decode(head["salt"], validate=True)
    except (KeyError, TypeError, ValueError):
        salt = b""
    if len(salt) != SALT_BYTES:
        raise StartError(NO_COPY)
    return salt


def _must_be_known(head: dict[str, Any]) -> None:
    """An older version has fewer columns, and that is all right; a newer one knows what would be lost here."""
    ours = migrate.ids()[-1]
    known = all(name in COPIED and {*columns} <= {*COPIED[name].columns} for name, columns in head["tables"].items())
    if not known or head["schema"] > ours:
        told = f"{head['schema']}; this one is at {ours}"
        raise StartError(f"This copy was written by a newer version ({told}): update this one first.")


def _judge(row: bytes, lines: Lines) -> None:
    """As a hash that is set: an older version may take what this one does not, and whoever has the passphrase may write
    anything."""
    try:
        password_hashes.judge(str(json.loads(row)["hash"]))
    except (KeyError, ValueError) as error:
        why = error if isinstance(error, ValueError) else "is missing"
        raise lines.refused(f"the hash of a password {why}") from None


def _must_agree(tallies: Tallies, shown: bytes, lines: Lines) -> None:
    if json.loads(shown + b"}") != {"end": tallies.as_json()}:
        raise lines.wrong("does not agree with those before it")
