"""A second factor at sign-in: when one is asked for, and what comes of an answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from identity.api.call import Service
from identity.errors import Unauthenticated
from identity.factors import Held, Proof
from identity.passwords import Holder
from identity.sessions import NewSession, Successor
from identity.sign_in_challenges import LIFETIME_S, NewChallenge
from identity.stores import LIFETIMES, Stores
from identity.tenants import TenantSettings


class SignInFailed(Unauthenticated):
    """That is all that anybody is told."""

    def __init__(self) -> None:
        super().__init__("sign_in_failed", "That does not open this app, or not just now.", presented=False)


class MfaRequired(Unauthenticated):
    """The password was right, and is not enough."""

    def __init__(self, token: str, *, is_enrolled: bool) -> None:
        to_do = "Answer with a code of it" if is_enrolled else "Enrol one"
        super().__init__("mfa_required", f"This needs a second factor. {to_do}, by mfa_token.", presented=False)
        self.token = token
        self.is_enrolled = is_enrolled

    @property
    def members(self) -> dict[str, object]:
        return {"mfa_token": self.token, "expires_in": LIFETIME_S, "enrolled": self.is_enrolled}


@dataclass(frozen=True)
class Proved:
    """What a second factor opened."""

    successor: Successor
    recovery_codes: tuple[str, ...] = ()
    """Of a factor that was confirmed by it."""


def needs_factor(holder: Holder) -> bool:
    """Who has one is asked for it, whatever the tenant says."""
    return holder.has_factor or TenantSettings.model_validate(holder.settings).require_mfa


async def challenge(stores: Stores, holder: Holder, new: NewSession) -> MfaRequired | SignInFailed:
    """The answer to a right password alone."""
    made = NewChallenge(new.user_id, new.app_id, new.scopes, new.if_changed_at)
    token = await stores.challenges.create(holder.tenant_id, holder.ref, made)
    return SignInFailed() if token is None else MfaRequired(token, is_enrolled=holder.has_factor)


_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
"""Of one user's answers one at a time asks the database: they wait for each other there, and would hold up the rest."""


async def prove(
    service: Service, stores: Stores, tenant_id: str, ref: str, new: NewSession, proof: Proof, token: str | None = None
) -> Proved:
    """A session for a code, and for a challenge's token where the password was given before; both are then used up.
    SignInFailed where there is none; a wrong code counts, before the next one is judged."""
    async with _turns.setdefault((tenant_id, new.user_id), asyncio.Lock()), stores.transaction() as tx:
        held = await tx.factors.hold(tenant_id, new.user_id)
        opened = None if held is None else await _open(service, tx, held, proof, enrols=token is not None)
        if opened is not None:
            factor_id, recovery_codes = opened
            found = await tx.sessions.create(tenant_id, ref, replace(new, factor_id=factor_id), LIFETIMES)
            if found is None:
                raise SignInFailed
            # Last: whoever takes access away holds that first, and then wants what waits for it.
            if token is not None and not await tx.challenges.take(tenant_id, token):
                raise SignInFailed
            return Proved(found, recovery_codes)
        if held is not None:
            await count_failure(tx, held, held.counted_as)
    raise SignInFailed


async def _open(
    service: Service, tx: Stores, held: Held, proof: Proof, *, enrols: bool
) -> tuple[str, tuple[str, ...]] | None:
    """The factor that was proved; who has none may confirm the one that they enrolled. None where it was no code."""
    if held.confirmed is not None:
        is_proved = await tx.factors.prove(held, proof, service.secret_keys)
        return (held.confirmed.id, ()) if is_proved else None
    confirmed = await tx.factors.confirm(held, proof.totp, service.secret_keys) if enrols else None
    return (confirmed.id, confirmed.recovery_codes) if confirmed else None


async def count_failure(stores: Stores, of: Held | Holder, name: str) -> None:
    """Wrong passwords and wrong codes count together."""
    lockout = TenantSettings.model_validate(of.settings).lockout
    await stores.sign_ins.failed(of.tenant_id, name, **lockout.model_dump())
