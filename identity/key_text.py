"""The text of an app key: {prefix}_{environment}_{id}_{secret}{checksum}, for example isk_live_… . It is shown once."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from typing import NamedTuple

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_CHARS = 43
"""256 random bits in base62."""
REF_CHARS = 6
RANDOM_ID_CHARS = 16
"""After the tenant's ref: 95 random bits, so that ids never repeat."""
CHECKSUM_CHARS = 6

PATTERN = r"\b([a-z][a-z0-9]{1,11})_(live|test)_([0-9A-Za-z]{22})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})\b"
"""For scanners too: whatever prefix an app has given its keys."""

_KEY = re.compile(PATTERN)
_ANYWHERE = re.compile(PATTERN.replace(r"\b", ""))


class KeyText(NamedTuple):
    """A key's text taken apart; its checksum held."""

    prefix: str
    environment: str
    id: str
    secret_hash: bytes


_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


def base62(number: int, length: int) -> str:
    """Two digits at a time: each key that is looked up has its checksum made again."""
    pairs = []
    for _ in range(0, length, 2):
        number, pair = divmod(number, 62 * 62)
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))[-length:]


def checksum(text: str) -> str:
    """CRC32 of all before it: a typo or a guess is refused without asking the database."""
    return base62(zlib.crc32(text.encode()), CHECKSUM_CHARS)


def new_secret() -> str:
    return base62(secrets.randbits(256), SECRET_CHARS)


def new_random_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_ID_CHARS))


def hash_secret(secret: str) -> bytes:
    """SHA-256: of 256 random bits there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(secret.encode()).digest()


def compose(prefix: str, environment: str, id: str, secret: str) -> str:
    body = f"{prefix}_{environment}_{id}_{secret}"
    return body + checksum(body)


def parse(text: str) -> KeyText | None:
    """None where the text is no key of ours: wrong form, or wrong checksum."""
    match = _KEY.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_CHARS]) != match[5]:
        return None
    return KeyText(match[1], match[2], match[3], hash_secret(match[4]))


def without_secrets(text: str) -> str:
    """The id in place of whatever looks like a key, also where it is no word by itself."""
    return _ANYWHERE.sub(lambda match: match[3], text)
