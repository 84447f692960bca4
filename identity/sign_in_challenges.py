"""Challenges: of who has given the password, and is yet to give a second factor, or to enrol one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from identity.db import Row, Store, sweep
from identity.token_text import hash_token, new_token

LIFETIME_S = 600
"""How long there is to answer one, or to set up an app."""


@dataclass(frozen=True)
class NewChallenge:
    """Who signs in, and to what."""

    user_id: str
    app_id: str
    scopes: list[str] | None
    """None: all that are granted."""
    password_changed_at: datetime | None


class Challenge(Row):
    """One that can be answered now."""

    tenant_id: str
    ref: str
    """The tenant's."""
    user_id: str
    app_id: str
    scopes: list[str] | None
    password_changed_at: datetime


# User, access and password are held, as for a session: whoever ends what they give waits, and then sees this.
CREATE = """
WITH may AS (
    SELECT u.id AS user_id, access.app_id, p.changed_at
      FROM identity.users AS u
      JOIN identity.user_apps AS access ON access.tenant_id = u.tenant_id AND access.user_id = u.id
           AND access.app_id = %(app_id)s AND access.status = 'active'
      JOIN identity.passwords AS p ON p.tenant_id = u.tenant_id AND p.user_id = u.id
           AND p.changed_at = %(password_changed_at)s
     WHERE u.tenant_id = %(tenant_id)s AND u.id = %(user_id)s AND u.status = 'active' AND u.deleted_at IS NULL
       AND NOT EXISTS (SELECT FROM identity.sign_in_failures AS failed
                        WHERE failed.tenant_id = %(tenant_id)s AND failed.name = %(user_id)s
                          AND failed.paused_until > clock_timestamp())
       FOR SHARE OF u, access, p
)
INSERT INTO identity.sign_in_challenges (tenant_id, token_hash, app_id, user_id, scopes, password_changed_at,
                                         expires_at)
SELECT %(tenant_id)s, %(token_hash)s, app_id, user_id, %(scopes)s::text[], changed_at,
       clock_timestamp() + make_interval(secs => %(lifetime_s)s)
  FROM may
RETURNING user_id
"""

FIND = """
SELECT t.id AS tenant_id, t.ref, c.user_id, c.app_id, c.scopes, c.password_changed_at
  FROM identity.sign_in_challenges AS c
  JOIN identity.tenants AS t ON t.id = c.tenant_id AND t.status = 'active' AND t.deleted_at IS NULL
  JOIN identity.users AS u ON u.tenant_id = c.tenant_id AND u.id = c.user_id
       AND u.status = 'active' AND u.deleted_at IS NULL
  JOIN identity.passwords AS p ON p.tenant_id = c.tenant_id AND p.user_id = c.user_id
       AND p.changed_at = c.password_changed_at
  JOIN identity.apps AS a ON a.tenant_id = c.tenant_id AND a.id = c.app_id
       AND a.status = 'active' AND a.deleted_at IS NULL
  JOIN identity.user_apps AS access ON access.tenant_id = c.tenant_id AND access.app_id = c.app_id
       AND access.user_id = c.user_id AND access.status = 'active'
 WHERE c.tenant_id = %(tenant_id)s AND c.token_hash = %(token_hash)s AND c.expires_at > clock_timestamp()
"""

TAKE = """
DELETE FROM identity.sign_in_challenges
 WHERE tenant_id = %(tenant_id)s AND token_hash = %(token_hash)s
RETURNING user_id
"""

SWEEP = sweep("sign_in_challenges", "tenant_id, token_hash", "expires_at")


class ChallengeStore(Store[Challenge]):
    row = Challenge
    noun = "sign_in_challenge"

    async def create(self, tenant_id: str, ref: str, new: NewChallenge) -> str | None:
        """The text of its token; None where the user may not sign in any more."""
        token = new_token("imt", ref)
        given = asdict(new) | {"token_hash": hash_token(token), "lifetime_s": LIFETIME_S}
        made = await self._run(CREATE, tenant_id, **given)
        return token if made else None

    async def find(self, tenant_id: str, token: str) -> Challenge | None:
        """None where it is not good, or not any more."""
        return await self._first(FIND, tenant_id, token_hash=hash_token(token))

    async def take(self, tenant_id: str, token: str) -> bool:
        """It is answered, once."""
        return bool(await self._run(TAKE, tenant_id, token_hash=hash_token(token)))

    async def sweep(self, *, limit: int) -> int:
        """Takes up to that many of all tenants away that have expired; how many it took."""
        return await self._swept(SWEEP, limit)
