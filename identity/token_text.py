"""The text of a token that is looked up: {kind}_{ref}{secret}{checksum}, for example irt_… . It is shown once."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from identity.key_text import CHECKSUM_CHARS, REF_CHARS, checksum, new_secret

Kind = Literal["irt", "irs", "imt", "iit"]
"""Of a refresh, of the reset of a password, of a sign-in that waits for a second factor, or of an invitation."""

FAMILY_CHARS = 21
"""Of the 43 of its secret, which a token has in common with its successor: 125 bits."""

_TOKEN = re.compile(r"(irt|irs|imt|iit)_([0-9A-Za-z]{6})[0-9A-Za-z]{49}")


@dataclass(frozen=True)
class TokenText:
    """A token's text taken apart; its checksum held."""

    kind: str
    ref: str
    """Its tenant's."""
    family: str
    """How it begins, and how those begin that were before it and come after it: nobody else's do."""
    hash: bytes

    @property
    def family_hash(self) -> bytes:
        return hash_token(self.family)


def new_token(kind: Kind, ref: str) -> str:
    """256 random bits, of that tenant."""
    return _checked(f"{kind}_{ref[:REF_CHARS]}{new_secret()}")


def new_successor(token: TokenText) -> str:
    """Of the same family; 131 of its bits are new."""
    return _checked(token.family + new_secret()[FAMILY_CHARS:])


def _checked(body: str) -> str:
    return body + checksum(body)


def hash_token(text: str) -> bytes:
    """SHA-256: of 256 random bits there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(text.encode()).digest()


def parse_token(text: str) -> TokenText | None:
    """None where the text is no such token of ours: wrong form, or wrong checksum."""
    match = _TOKEN.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_CHARS]) != text[-CHECKSUM_CHARS:]:
        return None
    family = text[: match.end(2) + FAMILY_CHARS]
    return TokenText(match[1], match[2], family, hash_token(text))
