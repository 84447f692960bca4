"""Keys that another system issued: what is none of ours may be one of the caller's tenant, known by its hash."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256, sha512
from typing import Any

from identity.fields import SLUG_PATTERN
from identity.verify.statements import array

MAX_BYTES = 1_024
"""Of a text that is worth hashing: no system issues longer keys than that."""

_is_tenant_id = re.compile(SLUG_PATTERN[:-1] + r"\Z").match


def name(tenant_id: str, text: str) -> str | None:
    """Under which a look-up asks for it: the tenant, and the text's hashes. None where it can be no imported key."""
    raw = text.encode(errors="surrogatepass")
    if not 0 < len(raw) <= MAX_BYTES or not _is_tenant_id(tenant_id):
        return None
    return f"{tenant_id} {sha256(raw).hexdigest()} {sha512(raw).hexdigest()}"


def remembered_as(tenant_id: str, text: str) -> bytes:
    """Another tenant may have imported the same text. Longer than a hash alone, by which keys of ours are remembered:
    what is found here can never be taken for a credential."""
    return sha256(text.encode(errors="surrogatepass")).digest() + b" " + tenant_id.encode(errors="surrogatepass")


def params(names: Iterable[str]) -> tuple[bytes, bytes, bytes]:
    """Of the statement: each name asks twice, once by each algorithm."""
    tenants, algorithms, hashes = [], [], []
    for each in names:
        tenant_id, *digests = each.split()
        for algorithm, digest in zip(("sha256", "sha512"), digests, strict=True):
            tenants.append(tenant_id)
            algorithms.append(algorithm)
            hashes.append(digest)
    return array(tenants), array(algorithms), array(hashes)


def by_name(names: Iterable[str], rows: Iterable[Any]) -> dict[str, Any]:
    """Which row answers which name. Imported by both hashes, a text is the key that SHA-256 tells."""
    found = {(row[0].decode(), row[12].decode()): row for row in rows}
    answers = {}
    for each in names:
        tenant_id, *digests = each.split()
        row = next((found[tenant_id, digest] for digest in digests if (tenant_id, digest) in found), None)
        if row is not None:
            answers[each] = row
    return answers
