"""How a password is checked against each form of hash, and which hashes are too dear for that."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64decode
from functools import cache
from hmac import compare_digest
from typing import Any

from argon2 import PasswordHasher

Parts = dict[str, str]
"""What a form's named groups found in a hash. `hash` is what is to be checked: the whole, or what a prefix wraps."""

MOST_MEMORY_BYTES = 128 << 20
"""OWASP's dearest scrypt, and more than Django's Argon2: each thread may take as much."""
MOST_ROUNDS = 2_000_000
MOST_ROUNDS_IN_PYTHON = 100_000
"""Of what Python itself computes: the event loop, and with it whoever verifies keys, waits meanwhile."""

_CRYPT64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SSHA_BYTES = {"SSHA": 20, "SSHA256": 32, "SSHA512": 64}

LIBPASS = ("ldap_salted_sha1", "ldap_salted_sha256", "ldap_salted_sha512", "sha256_crypt", "sha512_crypt", "phpass")
"""Of what it knows, that which is checked by it."""

_argon2 = PasswordHasher()
_one_at_a_time = threading.Lock()


def by_libpass(password: str, parts: Parts) -> bool:
    """It computes in Python, which lets one thread at a time anyway; and much of it loads at its first use, where two
    at once fail."""
    with _one_at_a_time:
        return bool(_libpass().verify(password, parts["hash"]))


@cache
def _libpass() -> Any:
    from passlib.context import CryptContext

    return CryptContext(LIBPASS)


def by_argon2(password: str, parts: Parts) -> bool:
    return _argon2.verify(parts["hash"], password)


def argon2_is_taken(parts: Parts) -> bool:
    memory_kib, passes, lanes = (int(parts[name]) for name in ("memory_kib", "passes", "lanes"))
    return 8 * lanes <= memory_kib <= MOST_MEMORY_BYTES >> 10 and passes <= 8 and lanes <= 16


def by_bcrypt(password: str, parts: Parts) -> bool:
    import bcrypt

    secret = password.encode()
    if parts["digest"]:
        secret = hashlib.sha256(secret).hexdigest().encode()
    return bcrypt.checkpw(secret[:72], parts["hash"].encode())  # all that it ever took; libpass fails on more


def bcrypt_is_taken(parts: Parts) -> bool:
    return int(parts["cost"]) <= 14


def by_pbkdf2(password: str, parts: Parts) -> bool:
    made = hashlib.pbkdf2_hmac(parts["digest"], password.encode(), _salt(parts), int(parts["rounds"]))
    return compare_digest(made, _sum(parts))


def pbkdf2_is_taken(parts: Parts) -> bool:
    return int(parts["rounds"]) <= MOST_ROUNDS and len(_sum(parts)) == hashlib.new(parts["digest"]).digest_size


def by_scrypt(password: str, parts: Parts) -> bool:
    n, r, p = _scrypt_costs(parts)
    wanted, room = _sum(parts), 2 * MOST_MEMORY_BYTES
    made = hashlib.scrypt(password.encode(), salt=_salt(parts), n=n, r=r, p=p, maxmem=room, dklen=len(wanted))
    return compare_digest(made, wanted)


def scrypt_is_taken(parts: Parts) -> bool:
    n, r, p = _scrypt_costs(parts)
    can_be = n > 1 and n & (n - 1) == 0 and (r > 1 or n < 1 << 16) and len(_sum(parts)) in (32, 64)
    memory_bytes = 128 * n * r
    return can_be and memory_bytes <= MOST_MEMORY_BYTES and p <= 16 and memory_bytes * p <= 2 * MOST_MEMORY_BYTES


def _scrypt_costs(parts: Parts) -> tuple[int, int, int]:
    n = 1 << min(int(parts["log2"]), 64) if "log2" in parts else int(parts["n"])
    return n, int(parts["r"]), int(parts["p"])


def ssha_is_taken(parts: Parts) -> bool:
    return 4 <= len(_sum(parts)) - _SSHA_BYTES[parts["scheme"]] <= 16


def sha_crypt_is_taken(parts: Parts) -> bool:
    return int(parts["rounds"] or 5_000) <= MOST_ROUNDS_IN_PYTHON


def phpass_is_taken(parts: Parts) -> bool:
    return 7 <= _CRYPT64.index(parts["log2"]) <= 16


def _sum(parts: Parts) -> bytes:
    """What the password made, there."""
    return bytes.fromhex(parts["hex"]) if "hex" in parts else _decoded(parts["base64"])


def _salt(parts: Parts) -> bytes:
    return parts["salt"].encode() if "salt" in parts else _decoded(parts["salt64"])


def _decoded(text: str) -> bytes:
    """With or without its padding; libpass writes a dot for a plus."""
    return b64decode(text.replace(".", "+") + "=" * (-len(text) % 4))
