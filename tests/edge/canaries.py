"""Secrets that must be found nowhere, in each spelling in which a log could hide them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote

from identity.key_text import compose, new_random_id, new_secret

TAIL_CHARS = 40
"""Of a key the secret part: its id is public. Of anything else, all of it."""


def new_key() -> str:
    """A key as ours are, with a checksum that holds, and nobody's."""
    return compose("isk", "live", "Canary" + new_random_id(), new_secret())


def spellings(secret: str) -> set[str]:
    """As it stands, percent-encoded, escaped for JSON and Python, in hexadecimal, and in base64 wherever it begins."""
    raw = secret.encode()
    found = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1], raw.hex()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        found.add(encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4].decode())
    return found | {each.replace("+", "-").replace("/", "_") for each in found}


def found_in(text: str, secrets: Iterable[str]) -> list[str]:
    """Which of them the text gives away."""
    return [secret for secret in secrets if any(each in text for each in spellings(secret[-TAIL_CHARS:]))]
