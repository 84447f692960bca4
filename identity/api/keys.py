"""/v1/keys: is this key good, and who am I."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.responses import Response

from identity.api.call import Call, Service
from identity.api.routes import ANY_KEY, Table
from identity.auth import Principal
from identity.tokens import Claims
from identity.verify import (
    MALFORMED,
    NOT_FOUND,
    Asked,
    Known,
    Taken,
    Verdict,
    Verdicts,
    Verification,
    Verifications,
    Verifier,
    judge,
)

table = Table("keys")

VERIFY = "/v1/keys/verify"
VERIFY_BATCH = "/v1/keys/verify-batch"
MAX_VERIFY_BYTES = 8 * 1024
MAX_BATCH_BYTES = 256 * 1024
AT_ONCE = 50
"""Keys of a batch that are judged before somebody else has a turn."""


@table.post(VERIFY, scope="keys:verify", takes=Verification, answers=Verdict, status=200, max_body=MAX_VERIFY_BYTES)
async def verify_key(call: Call[Verification]) -> Response:
    """Verify a key.

    Is it good, and for this? Always 200, with the first link of the chain that fails as `code`. Of a key that is not
    known, or not the caller's to see, nothing else is told. A text that is none of ours is looked up among the imported
    keys of the caller's tenant, or of `tenant_id`.
    """
    known = await call.service.verifier.look_up(call.body.key)
    [told] = await tell(call.service, call.principal, [known], [call.body])
    return Response(told, media_type="application/json")


@table.post(
    VERIFY_BATCH, scope="keys:verify", takes=Verifications, answers=Verdicts, status=200, max_body=MAX_BATCH_BYTES
)
async def verify_keys(call: Call[Verifications]) -> Response:
    """Verify many keys.

    Up to 1,000, each as if it were alone; the verdicts come in the order of the keys.
    """
    asked = call.body.keys
    known = await call.service.verifier.look_up_all([each.key for each in asked])
    return Response(items(await tell(call.service, call.principal, known, asked)), media_type="application/json")


@table.get("/v1/keys/whoami", scope=ANY_KEY, answers=Verdict)
async def whoami(call: Call[None]) -> Response:
    """Verify the caller's own key.

    As a verification would tell of it, for any live key of any app.
    """
    if call.principal.claims is not None:
        return _of_token(call.principal, call.principal.claims)
    assert call.principal.known is not None
    return Response(await call.service.verifier.look(call.principal.known), media_type="application/json")


def _of_token(caller: Principal, claims: Claims) -> Response:
    """No more than the token holds, and no longer."""
    told = Verdict(
        valid=True,
        code="valid",
        tenant_id=caller.tenant_id,
        app_id=caller.app_id,
        user_id=claims.user_id,
        key_id=caller.key_id,
        scopes=caller.scopes,
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )
    return Response(told.model_dump_json(), media_type="application/json")


async def tell(service: Service, caller: Principal, known: Sequence[Known], asked: Sequence[Asked]) -> list[bytes]:
    """The verdicts in JSON, as far as they are this caller's to see; what limits a good key is taken, and it is
    counted."""
    if MALFORMED in known or any([what.tenant_id is not None for what in asked]):  # noqa: C419 - a third of the time
        known = await _in_tenants(service.verifier, caller, known, asked)
    told: list[bytes] = []
    limited: list[tuple[int, Known, Asked]] = []
    for its, what in zip(known, asked, strict=True):
        if len(told) % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)  # others need not wait for all of a large batch
        its = visible(caller, its)
        code = judge(its, what)
        if its.is_limited and code == "valid":
            limited.append((len(told), its, what))
            told.append(b"")
        else:
            told.append(tell_one(service, its, code))
    for (n, its, _), taken in zip(limited, await _take(service.verifier, limited), strict=True):
        told[n] = tell_taken(service, its, taken)
    return told


def visible(caller: Principal, its: Known) -> Known:
    """What this caller may see of it."""
    return its if not its.key_id or caller.may_verify(its) else NOT_FOUND


def tell_one(service: Service, its: Known, code: str) -> bytes:
    _count(service, its, code)
    return its.told(code)


def tell_taken(service: Service, its: Known, taken: Taken) -> bytes:
    _count(service, its, taken.code)
    return its.told_taken(taken)


def _count(service: Service, its: Known, code: str) -> None:
    service.seen.verifications[code] += 1
    if its.key_id:
        service.usage.count(its.tenant_id, its.key_id, code)


async def _take(verifier: Verifier, limited: Sequence[tuple[int, Known, Asked]]) -> list[Taken]:
    if not limited:
        return []
    return await asyncio.gather(*(verifier.take(its, what.cost, what.costs) for _, its, what in limited))


async def _in_tenants(
    verifier: Verifier, caller: Principal, known: Sequence[Known], asked: Sequence[Asked]
) -> list[Known]:
    """What is none of ours may be an imported key of the tenant that is asked for, or else of the caller's; and what is
    ours must be of the tenant that is asked for."""
    found, wanted = list(known), {}
    for n, (its, what) in enumerate(zip(known, asked, strict=True)):
        tenant_id = caller.tenant_id if what.tenant_id is None else what.tenant_id
        if tenant_id != caller.tenant_id and not caller.is_platform:
            found[n] = NOT_FOUND
        elif its is MALFORMED:
            wanted[n] = (tenant_id, what.key)
        elif what.tenant_id not in (None, its.tenant_id):
            found[n] = NOT_FOUND
    for n, its in zip(wanted, await verifier.look_up_imported(wanted.values()), strict=True):
        found[n] = its if its.key_id and caller.may_verify(its) else MALFORMED
    return found


def items(told: Sequence[bytes]) -> bytes:
    return b'{"items":[%b]}' % b",".join(told)
