"""/v1/keys: is this key good, and who am I."""

from __future__ import annotations

from identity.api.call import Call
from identity.api.routes import ANY_KEY, Table
from identity.verify import NOT_FOUND, Verdict, Verification

table = Table("keys")

MAX_VERIFY_BYTES = 8 * 1024


@table.post(
    "/v1/keys/verify",
    scope="keys:verify",
    takes=Verification,
    answers=Verdict,
    status=200,
    max_body=MAX_VERIFY_BYTES,
)
async def verify_key(call: Call[Verification]) -> Verdict:
    """Verify a key.

    Is it good, and for this? Always 200, with the first link of the chain that fails as `code`. Of a key that is not
    known, or not the caller's to see, nothing else is told.
    """
    verdict = await call.service.verifier.verify(call.body)
    if verdict.key_id is not None and not call.principal.may_verify(verdict):
        return NOT_FOUND
    return verdict


@table.get("/v1/keys/whoami", scope=ANY_KEY, answers=Verdict)
async def whoami(call: Call[None]) -> Verdict:
    """Verify the caller's own key.

    As a verification would tell of it, for any live key of any app.
    """
    return call.principal.verdict
