"""Second factors: what somebody has, besides the password that they know. Codes of an app on their phone (TOTP, RFC
6238), and recovery codes for when it is lost."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import pyotp
from pydantic import StringConstraints

from identity import filters
from identity.db import Page, Row, Store, columns
from identity.errors import IdentityError, NotFound
from identity.fields import Given
from identity.leaving import HOLD_USER
from identity.sealing import Resealed, Sealing

log = logging.getLogger("identity")

STEPS_BESIDE = 1
"""By how many steps of half a minute a phone's clock may be wrong."""
RECOVERY_CODES = 10
CODE_BYTES = 13
"""Of which 20 characters of base32 are written: 100 bits."""
GROUP_CHARS = 5
AT_ONCE = 500

Totp = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
RecoveryCode = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Proof(Given):
    """That somebody has their second factor: a code of either kind."""

    totp: Totp | None = None
    recovery_code: RecoveryCode | None = None


class Confirmation(Given):
    totp: Totp
    """Of the factor that is to be."""
    old_totp: Totp | None = None
    """Of the one that it replaces, if there is one; or a recovery code."""
    recovery_code: RecoveryCode | None = None

    @property
    def of_old(self) -> Proof:
        return Proof(totp=self.old_totp, recovery_code=self.recovery_code)


class FactorUnreadable(IdentityError):
    """No code of it can be judged: that is nobody's failure but the operator's."""

    status = 503

    def __init__(self) -> None:
        super().__init__("factor_unreadable", "This second factor cannot be judged here now; recovery codes can.")


class Factor(Row):
    tenant_id: str
    id: str
    user_id: str
    confirmed_at: datetime | None
    """Before, nobody is asked for it."""
    recovery_codes_left: int
    created_at: datetime
    updated_at: datetime


class Enrolled(Factor):
    """As the call that makes it answers, this once with its secret."""

    secret: str
    otpauth_uri: str
    """The same for an app to read, as a QR code."""


class Confirmed(Factor):
    """As confirming it answers, this once with its recovery codes."""

    recovery_codes: tuple[str, ...]


class FactorsReset(Row):
    """What was taken from a user."""

    user_id: str
    factors_removed: int
    challenges_ended: int


@dataclass(frozen=True)
class SealedFactor:
    """As it lies in the database. Never shown."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Held:
    """A user and their factors, held until the transaction ends: codes are judged one after another."""

    tenant_id: str
    user_id: str
    counted_as: str
    """By which name failures count, and pause."""
    username: str
    issuer: str
    settings: dict[str, Any]
    """The tenant's."""
    is_paused: bool
    now_s: float
    """By the database's clock, which all workers share."""
    confirmed: SealedFactor | None
    pending: SealedFactor | None

    def step_of(self, factor: SealedFactor | None, code: str | None, secret_keys: tuple[bytes, ...]) -> int | None:
        """The time step of which it is a code, where it is one of now. FactorUnreadable where no key opens it."""
        if factor is None or code is None or self.is_paused:
            return None
        secret = _sealing(self.tenant_id, self.user_id, secret_keys).open(factor.secret)
        if secret is None:
            log.error(
                "The second factor %s of tenant %s was sealed under another secret key.", factor.id, self.tenant_id
            )
            raise FactorUnreadable
        return find_step(secret.decode(), code, self.now_s)


def find_step(secret: str, code: str, now_s: float) -> int | None:
    """The latest of the present step and those beside it whose code that is."""
    totp = pyotp.TOTP(secret)
    now = int(now_s) // totp.interval
    steps = range(now + STEPS_BESIDE, now - STEPS_BESIDE - 1, -1)
    return next((step for step in steps if secrets.compare_digest(totp.generate_otp(step), code)), None)


def new_recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().lower()[: 4 * GROUP_CHARS]
    return "-".join(text[at : at + GROUP_CHARS] for at in range(0, len(text), GROUP_CHARS))


def hash_recovery_code(code: str) -> bytes:
    """However it was typed in."""
    text = "".join(char for char in code.lower() if char.isalnum())
    return hashlib.sha256(text.encode()).digest()


def _sealing(tenant_id: str, user_id: str, secret_keys: tuple[bytes, ...]) -> Sealing:
    return Sealing("factor", f"{tenant_id}/{user_id}".encode(), secret_keys)


def seal_secret(tenant_id: str, user_id: str, secret: str, secret_keys: tuple[bytes, ...]) -> bytes:
    return _sealing(tenant_id, user_id, secret_keys).close(secret.encode())


def open_secret(tenant_id: str, user_id: str, sealed: bytes, secret_keys: tuple[bytes, ...]) -> str | None:
    """None where it was sealed under a key that is gone."""
    clear = _sealing(tenant_id, user_id, secret_keys).open(sealed)
    return None if clear is None else clear.decode()


ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "confirmed_at": filters.Instant("confirmed_at"),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
}


class FactorFilter(filters.Search):
    """All of a user: there are two at most."""

    attributes = ATTRIBUTES


COLUMNS = f"""{columns(Factor, but=("recovery_codes_left",))},
       (SELECT count(*) FROM identity.recovery_codes AS code
         WHERE code.tenant_id = %(tenant_id)s AND code.factor_id = factors.id) AS recovery_codes_left"""

GET = f"""
SELECT {COLUMNS}
  FROM identity.factors
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND id = %(id)s
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.factors
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
"""

HOLD = f"""
{HOLD_USER}
SELECT u.username, t.name AS issuer, t.settings, extract(epoch FROM clock_timestamp())::float8 AS now_s,
       EXISTS (SELECT FROM identity.sign_in_failures WHERE tenant_id = %(tenant_id)s AND name = %(counted_as)s
                  AND paused_until > clock_timestamp()) AS is_paused,
       f.id, f.secret, f.confirmed_at IS NOT NULL AS is_confirmed
  FROM identity.users AS u
  JOIN identity.tenants AS t ON t.id = u.tenant_id
  LEFT JOIN identity.factors AS f ON f.tenant_id = u.tenant_id AND f.user_id = u.id
 WHERE u.tenant_id = %(tenant_id)s AND u.id = %(user_id)s AND u.deleted_at IS NULL
"""

ENROL = f"""
DELETE FROM identity.factors
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND confirmed_at IS NULL;
INSERT INTO identity.factors (tenant_id, user_id, secret)
VALUES (%(tenant_id)s, %(user_id)s, %(secret)s)
RETURNING {COLUMNS}
"""

CONFIRM = f"""
DELETE FROM identity.factors
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND confirmed_at IS NOT NULL;
WITH confirmed AS (
    UPDATE identity.factors
       SET confirmed_at = clock_timestamp(), last_step = %(step)s
     WHERE tenant_id = %(tenant_id)s AND id = %(id)s
    RETURNING {columns(Factor, but=("recovery_codes_left",))}
), codes AS (
    INSERT INTO identity.recovery_codes (tenant_id, hash, factor_id)
    SELECT %(tenant_id)s, hash, confirmed.id FROM confirmed CROSS JOIN unnest(%(hashes)s::bytea[]) AS hash
    RETURNING hash
)
SELECT *, (SELECT count(*) FROM codes) AS recovery_codes_left FROM confirmed
"""

USE = """
UPDATE identity.factors
   SET last_step = %(step)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND last_step < %(step)s
RETURNING id
"""

USE_RECOVERY_CODE = """
DELETE FROM identity.recovery_codes
 WHERE tenant_id = %(tenant_id)s AND factor_id = %(id)s AND hash = %(hash)s
RETURNING factor_id
"""

REMOVE = f"""
DELETE FROM identity.factors
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND id = %(id)s
RETURNING {COLUMNS}
"""

RESET = f"""
{HOLD_USER}
WITH removed AS (
    DELETE FROM identity.factors
     WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
       AND id IN (SELECT id FROM identity.factors
                   WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s ORDER BY id FOR UPDATE)
    RETURNING id
), ended AS (
    DELETE FROM identity.sign_in_challenges
     WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
       AND token_hash IN (SELECT token_hash FROM identity.sign_in_challenges
                           WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s ORDER BY token_hash FOR UPDATE)
    RETURNING token_hash
)
SELECT id AS user_id, (SELECT count(*) FROM removed) AS factors_removed,
       (SELECT count(*) FROM ended) AS challenges_ended
  FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s AND deleted_at IS NULL
"""

LIST_SEALED = """
SELECT id, user_id, secret
  FROM identity.factors
 WHERE tenant_id = %(tenant_id)s AND id > %(after)s
 ORDER BY id
 LIMIT %(limit)s
"""

RESEAL = """
UPDATE identity.factors
   SET secret = %(secret)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s
RETURNING id
"""


class FactorStore(Store[Factor]):
    """A code is judged, and taken, in a transaction that holds its user: so each counts before the next is judged."""

    row = Factor
    noun = "factor"

    async def get(self, tenant_id: str, user_id: str, id: str) -> Factor:
        return await self._one(GET, tenant_id, user_id=user_id, id=id)

    async def list(
        self,
        tenant_id: str,
        user_id: str,
        where: FactorFilter = FactorFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Factor]:
        return await self._page(LIST, tenant_id, "id", where, after, limit, user_id=user_id)

    async def hold(self, tenant_id: str, user_id: str, *, counted_as: str | None = None) -> Held | None:
        """None where there is no such user. Failures count by their id, unless another name is given."""
        name = counted_as or user_id
        rows = await self._run(HOLD, tenant_id, user_id=user_id, counted_as=name)
        factors = {
            each["is_confirmed"]: SealedFactor(each["id"], each["secret"]) for each in rows if each["id"] is not None
        }
        told = ("username", "issuer", "settings", "is_paused", "now_s")
        for found in rows:
            more = {name: found[name] for name in told}
            return Held(tenant_id, user_id, name, **more, confirmed=factors.get(True), pending=factors.get(False))
        return None

    async def enrol(self, held: Held, secret_keys: tuple[bytes, ...]) -> Enrolled:
        """A factor that is yet to be confirmed, in place of another such."""
        secret = pyotp.random_base32()
        sealed = _sealing(held.tenant_id, held.user_id, secret_keys).close(secret.encode())
        made = await self._one(ENROL, held.tenant_id, user_id=held.user_id, secret=sealed)
        uri = pyotp.TOTP(secret).provisioning_uri(name=held.username, issuer_name=held.issuer)
        return Enrolled(**made.model_dump(), secret=secret, otpauth_uri=uri)

    async def confirm(self, held: Held, totp: str | None, secret_keys: tuple[bytes, ...]) -> Confirmed | None:
        """In place of the one before it, whose recovery codes go with it. None where it is no code of the new one."""
        step = held.step_of(held.pending, totp, secret_keys)
        if held.pending is None or step is None:
            return None
        codes = tuple(new_recovery_code() for _ in range(RECOVERY_CODES))
        hashes = [hash_recovery_code(code) for code in codes]
        given = {"id": held.pending.id, "step": step, "hashes": hashes}
        made = await self._one(CONFIRM, held.tenant_id, user_id=held.user_id, **given)
        return Confirmed(**made.model_dump(), recovery_codes=codes)

    async def prove(self, held: Held, proof: Proof, secret_keys: tuple[bytes, ...]) -> bool:
        """Whether it is a code of the confirmed factor, which it then is no more."""
        if held.confirmed is None or held.is_paused:
            return False
        id, step = held.confirmed.id, held.step_of(held.confirmed, proof.totp, secret_keys)
        if step is not None:
            return bool(await self._run(USE, held.tenant_id, id=id, step=step))
        if proof.totp is not None or proof.recovery_code is None:
            return False
        hash = hash_recovery_code(proof.recovery_code)
        return bool(await self._run(USE_RECOVERY_CODE, held.tenant_id, id=id, hash=hash))

    async def reseal(self, tenant_id: str, secret_keys: tuple[bytes, ...]) -> Resealed:
        """All of a tenant, under the first key."""
        done, found = Resealed(), await self._run(LIST_SEALED, tenant_id, after="", limit=AT_ONCE)
        while found:
            for each in found:
                secret = _sealing(tenant_id, each["user_id"], secret_keys).anew(each["secret"])
                if secret not in (None, each["secret"]):
                    await self._run(RESEAL, tenant_id, id=each["id"], secret=secret)
                done = done.and_one(each["secret"], secret)
            found = await self._run(LIST_SEALED, tenant_id, after=found[-1]["id"], limit=AT_ONCE)
        return done

    async def remove(self, tenant_id: str, user_id: str, id: str) -> Factor:
        return await self._one(REMOVE, tenant_id, user_id=user_id, id=id)

    async def reset(self, tenant_id: str, user_id: str) -> FactorsReset:
        """All factors of a user, and all sign-ins that wait for one."""
        for found in await self._run(RESET, tenant_id, user_id=user_id):
            return FactorsReset(**found)
        raise NotFound("user_not_found", "No such user.")
