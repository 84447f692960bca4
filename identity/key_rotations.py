"""Rotations: a key gets a successor with all that it has, and lives on for a while."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from identity import key_text
from identity.app_keys import STORED, AppKey, AppKeyStore, IssuedKey, shown, with_text
from identity.db import Store
from identity.errors import Conflict, NotFound
from identity.fields import AS_WHOLE, Given

Seconds = Annotated[int, Field(ge=0, le=366 * 86400), AS_WHOLE]


class Rotation(Given):
    grace_s: Seconds = 0
    """How long the old key lives on."""


# Rotated once more, after its successor was revoked, it counts how long it was to live before the first rotation, which
# the revoked one tells: what was left of the old grace would else be the end of the new key too.
ROTATE = f"""
WITH held AS (
    SELECT id AS key,
           nullif(greatest(coalesce(expires_at, 'infinity'),
                           (SELECT max(coalesce(undone.expires_at, 'infinity')) FROM identity.app_keys AS undone
                             WHERE undone.tenant_id = app_keys.tenant_id AND undone.rotated_from = app_keys.id)),
                  'infinity') AS until
      FROM identity.app_keys
     WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND id = %(id)s
       AND revoked_at IS NULL AND disabled_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
       FOR UPDATE OF app_keys
), left_over AS (
    SELECT remaining, refilled_at, counts
      FROM identity.key_limits
     WHERE tenant_id = %(tenant_id)s AND key_id = (SELECT key FROM held)
       FOR UPDATE
), old AS (
    UPDATE identity.app_keys
       SET revoked_at = CASE WHEN %(grace_s)s = 0 THEN clock_timestamp() END,
           revoke_reason = CASE WHEN %(grace_s)s = 0 THEN 'rotated' END,
           expires_at = CASE WHEN %(grace_s)s = 0 THEN expires_at
                             ELSE least(until, clock_timestamp() + make_interval(secs => %(grace_s)s)) END
      FROM held
     WHERE tenant_id = %(tenant_id)s AND id = key
    RETURNING tenant_id, id, app_id, branch_id, user_id, prefix, type, environment, name, scopes, metadata, until,
              credits, rate_limits, allowed_ips, allowed_routes
), moved AS (
    UPDATE identity.key_limits
       SET remaining = 0
     WHERE %(grace_s)s = 0 AND tenant_id = %(tenant_id)s AND key_id = (SELECT id FROM old)
       AND EXISTS (SELECT FROM left_over WHERE left_over.remaining > 0)
), issued AS (
    INSERT INTO identity.app_keys (tenant_id, id, app_id, branch_id, user_id, prefix, secret_hash, type, environment,
                                   name, scopes, metadata, expires_at, rotated_from, credits, rate_limits, allowed_ips,
                                   allowed_routes)
    SELECT tenant_id, left(id, 6) || %(random_id)s, app_id, branch_id, user_id, prefix, %(secret_hash)s, type,
           environment, name, scopes, metadata, until, id, credits, rate_limits, allowed_ips, allowed_routes
      FROM old
    RETURNING {STORED}, credits
), limits AS (
    INSERT INTO identity.key_limits (tenant_id, key_id, remaining, refilled_at, counts)
    SELECT issued.tenant_id, issued.id, remaining, refilled_at, counts
      FROM issued, left_over
    RETURNING tenant_id, key_id, remaining, refilled_at
)
SELECT {shown("limits")} FROM issued AS app_keys
"""


class KeyRotations(Store[AppKey]):
    row = AppKey
    noun = "key"

    async def rotate(self, tenant_id: str, app_id: str, id: str, *, grace_s: int = 0) -> IssuedKey:
        """A successor with all that the old key had. The old one lives on for the grace, or is revoked at once.
        Conflict already_rotated, or key_not_live where it is revoked, disabled or expired.

        To revoke the successor while the old one lives is the way back: the old one rotates again as if for the first
        time. Until then it keeps the end that its grace set, since revoking lengthens nobody's life; an update of
        `expires_at` does."""
        secret = key_text.new_secret()
        made = {"random_id": key_text.new_random_id(), "secret_hash": key_text.hash_secret(secret)}
        try:
            successor = await self._first(ROTATE, tenant_id, app_id=app_id, id=id, grace_s=grace_s, **made)
        except NotFound:
            raise key_not_live() from None  # its owner, branch or app is a tombstone
        if successor is None:
            await AppKeyStore(self.session).get(tenant_id, app_id, id)
            raise key_not_live()
        return with_text(successor, secret)


def key_not_live() -> Conflict:
    return Conflict("key_not_live", "Only a live key can be rotated: this one is revoked, disabled, expired or dead.")
