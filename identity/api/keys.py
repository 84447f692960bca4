"""/v1/keys: is this key good, and who am I."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from identity.api.call import Call
from identity.api.routes import ANY_KEY, Table
from identity.auth import Principal
from identity.verify import (
    NOT_FOUND,
    Asked,
    Known,
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


@table.post(VERIFY, scope="keys:verify", takes=Verification, answers=Verdict, status=200, max_body=MAX_VERIFY_BYTES)
async def verify_key(call: Call[Verification]) -> Response:
    """Verify a key.

    Is it good, and for this? Always 200, with the first link of the chain that fails as `code`. Of a key that is not
    known, or not the caller's to see, nothing else is told.
    """
    known = await call.service.verifier.look_up(call.body.key)
    [told] = await tell(call.service.verifier, call.principal, [known], [call.body])
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
    return Response(
        items(await tell(call.service.verifier, call.principal, known, asked)), media_type="application/json"
    )


@table.get("/v1/keys/whoami", scope=ANY_KEY, answers=Verdict)
async def whoami(call: Call[None]) -> Response:
    """Verify the caller's own key.

    As a verification would tell of it, for any live key of any app.
    """
    assert call.principal.known is not None
    return Response(call.principal.known.answer, media_type="application/json")


async def tell(verifier: Verifier, caller: Principal, known: Sequence[Known], asked: Sequence[Asked]) -> list[bytes]:
    """The verdicts, as far as they are this caller's to see, in JSON."""
    told = []
    for its, what in zip(known, asked, strict=True):
        if its.key_id and not caller.may_verify(its):
            its = NOT_FOUND
        told.append(its.told(judge(its, what)))
    return told


def items(told: Sequence[bytes]) -> bytes:
    return b'{"items":[%b]}' % b",".join(told)
