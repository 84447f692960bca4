"""The headers of an ordinary request with a body: what is odd about one is judged by those who answer any."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from identity.api.reading import FORM_TYPE

JSON_TYPES = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
FORM_TYPES = tuple(FORM_TYPE.encode() + each for each in (b"", b";charset=UTF-8", b"; charset=utf-8"))
LEFT_TO_OTHERS = frozenset((b"transfer-encoding", b"content-encoding", b"expect"))

_host = lru_cache(1024)(re.compile(rb"[^\s,/?#@\\\x80-\xff]+").fullmatch)


def plain_headers(headers: Sequence[tuple[bytes, bytes]], types: Collection[bytes]) -> dict[bytes, bytes] | None:
    """Each of them once, and a body of such a type as it is; None where anything is odd."""
    found = dict(headers)
    if len(found) != len(headers) or not LEFT_TO_OTHERS.isdisjoint(found):
        return None
    return found if found.get(b"content-type") in types and _host(found.get(b"host", b"")) else None
