"""Cursors: where the next page begins, signed and bound to who asks for what, so that none can be made up or moved."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

from identity.errors import FieldError, Invalid

TAG_BYTES = 16


@dataclass(frozen=True)
class Cursors:
    """Makes and reads cursors. The first key signs; all are accepted, so that a key can change."""

    keys: Sequence[bytes]

    def encode(self, after: str, bound_to: object) -> str:
        tag = self._tag(self.keys[0], after, bound_to)
        return base64.urlsafe_b64encode(tag + after.encode()).decode().rstrip("=")

    def decode(self, cursor: str, bound_to: object) -> str:
        """The value after which the page begins; Invalid where the cursor is not of this list."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            after = raw[TAG_BYTES:].decode()
        except (binascii.Error, ValueError):
            raise _refused() from None
        if not any(hmac.compare_digest(raw[:TAG_BYTES], self._tag(key, after, bound_to)) for key in self.keys):
            raise _refused()
        return after

    def _tag(self, key: bytes, after: str, bound_to: object) -> bytes:
        message = json.dumps(["cursor", after, bound_to], sort_keys=True).encode()
        return hmac.digest(key, message, hashlib.sha256)[:TAG_BYTES]


def _refused() -> Invalid:
    detail = "must be the `next` of a page of this very list: same path, same filter, same tenant"
    return Invalid("invalid_cursor", f"The cursor {detail}.", errors=(FieldError(detail, parameter="cursor"),))
