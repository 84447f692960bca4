"""What is asked of the hot path, judged by hand: pydantic takes longer than all the rest. What is odd is left to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from identity.api.keys import MAX_BATCH_BYTES, MAX_VERIFY_BYTES, VERIFY, VERIFY_BATCH
from identity.api.strict_json import without_duplicates
from identity.errors import IdentityError
from identity.fields import SCOPE_PATTERN
from identity.key_limits import MAX_COUNT
from identity.verify.verdicts import MAX_BATCH

MAX_BYTES = {VERIFY: MAX_VERIFY_BYTES, VERIFY_BATCH: MAX_BATCH_BYTES}
ONLY_TEXT = frozenset((str,))
TEXTS = frozenset(("key", "app_id", "branch_id", "environment", "ip", "method", "path", "tenant_id"))
MAX_SCOPES, MAX_SCOPE_CHARS = 100, 128

_scope = re.compile(SCOPE_PATTERN).fullmatch
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(object_pairs_hook=without_duplicates).scan_once  # type: ignore[attr-defined]


class Plain:
    """A Verification. What is not given is the class's."""

    key: str
    scopes: tuple[str, ...] = ()
    app_id: str | None = None
    branch_id: str | None = None
    environment: str | None = None
    ip: str | None = None
    method: str | None = None
    path: str | None = None
    cost = 1
    costs: Mapping[str, int] = MappingProxyType({})
    tenant_id: str | None = None

    def __init__(self, given: dict[str, Any]) -> None:
        self.__dict__ = given


def read_asked(path: str, body: bytes | bytearray) -> list[Plain] | None:
    """None where it is not wholly what it should be."""
    if len(body) > MAX_BYTES[path]:
        return None
    return _one(body) if path == VERIFY else _many(body)


def _one(body: bytes | bytearray) -> list[Plain] | None:
    plain = _plain(_json(body))
    return None if plain is None else [plain]


def _many(body: bytes | bytearray) -> list[Plain] | None:
    value = _json(body)
    given = value.get("keys") if type(value) is dict and len(value) == 1 else None
    if type(given) is not list or not 0 < len(given) <= MAX_BATCH:
        return None
    asked = [plain for each in given if (plain := _plain(each)) is not None]
    return asked if len(asked) == len(given) else None


def _json(body: bytes | bytearray) -> Any:
    """None where it is none, or where there is an escape: what it stands for is judged elsewhere."""
    if b"\\" in body:
        return None
    try:
        text = body.decode()
        value, end = _scan(text, 0)
    except (ValueError, RecursionError, StopIteration, IdentityError):
        return None
    return value if end == len(text) else None


def _plain(value: Any) -> Plain | None:
    """None where it is not as a Verification must be; `costs` are left to pydantic."""
    if type(value) is not dict or "key" not in value:
        return None
    for name, member in value.items():
        if type(member) is str:
            if name not in TEXTS:
                return None
        elif name == "scopes" and type(member) is list and ONLY_TEXT.issuperset(map(type, member)):
            value[name] = scopes = tuple(member)
            if not _are_scopes(scopes):
                return None
        elif name != "cost" or type(member) is not int or not 0 <= member <= MAX_COUNT:
            return None
    return Plain(value)


@lru_cache(1024)
def _are_scopes(scopes: tuple[str, ...]) -> bool:
    """Remembered, since the same few are asked for over and over."""
    return len(scopes) <= MAX_SCOPES and all(
        len(each) <= MAX_SCOPE_CHARS and _scope(each) is not None for each in scopes
    )
