"""Signing keys: with which access tokens are signed. They are the installation's, not a tenant's."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from joserfc.jwk import OKPKey

from identity.db import Row, Store, columns, jsonb
from identity.sealing import Resealed, Sealing

ANNOUNCED_S = 3600
"""How long a key is published before it signs: whoever checks tokens looks for new keys more often than that."""
LONGEST_TOKEN_S = 86400
"""What an app's `access_token_s` can be at most."""

Sealed = dict[str, Any]


class SigningKey(Row):
    id: str
    public_key: dict[str, Any]
    starts_at: datetime
    created_at: datetime
    updated_at: datetime


class SealedKey(SigningKey):
    """With its private part, as it lies in the database. Never shown."""

    private_key: bytes

    def open(self, secret_keys: tuple[bytes, ...]) -> OKPKey | None:
        """The key that signs; None where it was sealed under a key that is gone."""
        clear = _sealing(self.id, secret_keys).open(self.private_key)
        return None if clear is None else OKPKey.import_key(json.loads(clear))


def new_signing_key(secret_keys: tuple[bytes, ...]) -> Sealed:
    """Ed25519: its thumbprint, its public part, and its private part sealed."""
    key = OKPKey.generate_key("Ed25519")
    id, private = key.thumbprint(), json.dumps(key.as_dict(private=True)).encode()
    return {
        "id": id,
        "public_key": jsonb(key.as_dict(private=False)),
        "private_key": _sealing(id, secret_keys).close(private),
    }


def _sealing(id: str, secret_keys: tuple[bytes, ...]) -> Sealing:
    return Sealing("signing key", id.encode(), secret_keys)


COLUMNS = columns(SealedKey)

LIST = f"""
SELECT {COLUMNS}
  FROM identity.signing_keys
 ORDER BY starts_at DESC, id
"""

# Of all workers and hosts that find none that they can open, one makes it: each looks again, after the one before it.
MAKE_FIRST = f"""
SELECT pg_advisory_xact_lock(hashtextextended('signing_keys', 0));
INSERT INTO identity.signing_keys (id, public_key, private_key, starts_at)
SELECT %(id)s, %(public_key)s, %(private_key)s, clock_timestamp()
 WHERE NOT EXISTS (SELECT FROM identity.signing_keys WHERE id <> ALL (%(closed)s::text[]))
RETURNING {COLUMNS}
"""

ADD = f"""
INSERT INTO identity.signing_keys (id, public_key, private_key, starts_at)
VALUES (%(id)s, %(public_key)s, %(private_key)s, clock_timestamp() + make_interval(secs => %(announced_s)s))
RETURNING {COLUMNS}
"""

WITHDRAW = f"""
DELETE FROM identity.signing_keys
 WHERE id <> %(but)s
RETURNING {COLUMNS}
"""

RESEAL = f"""
UPDATE identity.signing_keys
   SET private_key = %(private_key)s
 WHERE id = %(id)s
RETURNING {COLUMNS}
"""

# What a key signed in its last moment has expired, by the time that the one after it has signed for so long.
SWEEP = f"""
DELETE FROM identity.signing_keys AS old
 WHERE EXISTS (SELECT FROM identity.signing_keys AS next
                WHERE next.starts_at > old.starts_at
                  AND next.starts_at < clock_timestamp() - make_interval(secs => %(kept_s)s))
RETURNING {COLUMNS}
"""


class SigningKeyStore(Store[SealedKey]):
    """No tenant's: all of it is the platform's."""

    row = SealedKey
    noun = "signing_key"

    async def make_first(self, new: Sealed, closed: list[str]) -> None:
        """One that signs at once, unless there is one besides those that nobody here can open."""
        await self._of_platform(MAKE_FIRST, **new, closed=closed)

    async def rotate(self, new: Sealed) -> SigningKey:
        """The next, which signs once it was published for long enough; those before it stay for as long as tokens of
        theirs may live."""
        [added] = await self._of_platform(ADD, **new, announced_s=ANNOUNCED_S)
        return added

    async def replace(self, new: Sealed) -> SigningKey:
        """One that signs at once, and none besides: for when a private key is in wrong hands."""
        async with self.session.transaction() as session:
            store = SigningKeyStore(session)
            [added] = await store._of_platform(ADD, **new, announced_s=0)
            await store._of_platform(WITHDRAW, but=added.id)
        return added

    async def sweep(self) -> int:
        """Takes away those of which no token can live; how many it was."""
        return len(await self._of_platform(SWEEP, kept_s=LONGEST_TOKEN_S + ANNOUNCED_S))

    async def reseal(self, secret_keys: tuple[bytes, ...]) -> Resealed:
        """All of them, under the first secret key."""
        done = Resealed()
        for key in await self.list():
            private_key = _sealing(key.id, secret_keys).anew(key.private_key)
            if private_key not in (None, key.private_key):
                await self._of_platform(RESEAL, id=key.id, private_key=private_key)
            done = done.and_one(key.private_key, private_key)
        return done

    async def _of_platform(self, statement: str, **params: Any) -> list[SealedKey]:
        return await self._rows(statement, "", role="identity_platform", **params)

    async def list(self) -> list[SealedKey]:
        """The newest first."""
        return await self._of_platform(LIST)
