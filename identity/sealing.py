"""Sealing: what lies in the database, and whoever reads it there must not be able to open."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12


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

    def _cipher(self, secret_key: bytes) -> AESGCM:
        info = f"identity {self.purpose}\0".encode() + self.about
        return AESGCM(HKDF(SHA256(), length=32, salt=None, info=info).derive(secret_key + self.secret))
