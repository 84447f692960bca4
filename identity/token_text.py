"""The text of a token that is looked up: {kind}_{ref}{secret}{checksum}, for example irt_… . It is shown once."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from identity.key_text import CHECKSUM_CHARS, REF_CHARS, checksum, new_secret

Kind = Literal["irt", "irs", "imt"]
"""Of a refresh, of the reset of a password, or of a sign-in that waits for a second factor."""

_TOKEN = re.compile(r"(irt|irs|imt)_([0-9A-Za-z]{6})[0-9A-Za-z]{49}")


@dataclass(frozen=True)
class TokenText:
    """A token's text taken apart; its checksum held."""

    kind: str
    ref: str
    """Its tenant's."""
    hash: bytes


def new_token(kind: Kind, ref: str) -> str:
    """256 random bits, of that tenant."""
    body = f"{kind}_{ref[:REF_CHARS]}{new_secret()}"
    return body + checksum(body)


def hash_token(text: str) -> bytes:
    """SHA-256: of 256 random bits there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(text.encode()).digest()


def parse_token(text: str) -> TokenText | None:
    """None where the text is no such token of ours: wrong form, or wrong checksum."""
    match = _TOKEN.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_CHARS]) != text[-CHECKSUM_CHARS:]:
        return None
    return TokenText(match[1], match[2], hash_token(text))
