"""Leaving: what stops at once when somebody is suspended or deleted, or may not use an app any more."""

from __future__ import annotations

from identity.db import Row

# By a statement of its own: what whoever held the user before has done, the next statement sees.
HOLD_USER = """
SELECT FROM identity.users
 WHERE tenant_id = %(tenant_id)s AND id = %(user_id)s AND deleted_at IS NULL FOR NO KEY UPDATE;
"""


class Receipt(Row):
    """What was good until then, and stopped by it."""

    sessions_ended: tuple[str, ...] = ()
    """For good."""
    refresh_tokens_ended: int = 0
    """Likewise. They have no names."""
    keys_stopped: tuple[str, ...] = ()
    """The keys that the user owns; they live again when the user or the access is back."""
    access_stopped: tuple[str, ...] = ()
    """The apps that the user might use; likewise."""


def receipt(which: str) -> str:
    """What is about to stop, for the statement that stops it: `which` says of whom, and of which app. Whoever is held
    before that statement signs in nowhere meanwhile. The sessions themselves a trigger ends, for all who write."""
    return f"""
held AS (
    SELECT id, expires_at > clock_timestamp() AS is_live FROM identity.sessions
     WHERE tenant_id = %(tenant_id)s AND {which} ORDER BY id FOR UPDATE
), access AS (
    SELECT access.app_id
      FROM identity.user_apps AS access
      JOIN identity.tenants AS t ON t.id = access.tenant_id AND t.status = 'active' AND t.deleted_at IS NULL
      JOIN identity.apps AS a ON a.tenant_id = access.tenant_id AND a.id = access.app_id
           AND a.status = 'active' AND a.deleted_at IS NULL
      JOIN identity.users AS u ON u.tenant_id = access.tenant_id AND u.id = access.user_id
           AND u.status = 'active' AND u.deleted_at IS NULL
     WHERE access.tenant_id = %(tenant_id)s AND {which} AND access.status = 'active'
), keys AS (
    SELECT id FROM identity.app_keys AS key
     WHERE tenant_id = %(tenant_id)s AND {which} AND app_id IN (SELECT app_id FROM access)
       AND revoked_at IS NULL AND disabled_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
       AND (branch_id IS NULL
            OR EXISTS (SELECT FROM identity.branches AS b
                        WHERE b.tenant_id = %(tenant_id)s AND b.app_id = key.app_id AND b.id = key.branch_id
                          AND b.status = 'active' AND b.deleted_at IS NULL))
), receipt AS (
    SELECT jsonb_build_object(
           'sessions_ended', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM held WHERE is_live),
           'refresh_tokens_ended', (SELECT count(*) FROM identity.refresh_tokens
                                     WHERE tenant_id = %(tenant_id)s
                                       AND session_id IN (SELECT id FROM held WHERE is_live)
                                       AND consumed_at IS NULL AND expires_at > clock_timestamp()),
           'keys_stopped', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM keys),
           'access_stopped', (SELECT coalesce(jsonb_agg(app_id ORDER BY app_id), '[]') FROM access)) AS receipt
)"""
