"""A key and its chain, as one statement read them: what is judged for each question, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from sys import intern
from typing import Any

from identity.verify.limits import Taken

FOR_EVER_S = float("inf")

_VALID = b'{"valid":true,"code":"valid",'
_CODE = b'{"valid":false,"code":"%b",'
_REST = (
    b'"tenant_id":%b,"app_id":%b,"branch_id":%b,"user_id":%b,"key_id":%b,"name":%b,"type":%b,"environment":%b,'
    b'"scopes":%b,"metadata":%b,"expires_at":%b'
)
_NOTHING_TAKEN = b',"credits":null,"rate_limits":null}'
_TAKEN = b',"credits":%b,"rate_limits":%b}'
_NULL = b"null"


@dataclass(slots=True, eq=False)
class Known:
    """What is known of a key's text; of one that is not ours, or not as it says, nothing but the code."""

    code: str
    """The first link of its chain that fails, or valid."""
    answer: bytes
    """The verdict in JSON, of its chain alone."""
    tenant_id: str = ""
    app_id: str = ""
    branch_id: str | None = None
    user_id: str | None = None
    key_id: str = ""
    environment: str = ""
    scopes: tuple[str, ...] = ()
    expires_at_s: float = FOR_EVER_S
    ref: str = ""
    n: int = 0
    """The tenant's change counter up to which this holds."""
    epoch: int = 0
    """Of the memory, when it was asked for."""
    allowed_ips: bytes = b""
    """In JSON, as the routes; empty: any."""
    allowed_routes: bytes = b""
    is_limited: bool = False
    """Whether it takes credits, or counts against rate limits."""
    caller: Any = None
    """Room for what the layer above makes of it, once."""

    @property
    def has_rules(self) -> bool:
        """Whether it depends on more than the key: a token that it gets could not keep that."""
        return self.is_limited or bool(self.allowed_ips) or bool(self.allowed_routes)

    @property
    def weight_kib(self) -> int:
        """What it takes to remember it, rounded up."""
        return 1 + (len(self.answer) + len(self.allowed_ips) + len(self.allowed_routes)) // 1024

    def told(self, code: str) -> bytes:
        """The verdict in JSON; by another code where its chain is good, and not for what was asked."""
        return self.answer if code == self.code else _CODE % code.encode() + self.answer[len(_VALID) :]

    def told_taken(self, taken: Taken) -> bytes:
        """The verdict of a good key, with what is left of its limits."""
        credits = _NULL if taken.credits is None else b"%d" % taken.credits
        return self.told(taken.code)[: -len(_NOTHING_TAKEN)] + _TAKEN % (
            credits,
            json.dumps(taken.rate_limits).encode(),
        )


def _nothing(code: str) -> Known:
    return Known(code, _CODE % code.encode() + _REST % ((_NULL,) * 11) + _NOTHING_TAKEN)


MALFORMED = _nothing("malformed")
NOT_FOUND = _nothing("not_found")


def known(row: Any, epoch: int) -> Known:
    """From a row of the look-up. What makes ids and scopes needs no escaping in JSON."""
    tenant_id, app_id, branch_id, user_id, key_id, name, type, environment, scopes, metadata, expires_at = row[:11]
    expires = None if expires_at is None else datetime.fromisoformat(expires_at.decode())
    code, is_limited, allowed_ips, allowed_routes = row[14:18]
    answer = (_VALID if code == b"valid" else _CODE % code) + _REST % (
        *(_NULL if each is None else b'"%b"' % each for each in (tenant_id, app_id, branch_id, user_id, key_id)),
        encode_basestring(name.decode()).encode(),
        *(b'"%b"' % each for each in (type, environment)),
        scopes,
        metadata,
        _NULL if expires is None else b'"%b"' % _instant(expires),
    )
    answer += _NOTHING_TAKEN
    id = key_id.decode()
    return Known(
        intern(code.decode()),
        answer,
        intern(tenant_id.decode()),
        intern(app_id.decode()),
        None if branch_id is None else intern(branch_id.decode()),
        None if user_id is None else user_id.decode(),
        id,
        intern(environment.decode()),
        _scopes(scopes),
        FOR_EVER_S if expires is None else expires.timestamp(),
        intern(id[:6]),
        int(row[13].split(b":")[1]),
        epoch,
        allowed_ips or b"",
        allowed_routes or b"",
        is_limited == b"t",
    )


@lru_cache(10_000)
def _scopes(texts: bytes) -> tuple[str, ...]:
    """Of JSON: many keys have the same."""
    return tuple(intern(each) for each in json.loads(texts))


def _instant(at: datetime) -> bytes:
    return at.isoformat().replace("+00:00", "Z").encode()
