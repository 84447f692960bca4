"""/v1/tenants/{tenant_id}/mfa: what sign-in asked for besides the password."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints
from starlette.requests import Request

from identity.api.call import Answer, Service
from identity.api.keys import MAX_VERIFY_BYTES
from identity.api.proving import SignInFailed, prove
from identity.api.routes import PUBLIC, Table
from identity.api.sign_in import ACTOR, SignedIn, admit, location_of, signed_in, tenant_of, user_agent_of
from identity.factors import Enrolled, Proof
from identity.fields import Given
from identity.sessions import NewSession
from identity.sign_in_challenges import Challenge
from identity.stores import Stores

table = Table("mfa")

ONE = "/v1/tenants/{tenant_id}/mfa"
RAISES = ("sign_in_failed", "route_not_found", "too_many_requests")

MfaToken = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Enrolment(Given):
    mfa_token: MfaToken


class MfaAnswer(Proof):
    mfa_token: MfaToken


class SignedInByFactor(SignedIn):
    """And the recovery codes, this once, where the factor was confirmed with it."""

    recovery_codes: tuple[str, ...] = ()


@table.post(
    ONE,
    scope=PUBLIC,
    takes=MfaAnswer,
    answers=SignedInByFactor,
    max_body=MAX_VERIFY_BYTES,
    raises=(*RAISES, "factor_unreadable"),
)
async def answer_challenge(service: Service, request: Request, body: MfaAnswer) -> Answer:
    """Give a second factor.

    To the token of `mfa_required` a code of the app, or a recovery code; the first code of a factor that was enrolled
    with the token confirms it. Whatever is wrong is told as at sign-in, and counts as a failed one.
    """
    stores, found = await _challenge(service, request, body.mfa_token)
    new = NewSession(
        user_id=found.user_id,
        app_id=found.app_id,
        scopes=found.scopes,
        address=request.state.address,
        user_agent=user_agent_of(request),
        if_changed_at=found.password_changed_at,
    )
    proof = Proof(totp=body.totp, recovery_code=body.recovery_code)
    proved = await prove(service, stores, found.tenant_id, found.ref, new, proof, body.mfa_token)
    told = await signed_in(service, proved.successor)
    content = SignedInByFactor(**told.model_dump(), recovery_codes=proved.recovery_codes)
    return Answer(201, content, location_of(proved.successor))


@table.post(f"{ONE}/enrol", scope=PUBLIC, takes=Enrolment, answers=Enrolled, max_body=MAX_VERIFY_BYTES, raises=RAISES)
async def enrol_at_sign_in(service: Service, request: Request, body: Enrolment) -> Answer:
    """Enrol a second factor at sign-in.

    By the token of `mfa_required`, where the tenant asks for one and the user has none. Its first code, given with the
    same token, confirms it and signs in.
    """
    stores, found = await _challenge(service, request, body.mfa_token)
    async with stores.transaction() as tx:
        held = await tx.factors.hold(found.tenant_id, found.user_id)
        if held is None or held.confirmed is not None:
            raise SignInFailed
        enrolled = await tx.factors.enrol(held, service.secret_keys)
    return Answer(201, enrolled, f"/v1/tenants/{found.tenant_id}/users/{found.user_id}/factors/{enrolled.id}")


async def _challenge(service: Service, request: Request, token: str) -> tuple[Stores, Challenge]:
    tenant_id = tenant_of(request)
    await admit(service, request, tenant_id)
    stores = service.stores_for(request, ACTOR)
    found = await stores.challenges.find(tenant_id, token)
    if found is None:
        raise SignInFailed
    return stores, found
