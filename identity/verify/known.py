"""A key and its chain, as one statement read them: what is judged for each question, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any

FOR_EVER_S = float("inf")

_VALID = b'{"valid":true,"code":"valid",'
_CODE = b'{"valid":false,"code":"%b",'
_REST = (
    b'"tenant_id":%b,"app_id":%b,"branch_id":%b,"user_id":%b,"key_id":%b,"name":%b,"type":%b,"environment":%b,'
    b'"scopes":%b,"metadata":%b,"expires_at":%b}'
)
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
    caller: Any = None
    """Room for what the layer above makes of it, once."""

    def told(self, code: str) -> bytes:
        """The verdict in JSON; by another code where its chain is good, and not for what was asked."""
        return self.answer if code == self.code else _CODE % code.encode() + self.answer[len(_VALID) :]


def _nothing(code: str) -> Known:
    return Known(code, _CODE % code.encode() + _REST % ((_NULL,) * 11))


MALFORMED = _nothing("malformed")
NOT_FOUND = _nothing("not_found")


def known(row: Any, epoch: int) -> Known:
    """From a row of the look-up. What makes ids and scopes needs no escaping in JSON."""
    tenant_id, app_id, branch_id, user_id, key_id, name, type, environment, scopes, metadata, expires_at = row[:11]
    expires = None if expires_at is None else datetime.fromisoformat(expires_at.decode())
    code = row[14]
    answer = (_VALID if code == b"valid" else _CODE % code) + _REST % (
        *(_NULL if each is None else b'"%b"' % each for each in (tenant_id, app_id, branch_id, user_id, key_id)),
        json.dumps(name.decode(), ensure_ascii=False).encode(),
        *(b'"%b"' % each for each in (type, environment)),
        scopes,
        metadata,
        _NULL if expires is None else b'"%b"' % _instant(expires),
    )
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
        tuple(intern(each) for each in json.loads(scopes)),
        FOR_EVER_S if expires is None else expires.timestamp(),
        intern(id[:6]),
        int(row[13].split(b":")[1]),
        epoch,
    )


def _instant(at: datetime) -> bytes:
    return at.isoformat().replace("+00:00", "Z").encode()
