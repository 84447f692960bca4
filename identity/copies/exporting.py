"""A tenant as the lines of a copy: in one snapshot, so that it fits together although people write meanwhile."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from identity import migrate
from identity.copies.lines import FORMAT, NOTHING, SALT_BYTES, Tallies, as_json, close, key_of
from identity.copies.secrets import FACTORS, FactorSecrets
from identity.copies.store import CopyStore
from identity.copies.tables import COPIED, Table
from identity.errors import Conflict
from identity.stores import Stores
from identity.tenants import PLATFORM


class Export:
    """One copy of a tenant, written once."""

    def __init__(self, tenant_id: str, passphrase: str, secret_keys: tuple[bytes, ...]) -> None:
        self.tenant_id = tenant_id
        self.tallies = Tallies()
        self.factors = FactorSecrets(tenant_id, secret_keys)
        self._salt = os.urandom(SALT_BYTES)
        self._key = key_of(passphrase, self._salt)

    async def lines(self, stores: Stores) -> AsyncIterator[bytes]:
        """NotFound where there is no such tenant."""
        if self.tenant_id == PLATFORM:
            raise Conflict("protected", "Each installation has its own tenant platform: it is not copied.")
        async with stores.transaction() as tx:
            copies = CopyStore(tx.session)
            await copies.hold_still(self.tenant_id)
            await tx.tenants.get(self.tenant_id)
            yield self._line(self._head())
            for table in COPIED.values():
                async for line in self._rows(copies, table):
                    yield line
        yield self._line(b'{"end":' + as_json(self.tallies.as_json()))

    def _head(self) -> bytes:
        head = {
            "identity_tenant_copy": FORMAT,
            "tenant_id": self.tenant_id,
            "schema": migrate.ids()[-1],
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "salt": base64.b64encode(self._salt).decode(),
            "tables": {table.name: table.columns for table in COPIED.values()},
        }
        return as_json(head).removesuffix(b"}")

    async def _rows(self, copies: CopyStore, table: Table) -> AsyncIterator[bytes]:
        begins = b'{"table":"%s","row":' % table.name.encode()
        async for row, secrets in copies.rows(self.tenant_id, table):
            if table.name == FACTORS:
                secrets = self.factors.opened(row, secrets)
            yield self._line(begins + row, secrets, table.name)

    def _line(self, shown: bytes, secrets: bytes = NOTHING, table: str | None = None) -> bytes:
        line = close(self._key, self.tallies.whole.lines + 1, shown, secrets)
        self.tallies.add(line, table)
        return line
