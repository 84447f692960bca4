"""Password hashes as they are understood here: our own Argon2id, and those that other systems have made."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hmac import compare_digest
from importlib import import_module
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error

Parts = dict[str, str]
"""What a form's named groups found in a hash. `hash` is what is to be checked: the whole, or what a prefix wraps."""

MAX_CHARS = 500
MOST_MEMORY_BYTES = 128 << 20
"""OWASP's dearest scrypt, and more than Django's Argon2: each thread may take as much."""
MOST_ROUNDS = 2_000_000
MOST_ROUNDS_IN_PYTHON = 100_000
"""Of what Python itself computes: the event loop, and with it whoever verifies keys, waits meanwhile."""
INSTALL = "pip install 'identity[hashes]'"

_CRYPT64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SSHA_BYTES = {"SSHA": 20, "SSHA256": 32, "SSHA512": 64}

LIBPASS = ("ldap_salted_sha1", "ldap_salted_sha256", "ldap_salted_sha512", "sha256_crypt", "sha512_crypt", "phpass")
"""Of what it knows, that which is checked by it."""

_argon2 = PasswordHasher()
_one_at_a_time = threading.Lock()
log = logging.getLogger("identity")


@dataclass(frozen=True)
class Form:
    """One way to write a hash: which of it are taken, lest a single sign-in take long, or much, from all others."""

    name: str
    pattern: str
    at_most: str
    is_taken: Callable[[Parts], bool]
    check: Callable[[str, Parts], bool]
    """Whether a password makes it."""
    needs_extra: bool = True


def judge(hash: str) -> None:
    """ValueError, with nothing of it, where it is of no form that is known, may cost too much, or where what checks it
    is not installed."""
    found = _find(hash)
    if found is None:
        raise ValueError("must be a password's hash as one of these writes it: " + ", ".join(f.name for f in FORMS))
    form, parts = found
    if not form.is_taken(parts):
        raise ValueError(f"must keep to what is taken: {form.name} {form.at_most}")
    if form.needs_extra and not _is_installed():
        raise ValueError(f"needs what is not installed with the service, to check {form.name}: {INSTALL}")


def matches(hash: str, password: str) -> bool:
    """False too where the hash is none that is taken."""
    found = _find(hash)
    if found is None or not found[0].is_taken(found[1]):
        return False
    form, parts = found
    try:
        return form.check(password, parts)
    except ImportError:
        log.error("Passwords hashed by %s cannot be checked: %s", form.name, INSTALL)
    except (Argon2Error, ValueError):
        pass
    return False


def _is_installed() -> bool:
    try:
        return all(map(import_module, ("bcrypt", "passlib")))  # which is dear but once, unlike to look for them
    except ImportError:
        return False


def _find(hash: str) -> tuple[Form, Parts] | None:
    for form in FORMS if len(hash) <= MAX_CHARS else ():
        if found := re.fullmatch(form.pattern, hash, re.ASCII):
            return form, {"hash": hash} | found.groupdict("")
    return None


def _by_libpass(password: str, parts: Parts) -> bool:
    """It computes in Python, which lets one thread at a time anyway; and much of it loads at its first use, where two
    at once fail."""
    with _one_at_a_time:
        return bool(_libpass().verify(password, parts["hash"]))


@cache
def _libpass() -> Any:
    from passlib.context import CryptContext

    return CryptContext(LIBPASS)


def _by_argon2(password: str, parts: Parts) -> bool:
    return _argon2.verify(parts["hash"], password)


def _argon2_is_taken(parts: Parts) -> bool:
    memory_kib, passes, lanes = (int(parts[name]) for name in ("memory_kib", "passes", "lanes"))
    return 8 * lanes <= memory_kib <= MOST_MEMORY_BYTES >> 10 and passes <= 8 and lanes <= 16


def _by_bcrypt(password: str, parts: Parts) -> bool:
    import bcrypt

    secret = password.encode()
    if parts["digest"]:
        secret = hashlib.sha256(secret).hexdigest().encode()
    return bcrypt.checkpw(secret[:72], parts["hash"].encode())  # all that it ever took; libpass fails on more


def _bcrypt_is_taken(parts: Parts) -> bool:
    return int(parts["cost"]) <= 14


def _by_pbkdf2(password: str, parts: Parts) -> bool:
    made = hashlib.pbkdf2_hmac(parts["digest"], password.encode(), _salt(parts), int(parts["rounds"]))
    return compare_digest(made, _sum(parts))


def _pbkdf2_is_taken(parts: Parts) -> bool:
    return int(parts["rounds"]) <= MOST_ROUNDS and len(_sum(parts)) == hashlib.new(parts["digest"]).digest_size


def _by_scrypt(password: str, parts: Parts) -> bool:
    n, r, p = _scrypt_costs(parts)
    wanted, room = _sum(parts), 2 * MOST_MEMORY_BYTES
    made = hashlib.scrypt(password.encode(), salt=_salt(parts), n=n, r=r, p=p, maxmem=room, dklen=len(wanted))
    return compare_digest(made, wanted)


def _scrypt_is_taken(parts: Parts) -> bool:
    n, r, p = _scrypt_costs(parts)
    can_be = n > 1 and n & (n - 1) == 0 and (r > 1 or n < 1 << 16) and len(_sum(parts)) in (32, 64)
    memory_bytes = 128 * n * r
    return can_be and memory_bytes <= MOST_MEMORY_BYTES and p <= 16 and memory_bytes * p <= 2 * MOST_MEMORY_BYTES


def _scrypt_costs(parts: Parts) -> tuple[int, int, int]:
    n = 1 << min(int(parts["log2"]), 64) if "log2" in parts else int(parts["n"])
    return n, int(parts["r"]), int(parts["p"])


def _ssha_is_taken(parts: Parts) -> bool:
    return 4 <= len(_sum(parts)) - _SSHA_BYTES[parts["scheme"]] <= 16


def _sha_crypt_is_taken(parts: Parts) -> bool:
    return int(parts["rounds"] or 5_000) <= MOST_ROUNDS_IN_PYTHON


def _phpass_is_taken(parts: Parts) -> bool:
    return 7 <= _CRYPT64.index(parts["log2"]) <= 16


def _sum(parts: Parts) -> bytes:
    """What the password made, there."""
    return bytes.fromhex(parts["hex"]) if "hex" in parts else _decoded(parts["base64"])


def _salt(parts: Parts) -> bytes:
    return parts["salt"].encode() if "salt" in parts else _decoded(parts["salt64"])


def _decoded(text: str) -> bytes:
    """With or without its padding; libpass writes a dot for a plus."""
    return b64decode(text.replace(".", "+") + "=" * (-len(text) % 4))


_NUMBER = r"[1-9]\d{0,17}"
_SALT = r"(?P<salt>[A-Za-z0-9]{1,128})"
_HEX = r"(?P<hex>(?:[0-9a-f]{2}){16,64})"
_BASE64 = r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_BARE64 = r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2,3})?"
_DOTTED64 = _BARE64.replace("+/", "./")
_BCRYPT = r"\$2[aby]\$(?P<cost>0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]"
_SCRYPT_AT_MOST = (
    "with N a power of two, 128·N·r at most 128 MiB, p at most 16, 128·N·r·p at most 256 MiB, and 32 or 64 bytes of sum"
)
_PBKDF2_AT_MOST = f"with at most {MOST_ROUNDS:,} rounds"

FORMS = (
    Form(
        "Argon2",
        rf"(?:argon2)?(?P<hash>\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=(?P<memory_kib>{_NUMBER}),t=(?P<passes>{_NUMBER}),"
        rf"p=(?P<lanes>{_NUMBER})\$(?=[^$]{{11,86}}\$){_BARE64}\$(?=.{{22,86}}\Z){_BARE64})",
        "with at most 128 MiB, 8 passes and 16 lanes",
        _argon2_is_taken,
        _by_argon2,
        needs_extra=False,
    ),
    Form(
        "bcrypt",
        rf"(?:bcrypt\$|bcrypt_(?P<digest>sha256)\$)?(?P<hash>{_BCRYPT})",
        "with a cost of at most 14",
        _bcrypt_is_taken,
        _by_bcrypt,
    ),
    Form(
        "Django's PBKDF2",
        rf"pbkdf2_(?P<digest>sha256|sha1)\$(?P<rounds>{_NUMBER})\${_SALT}\$(?P<base64>{_BASE64})",
        _PBKDF2_AT_MOST,
        _pbkdf2_is_taken,
        _by_pbkdf2,
        needs_extra=False,
    ),
    Form(
        "Werkzeug's PBKDF2",
        rf"pbkdf2:(?P<digest>sha256|sha512|sha1):(?P<rounds>{_NUMBER})\${_SALT}\${_HEX}",
        _PBKDF2_AT_MOST,
        _pbkdf2_is_taken,
        _by_pbkdf2,
        needs_extra=False,
    ),
    Form(
        "libpass's PBKDF2",
        rf"\$pbkdf2-(?P<digest>sha256|sha512)\$(?P<rounds>{_NUMBER})\$(?P<salt64>{_DOTTED64})\$(?P<base64>{_DOTTED64})",
        _PBKDF2_AT_MOST,
        _pbkdf2_is_taken,
        _by_pbkdf2,
        needs_extra=False,
    ),
    Form(
        "Django's scrypt",
        rf"scrypt\$(?P<n>{_NUMBER})\${_SALT}\$(?P<r>{_NUMBER})\$(?P<p>{_NUMBER})\$(?P<base64>{_BASE64})",
        _SCRYPT_AT_MOST,
        _scrypt_is_taken,
        _by_scrypt,
        needs_extra=False,
    ),
    Form(
        "Werkzeug's scrypt",
        rf"scrypt:(?P<n>{_NUMBER}):(?P<r>{_NUMBER}):(?P<p>{_NUMBER})\${_SALT}\${_HEX}",
        _SCRYPT_AT_MOST,
        _scrypt_is_taken,
        _by_scrypt,
        needs_extra=False,
    ),
    Form(
        "libpass's scrypt",
        rf"\$scrypt\$ln=(?P<log2>{_NUMBER}),r=(?P<r>{_NUMBER}),p=(?P<p>{_NUMBER})"
        rf"\$(?P<salt64>{_BARE64})\$(?P<base64>{_BARE64})",
        _SCRYPT_AT_MOST,
        _scrypt_is_taken,
        _by_scrypt,
        needs_extra=False,
    ),
    Form(
        "SSHA, SSHA256 and SSHA512",
        rf"\{{(?P<scheme>SSHA(?:256|512)?)\}}(?P<base64>{_BASE64})",
        "with a salt of 4 to 16 bytes",
        _ssha_is_taken,
        _by_libpass,
    ),
    Form(
        "SHA-256-crypt and SHA-512-crypt",
        r"\$(?:5(?=.*\$.{43}\Z)|6(?=.*\$.{86}\Z))\$(?:rounds=(?P<rounds>[1-9]\d{3,8})\$)?"
        r"[./A-Za-z0-9]{0,16}\$[./A-Za-z0-9]+",
        f"with at most {MOST_ROUNDS_IN_PYTHON:,} rounds",
        _sha_crypt_is_taken,
        _by_libpass,
    ),
    Form(
        "phpass",
        r"\$[PH]\$(?P<log2>[./A-Za-z0-9])[./A-Za-z0-9]{30}",
        "with 2^7 to 2^16 rounds",
        _phpass_is_taken,
        _by_libpass,
    ),
)
