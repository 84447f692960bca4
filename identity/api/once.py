"""Idempotency-Key: a POST that makes or adds something may be sent again, and is done once. Its effect and its sealed
answer are committed together, so that a crash leaves both or neither (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

from starlette.responses import Response

from identity.api.call import Call
from identity.api.reading import single_header
from identity.apps import IDENTITY
from identity.auth import Principal, must_outrank
from identity.errors import Conflict, FieldError, IdentityError, Invalid
from identity.idempotency import KeptAnswer
from identity.sealing import Sealing

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
WAIT_S = 2.0
POLL_S = 0.05
KEPT_HEADERS = ("location", "etag", "content-type")


class InProgress(Conflict):
    """Another request with the same key has not ended yet."""

    def __init__(self) -> None:
        super().__init__("idempotency_in_progress", f"Another request with this {HEADER} is being answered.")

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class Reused(IdentityError):
    """The key was used for another request."""

    status = 422

    def __init__(self) -> None:
        super().__init__("idempotency_key_reused", f"This {HEADER} came with another body before: make a new one.")


@dataclass(frozen=True)
class Seal:
    """What binds a row to one caller's one request, and closes its answer. All of it hangs on the header's key."""

    key: bytes
    id: bytes
    secret_keys: tuple[bytes, ...]

    @classmethod
    def of(cls, key: str, call: Call[Any], secret_keys: tuple[bytes, ...]) -> Seal:
        about = [call.principal.tenant_id, call.principal.actor, call.request.method, call.request.url.path]
        return cls(key.encode(), hmac.digest(key.encode(), json.dumps(about).encode(), sha256), secret_keys)

    def hash(self, body: bytes) -> bytes:
        return hmac.digest(self.key, b"body\0" + body, sha256)

    @property
    def sealing(self) -> Sealing:
        return Sealing("idempotency", self.id, self.secret_keys, self.key)

    def close(self, answer: bytes) -> bytes:
        return self.sealing.close(answer)

    def open(self, sealed: bytes) -> bytes:
        answer = self.sealing.open(sealed)
        if answer is None:
            detail = "This was done, and its answer was sealed under a key that is gone."
            raise Conflict("idempotency_answer_lost", detail)
        return answer


Make = Callable[[Call[Any]], Awaitable[Response]]


async def once(call: Call[Any], body: bytes, make: Make) -> Response:
    """Makes the answer, or gives the one that was made before. Without the header it is simply made."""
    key = single_header(call.request, HEADER)
    if key is None or not call.route.is_done_once:
        return await make(call)
    if not re.fullmatch(r"[!-~]{1,255}", key):
        detail = "must be 1 to 255 visible ASCII characters"
        raise Invalid("invalid_request", f"The {HEADER} {detail}.", errors=(FieldError(detail, parameter=HEADER),))
    seal = Seal.of(key, call, call.service.secret_keys)
    until_s = asyncio.get_running_loop().time() + WAIT_S
    async with _turn(seal, until_s):
        while (response := await _try(call, seal, body, make)) is None:
            if asyncio.get_running_loop().time() > until_s:
                raise InProgress
            await asyncio.sleep(POLL_S)
        return response


_turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()


@asynccontextmanager
async def _turn(seal: Seal, until_s: float) -> AsyncIterator[None]:
    """Of equal requests in this worker one at a time asks the database: if all did, hundreds would hold up the rest."""
    lock = _turns.setdefault(seal.id, asyncio.Lock())
    try:
        async with asyncio.timeout_at(until_s):
            await lock.acquire()
    except TimeoutError:
        raise InProgress from None
    try:
        yield
    finally:
        lock.release()


async def _try(call: Call[Any], seal: Seal, body: bytes, make: Make) -> Response | None:
    """One transaction: the answer, or None where another request holds the key."""
    tenant_id, caller = call.path.get("tenant_id", call.principal.tenant_id), call.principal.actor
    async with call.stores.transaction() as tx:
        if not await tx.idempotency.hold(tenant_id, seal.id):
            return None
        kept = await tx.idempotency.find(tenant_id, caller, seal.id)
        if kept is not None:
            return _again(call.principal, kept, seal, body)
        response = await make(replace(call, stores=tx))
        sealed = seal.close(_written(response))
        await tx.idempotency.keep(tenant_id, caller, seal.id, seal.hash(body), response.status_code, sealed)
        return response


def _again(principal: Principal, kept: KeptAnswer, seal: Seal, body: bytes) -> Response:
    if not hmac.compare_digest(kept.request_hash, seal.hash(body)):
        raise Reused
    headers, content = json.loads(seal.open(kept.answer))
    made = json.loads(content)
    key = made.get("admin_key") or made
    manages = "key" in key and key["app_id"] == IDENTITY
    invites = "token" in key and IDENTITY in key["app_ids"]
    if manages or invites:
        must_outrank(principal, key["scopes"])  # again: it may have lost rank since
    return Response(content, kept.status, {**headers, REPLAYED: "true"})


def _written(response: Response) -> bytes:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return json.dumps([headers, bytes(response.body).decode()]).encode()
