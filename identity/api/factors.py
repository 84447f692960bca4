"""/v1/tenants/{tenant_id}/users/{user_id}/factors"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from identity.api.call import Answer, Call
from identity.api.keys import MAX_VERIFY_BYTES
from identity.api.proving import count_failure
from identity.api.rank import must_be_another_and_outrank, must_be_oneself_or_outrank
from identity.api.routes import Table
from identity.api.sign_in import admit_known
from identity.db import Page
from identity.errors import Conflict, Forbidden, NotFound
from identity.factors import Confirmation, Confirmed, Enrolled, Factor, FactorFilter, FactorsReset, Held, Proof
from identity.fields import known_as
from identity.stores import Stores

table = Table("mfa")

LIST = "/v1/tenants/{tenant_id}/users/{user_id}/factors"
ONE = f"{LIST}/{{factor_id}}"
JUDGED = ("insufficient_rank", "factor_code_wrong", "factor_unreadable", "too_many_requests")


@table.get(LIST, scope="users:read", answers=Page[Factor], where=FactorFilter, by_oneself=True)
async def list_factors(call: Call[None], tenant_id: str, user_id: str) -> Page[Factor]:
    """List a user's second factors."""
    return await call.stores.factors.list(tenant_id, user_id, call.where, **call.page)


@table.get(ONE, scope="users:read", answers=Factor, by_oneself=True)
async def get_factor(call: Call[None], tenant_id: str, user_id: str, factor_id: str) -> Factor:
    """Get a second factor."""
    return await call.stores.factors.get(tenant_id, user_id, factor_id)


@table.post(
    LIST,
    scope="users:write",
    takes=None,
    answers=Enrolled,
    by_oneself=True,
    needs_secret_key=True,
    raises=("insufficient_rank",),
)
async def enrol_factor(call: Call[None], tenant_id: str, user_id: str) -> Answer:
    """Enrol a second factor.

    Answers its secret, this once: show it to the user's app as a QR code. Nothing has changed until it is confirmed.
    """
    async with call.stores.transaction() as tx:
        held = await _hold(tx, tenant_id, user_id)
        await must_be_oneself_or_outrank(replace(call, stores=tx), user_id)
        enrolled = await tx.factors.enrol(held, call.service.secret_keys)
    return Answer(201, enrolled, f"{call.request.url.path}/{enrolled.id}")


@table.post(
    f"{ONE}/confirm",
    scope="users:write",
    takes=Confirmation,
    answers=Confirmed,
    status=200,
    action=True,
    by_oneself=True,
    needs_secret_key=True,
    max_body=MAX_VERIFY_BYTES,
    raises=("already_confirmed", *JUDGED),
)
async def confirm_factor(call: Call[Confirmation], tenant_id: str, user_id: str, factor_id: str) -> Confirmed:
    """Confirm a second factor.

    By a code of it. Answers ten recovery codes, this once. It replaces the one before it, of which the user must give a
    code too; an administrator need not. Wrong codes count as wrong old passwords do.
    """
    await must_be_oneself_or_outrank(call, user_id)
    await admit_known(call.service, tenant_id, user_id)
    keys, body = call.service.secret_keys, call.body
    async with call.stores.transaction() as tx:
        held = await _hold(tx, tenant_id, user_id)
        _must_be_pending(held, factor_id)
        is_code = held.step_of(held.pending, body.totp, keys) is not None
        if is_code and await _may_replace(call, tx, held, body.of_old):
            confirmed = await tx.factors.confirm(held, body.totp, keys)
            assert confirmed is not None
            return confirmed
        await count_failure(tx, held, held.counted_as)
    raise _wrong()


@table.action(
    f"{ONE}/remove",
    scope="users:write",
    takes=Proof,
    answers=Factor,
    by_oneself=True,
    max_body=MAX_VERIFY_BYTES,
    raises=JUDGED,
)
async def remove_factor(call: Call[Proof], tenant_id: str, user_id: str, factor_id: str) -> Factor:
    """Remove a second factor.

    With its recovery codes. Of a confirmed one the user must give a code, an administrator need not; wrong codes
    count as wrong old passwords do.
    """
    await must_be_oneself_or_outrank(call, user_id)
    await admit_known(call.service, tenant_id, user_id)
    async with call.stores.transaction() as tx:
        held = await _hold(tx, tenant_id, user_id)
        is_pending = held.pending is not None and held.pending.id == factor_id
        await tx.factors.get(tenant_id, user_id, factor_id)
        if is_pending or await _may_replace(call, tx, held, call.body):
            return await tx.factors.remove(tenant_id, user_id, factor_id)
        await count_failure(tx, held, held.counted_as)
    raise _wrong()


@table.action(
    "/v1/tenants/{tenant_id}/users/{user_id}/reset-factors",
    scope="users:write",
    answers=FactorsReset,
    raises=("insufficient_rank",),
)
async def reset_factors(call: Call[None], tenant_id: str, user_id: str) -> FactorsReset:
    """Reset a user's second factors.

    For who has lost theirs: takes all of them away, the recovery codes, and each sign-in that waits for one. Nobody
    does that to themselves.
    """
    await must_be_another_and_outrank(call, user_id, "One's own second factor is removed by a code of it.")
    return await call.stores.factors.reset(tenant_id, user_id)


async def _may_replace(call: Call[Any], tx: Stores, held: Held, proof: Proof) -> bool:
    """Who took somebody's session must not take their second factor with it."""
    if held.confirmed is None or not call.principal.is_user(held.tenant_id, held.user_id):
        return True
    return await tx.factors.prove(held, proof, call.service.secret_keys)


async def _hold(tx: Stores, tenant_id: str, user_id: str) -> Held:
    held = await tx.factors.hold(tenant_id, user_id, counted_as=known_as(user_id))
    if held is None:
        raise NotFound("user_not_found", "No such user.")
    return held


def _must_be_pending(held: Held, factor_id: str) -> None:
    if held.confirmed is not None and held.confirmed.id == factor_id:
        raise Conflict("already_confirmed", "This factor was confirmed before.")
    if held.pending is None or held.pending.id != factor_id:
        raise NotFound("factor_not_found", "No such factor.")


def _wrong() -> Forbidden:
    return Forbidden("factor_code_wrong", "The code is another, was used before, or none is taken just now.")
