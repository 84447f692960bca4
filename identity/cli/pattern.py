"""identity keys pattern"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from identity.app_keys import PREFIXES
from identity.key_text import ALPHABET, CHECKSUM_CHARS, PATTERN

RULE = (
    f"The last {CHECKSUM_CHARS} characters are the CRC-32 (that of zlib and PNG) of all the characters before them, as "
    f"a whole number in base 62, its first digit first, with zeros before it. The digits are {ALPHABET}."
)


def pattern(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
) -> None:
    """Tell scanners how keys look: a regular expression, and the rule of the checksum.

    An app may have a prefix of its own, so the expression takes any; by the checksum a key is told from what only looks
    like one."""
    if as_json:
        typer.echo(json.dumps(as_record(), indent=2))
        return
    typer.echo(PATTERN)
    typer.echo(RULE)


def as_record() -> dict[str, object]:
    checksum = {
        "algorithm": "crc32",
        "of": "all characters before it",
        "characters": CHECKSUM_CHARS,
        "alphabet": ALPHABET,
        "rule": RULE,
    }
    return {"pattern": PATTERN, "prefixes": sorted(PREFIXES.values()), "checksum": checksum}
