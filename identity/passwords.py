"""Passwords: what one must be, whose it is, and how one that was forgotten is set anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, StringConstraints

from identity import password_hashes
from identity.db import IfMatch, Row, Store, precondition_failed, sweep
from identity.errors import Conflict, FieldError, Invalid
from identity.fields import Given, canonical, known_as, shown, unset
from identity.leaving import HOLD_USER
from identity.token_text import hash_token, new_token

LEAST_CHARS = 8
"""Whatever a tenant sets; and what must be left of a password without its user's own names."""
MOST_CHARS = 256
ZXCVBN_CHARS = 72
"""It refuses longer ones, since they take it too long."""
UNGUESSABLE = 3
"""Of zxcvbn's 0 to 4: it would take ten billion guesses to come by it, about."""
SHORTEST_NAME = 3

Password = Annotated[SecretStr, Field(min_length=1, max_length=MOST_CHARS)]
ResetToken = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _judged(hash: SecretStr) -> SecretStr:
    password_hashes.judge(hash.get_secret_value())
    return hash


PasswordHash = Annotated[
    SecretStr,
    Field(min_length=1, max_length=password_hashes.MAX_CHARS),
    AfterValidator(_judged),
    shown(format="password-hash"),
]


class NewPassword(Given):
    """One of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["password"]}, {"required": ["hash"]}]})

    password: Password = unset()
    """Whole, and as it is given: nothing is cut off or made to fit."""
    hash: PasswordHash = unset()
    """Of the password, as another system made it."""

    @property
    def given_hash(self) -> str | None:
        """Invalid where not exactly one is given."""
        if len(self.model_fields_set) != 1:
            place = "/hash" if self.model_fields_set else "/password"
            refused = FieldError("must be given, or else the other of password and hash, and not both", pointer=place)
            raise Invalid("invalid_request", f"Not as it should be: {place}.", errors=(refused,))
        return self.hash.get_secret_value() if "hash" in self.model_fields_set else None


class PasswordChanges(Given):
    old_password: Password
    password: Password


class NewReset(Given):
    by_email: bool = False
    """Whether it will be sent to the user's e-mail address: to redeem it then proves that they receive it."""


class Redemption(Given):
    token: ResetToken
    password: Password


class PasswordChange(Row):
    """What came of setting a password: all who were signed in with the old one are not any more."""

    user_id: str
    changed_at: datetime
    sessions_ended: int


class Reset(Row):
    """A reset as the call that makes it answers, this once with its token."""

    user_id: str
    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Holder:
    """Whose password it may be, in a tenant that there is; never shown."""

    tenant_id: str
    ref: str
    settings: dict[str, Any]
    """The tenant's."""
    user_id: str | None
    """None: nobody has such a name."""
    names: tuple[str, ...]
    changed_at: datetime | None
    may_use_app: bool
    is_paused: bool
    """After too many failures no password is good for a while."""
    has_factor: bool
    """A second one, that is confirmed."""
    hash: str | None = field(repr=False)


def judge(password: str, *, min_length: int, names: Sequence[str]) -> None:
    """Invalid where it is too short, a common one, soon guessed, or little else than its user's own names. It need not
    be composed of anything (NIST SP 800-63B, 3.1.1.2)."""
    from zxcvbn import zxcvbn  # here, since it reads long lists, for which no command should wait
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    if len(password) < min_length:
        raise _refused("password_too_short", f"must have at least {min_length} characters")
    own = sorted({part for name in names for part in _parts(name)}, key=len, reverse=True)
    rest = canonical(password)
    for name in own:
        rest = rest.replace(name, "")
    if len(rest) < LEAST_CHARS and rest != canonical(password):
        raise _refused("password_too_weak", "is little else than the user's own names")
    if canonical(password) in FREQUENCY_LISTS["passwords"]:
        raise _refused("password_too_weak", "is one of those that are used most")
    if zxcvbn(password[:ZXCVBN_CHARS], own)["score"] < UNGUESSABLE:
        raise _refused("password_too_weak", "would soon be guessed: take more words, or a random one")


def _parts(name: str) -> set[str]:
    """A name whole, and its words."""
    whole = canonical(name)
    words = "".join(char if char.isalnum() else " " for char in whole).split()
    return {part for part in (whole, *words) if len(part) >= SHORTEST_NAME}


def _refused(code: str, detail: str) -> Invalid:
    return Invalid(code, f"The password {detail}.", errors=(FieldError(detail, pointer="/password"),))


# By any of a user's names: should one's username be another's e-mail address, it is the former's.
FIND = """
SELECT t.id AS tenant_id, t.ref, t.settings, u.id AS user_id, u.username, u.email, u.full_name, p.hash, p.changed_at,
       t.status = 'active' AND u.status = 'active'
       AND EXISTS (SELECT FROM identity.apps WHERE tenant_id = %(tenant_id)s AND id = %(app_id)s
                      AND status = 'active' AND deleted_at IS NULL)
       AND EXISTS (SELECT FROM identity.user_apps WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s
                      AND user_id = u.id AND status = 'active') AS may_use_app,
       EXISTS (SELECT FROM identity.sign_in_failures
                WHERE tenant_id = %(tenant_id)s
                  AND name = CASE WHEN %(counted_as)s::text IS NULL THEN u.id ELSE %(counted_as)s END
                  AND paused_until > clock_timestamp()) AS is_paused,
       EXISTS (SELECT FROM identity.factors WHERE tenant_id = %(tenant_id)s AND user_id = u.id
                  AND confirmed_at IS NOT NULL) AS has_factor
  FROM identity.tenants AS t
  LEFT JOIN LATERAL (
       SELECT id, username, email, full_name, status FROM identity.users
        WHERE tenant_id = %(tenant_id)s AND deleted_at IS NULL
          AND (id = %(user_id)s OR username_canonical = %(login)s OR email_canonical = %(login)s)
        ORDER BY username_canonical = %(login)s DESC LIMIT 1) AS u ON true
  LEFT JOIN identity.passwords AS p ON p.tenant_id = t.id AND p.user_id = u.id
 WHERE t.id = %(tenant_id)s AND t.deleted_at IS NULL
"""

_CHANGE = """
, changed AS (
    INSERT INTO identity.passwords AS old (tenant_id, user_id, hash)
    SELECT %(tenant_id)s, user_id, hash FROM held ORDER BY user_id
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET hash = excluded.hash, changed_at = clock_timestamp()
    RETURNING user_id, changed_at
), ended AS (
    DELETE FROM identity.sessions AS session USING changed
     WHERE session.tenant_id = %(tenant_id)s AND session.user_id = changed.user_id
       AND session.id IN (SELECT id FROM identity.sessions AS each
                           WHERE each.tenant_id = %(tenant_id)s AND each.user_id = changed.user_id
                           ORDER BY id FOR UPDATE)
    RETURNING session.id
), forgotten AS (
    DELETE FROM identity.password_resets AS reset USING changed
     WHERE reset.tenant_id = %(tenant_id)s AND reset.user_id = changed.user_id
), forgiven AS (
    DELETE FROM identity.sign_in_failures USING held
     WHERE tenant_id = %(tenant_id)s AND name IN (held.user_id, held.known_as)
)
SELECT user_id, changed_at, (SELECT count(*) FROM ended) AS sessions_ended FROM changed
"""

SET = f"""
{HOLD_USER}
WITH held AS (
    SELECT id AS user_id, %(hash)s AS hash, %(known_as)s AS known_as FROM identity.users
     WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s AND deleted_at IS NULL
       AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
       AND (%(if_changed_at)s::timestamptz IS NULL
            OR EXISTS (SELECT FROM identity.passwords WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
                          AND changed_at = %(if_changed_at)s))
)
{_CHANGE}
"""

GIVEN = "unnest(%(user_ids)s::text[], %(hashes)s::text[], %(known_names)s::text[]) AS given (user_id, hash, known_as)"

HOLD_MANY = """
SELECT FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = ANY (%(user_ids)s::text[]) AND deleted_at IS NULL
 ORDER BY id FOR NO KEY UPDATE;
"""

SET_MANY = f"""
{HOLD_MANY}
WITH held AS (
    SELECT given.user_id, given.hash, given.known_as
      FROM {GIVEN}
      JOIN identity.users AS u ON u.tenant_id = %(tenant_id)s AND u.id = given.user_id AND u.deleted_at IS NULL
)
{_CHANGE}
"""

KNOWN = f"""
SELECT p.user_id
  FROM {GIVEN}
  JOIN identity.passwords AS p ON p.tenant_id = %(tenant_id)s AND p.user_id = given.user_id AND p.hash = given.hash
"""

REHASH = """
UPDATE identity.passwords
   SET hash = %(hash)s
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND changed_at = %(if_changed_at)s
RETURNING user_id
"""

# The user is held, so that whoever deletes or suspends them waits, and then takes this reset away too.
MAKE_RESET = """
INSERT INTO identity.password_resets AS old (tenant_id, user_id, token_hash, email_canonical)
SELECT %(tenant_id)s, id, %(token_hash)s, CASE WHEN %(by_email)s THEN email_canonical END
  FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s AND deleted_at IS NULL
   AND (email_canonical IS NOT NULL OR NOT %(by_email)s)
   FOR SHARE
    ON CONFLICT (tenant_id, user_id) DO UPDATE
   SET token_hash = excluded.token_hash, email_canonical = excluded.email_canonical, expires_at = excluded.expires_at
RETURNING user_id, expires_at
"""

OF_RESET = """
SELECT u.id
  FROM identity.password_resets AS reset
  JOIN identity.users AS u ON u.tenant_id = reset.tenant_id AND u.id = reset.user_id AND u.deleted_at IS NULL
  JOIN identity.tenants AS t ON t.id = reset.tenant_id AND t.status = 'active' AND t.deleted_at IS NULL
 WHERE reset.tenant_id = %(tenant_id)s AND reset.token_hash = %(token_hash)s
   AND reset.expires_at > clock_timestamp()
"""

REDEEM = f"""
{HOLD_USER}
WITH held AS (
    DELETE FROM identity.password_resets
     WHERE tenant_id = %(tenant_id)s AND token_hash = %(token_hash)s AND user_id = %(user_id)s
       AND expires_at > clock_timestamp()
    RETURNING user_id, email_canonical, %(hash)s AS hash, %(known_as)s AS known_as
), proved AS (
    UPDATE identity.users
       SET email_verified_at = clock_timestamp()
      FROM held
     WHERE users.tenant_id = %(tenant_id)s AND users.id = held.user_id
       AND users.email_canonical = held.email_canonical AND email_verified_at IS NULL
)
{_CHANGE}
"""

SWEEP = sweep("password_resets", "tenant_id, user_id", "expires_at")


class PasswordStore(Store[PasswordChange]):
    row = PasswordChange
    noun = "user"

    async def find(
        self,
        tenant_id: str,
        *,
        login: str | None = None,
        user_id: str | None = None,
        app_id: str | None = None,
        counted_as: str | None = None,
    ) -> Holder | None:
        """Whom a login names in any spelling, or an id; a holder who is nobody where there is none such, and None
        where there is no such tenant. Failures pause by their id, unless another name is given."""
        name = login and canonical(login)
        given: dict[str, Any] = {"login": name, "user_id": user_id, "app_id": app_id, "counted_as": counted_as}
        for found in await self._run(FIND, tenant_id, **given):
            names = tuple(found.pop(name) for name in ("username", "email", "full_name"))
            return Holder(**found, names=tuple(filter(None, names)))
        return None

    async def set(
        self,
        tenant_id: str,
        user_id: str,
        hash: str,
        *,
        if_match: IfMatch = None,
        if_changed_at: datetime | None = None,
    ) -> PasswordChange:
        """Ends all sessions of the user. NotFound where there is no such user; PreconditionFailed where their record,
        or their password, is not the one that is meant."""
        given = {"hash": hash, "if_match": if_match, "if_changed_at": if_changed_at, "known_as": known_as(user_id)}
        changed = await self._first(SET, tenant_id, user_id=user_id, **given)
        if changed is None:
            found = await self.find(tenant_id, user_id=user_id)
            raise self.not_found() if found is None or found.user_id is None else precondition_failed()
        return changed

    async def set_many(self, tenant_id: str, hashes: Mapping[str, str]) -> None:
        """By user; of one who is not there nothing is set. Ends all sessions of these users."""
        await self._run(SET_MANY, tenant_id, **_given(hashes))

    async def known(self, tenant_id: str, hashes: Mapping[str, str]) -> list[str]:
        """Those users of whom that very hash is kept."""
        found = await self._run(KNOWN, tenant_id, **_given(hashes))
        return [row["user_id"] for row in found]

    async def rehash(self, tenant_id: str, user_id: str, hash: str, *, if_changed_at: datetime) -> None:
        """The same password hashed anew: that is no change of it."""
        await self._run(REHASH, tenant_id, user_id=user_id, hash=hash, if_changed_at=if_changed_at)

    async def make_reset(self, tenant_id: str, user_id: str, *, by_email: bool = False) -> Reset:
        """A token by which whoever has it may set the password, once and within the hour; the one before it is good no
        more. Conflict no_email where it cannot be sent there."""
        found = await self.find(tenant_id, user_id=user_id)
        if found is None or found.user_id is None:
            raise self.not_found()
        token = new_token("irs", found.ref)
        made = await self._run(MAKE_RESET, tenant_id, user_id=user_id, token_hash=hash_token(token), by_email=by_email)
        if not made:
            raise Conflict("no_email", "This user has no e-mail address.")
        return Reset(token=token, **made[0])

    async def find_by_reset(self, tenant_id: str, token: str) -> Holder | None:
        """Whose password it resets; None where it is not good, or not any more."""
        found = await self._run(OF_RESET, tenant_id, token_hash=hash_token(token))
        return await self.find(tenant_id, user_id=found[0]["id"]) if found else None

    async def redeem(self, tenant_id: str, user_id: str, token: str, hash: str) -> PasswordChange | None:
        """None where the token was redeemed meanwhile."""
        given: dict[str, Any] = {"token_hash": hash_token(token), "hash": hash, "known_as": known_as(user_id)}
        return await self._first(REDEEM, tenant_id, user_id=user_id, **given)

    async def sweep(self, *, limit: int) -> int:
        """Takes up to that many resets of all tenants away that have expired; how many it took."""
        return await self._swept(SWEEP, limit)


def _given(hashes: Mapping[str, str]) -> dict[str, Any]:
    return {"user_ids": [*hashes], "hashes": [*hashes.values()], "known_names": [*map(known_as, hashes)]}
