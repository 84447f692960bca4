"""Sealing: what lies in the database, and whoever reads it there must not be able to open."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12


@dataclass(frozen=True)
class Resealed:
    """What came of sealing things anew."""

    resealed: int = 0
    as_they_were: int = 0
    unreadable: int = 0

    def and_one(self, before: bytes, after: bytes | None) -> Resealed:
        """Sealed thus before, and after; None where no key opened it."""
        if after is None:
            return replace(self, unreadable=self.unreadable + 1)
        if after == before:
            return replace(self, as_they_were=self.as_they_were + 1)
        return replace(self, resealed=self.resealed + 1)

    def __add__(self, other: Resealed) -> Resealed:
        return Resealed(
            self.resealed + other.resealed,
            self.as_they_were + other.as_they_were,
            self.unreadable + other.unreadable,
        )


@dataclass(frozen=True)
class Sealing:
    """AES-256-GCM under a key that HKDF derives for one purpose and one thing: nothing opens in another's place."""

    purpose: str
    about: bytes
    """Which of them: its id, say."""
    secret_keys: tuple[bytes, ...]
    """The first seals; all are tried, so that a key can change."""
    secret: bytes = b""
    """What else is needed to open it, and is not stored."""

    def close(self, clear: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(self.secret_keys[0]).encrypt(nonce, clear, self.about)

    def open(self, sealed: bytes) -> bytes | None:
        """None where it was sealed under a key that is gone, or as something else."""
        for secret_key in self.secret_keys:
            try:
                return self._cipher(secret_key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self.about)
            except InvalidTag:
                continue
        return None

    def anew(self, sealed: bytes) -> bytes | None:
        """Sealed under the first key, as it is where it was already; None where no key opens it."""
        if replace(self, secret_keys=self.secret_keys[:1]).open(sealed) is not None:
            return sealed
        clear = self.open(sealed)
        return None if clear is None else self.close(clear)

    def _cipher(self, secret_key: bytes) -> AESGCM:
        info = f"identity {self.purpose}\0".encode() + self.about
        return AESGCM(HKDF(SHA256(), length=32, salt=None, info=info).derive(secret_key + self.secret))
