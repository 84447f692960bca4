"""What of a tenant is copied, table by table, in the order in which they point at each other; and what not, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of which a tenant's rows are copied. Its columns are named, so that a new one is not shown unasked."""

    name: str
    key: str
    """Besides the tenant."""
    shown: str
    secret: str = ""
    """Columns that nobody without the passphrase may read."""
    role: str = "identity_app"
    """Who may write it."""

    @property
    def columns(self) -> list[str]:
        return [*self.shown.split(", "), *filter(None, self.secret.split(", "))]


TIMES = "created_at, updated_at"

COPIED = {
    table.name: table
    for table in (
        Table("tenants", "id", f"ref, name, domain, status, db_dsn, db_schema, settings, metadata, {TIMES}"),
        Table("apps", "id", f"id, name, type, status, settings, metadata, deleted_at, {TIMES}"),
        Table(
            "branches",
            "app_id, id",
            f"app_id, id, code, name, type, status, address, contact, settings, metadata, deleted_at, {TIMES}",
        ),
        Table(
            "users",
            "id",
            "id, username, username_canonical, email, email_canonical, email_verified_at, full_name, status, metadata,"
            f" deleted_at, {TIMES}",
        ),
        Table("passwords", "user_id", f"user_id, changed_at, {TIMES}", "hash"),
        Table("last_logins", "user_id", f"user_id, last_login_at, {TIMES}"),
        Table("user_apps", "app_id, user_id", f"app_id, user_id, status, scopes, granted_at, revoked_at, {TIMES}"),
        Table(
            "app_keys",
            "id",
            "id, app_id, branch_id, user_id, prefix, type, environment, name, scopes, metadata, expires_at,"
            " disabled_at, revoked_at, revoke_reason, rotated_from, credits, rate_limits, allowed_ips, allowed_routes,"
            f" algorithm, prefix_shown, {TIMES}",
            "secret_hash",
        ),
        Table("key_limits", "key_id", f"key_id, remaining, refilled_at, counts, {TIMES}"),
        Table("key_last_uses", "key_id", f"key_id, last_used_at, {TIMES}", role="identity_verifier"),
        Table("key_usage", "key_id, hour, code", "key_id, hour, code, count", role="identity_verifier"),
        Table("key_leaks", "key_id, number", f"key_id, number, source, url, {TIMES}"),
        Table("factors", "id", f"id, user_id, confirmed_at, last_step, {TIMES}", "secret"),
        Table("recovery_codes", "hash", f"factor_id, {TIMES}", "hash"),
    )
}

LEFT_OUT = {
    "sessions": "Whoever is signed in is so to an issuer, which the other installation is not: people sign in again.",
    "refresh_tokens": "They belong to sessions.",
    "sign_in_challenges": "Half a sign-in, of ten minutes.",
    "sign_in_failures": "Pauses of minutes, under names that are hashed by the installation's own secret.",
    "sign_in_limits": "Of addresses, not of a tenant.",
    "invitations": "Likewise links of some days: send new ones from there.",
    "invitation_access": "It belongs to invitations.",
    "password_resets": "Tokens of an hour, in links that lead to the old installation.",
    "idempotency_keys": "Answers of a day, sealed under the installation's own secret.",
    "signing_keys": "The installation's: whoever had them could sign tokens of all its tenants.",
    "usage_workers": "Of the workers that write counts.",
    "tenant_counters": "Counted anew as rows come in.",
    "tenant_changes": "Of what workers remember, there.",
    "gathered_changes": "Empty outside of a transaction.",
    "tenants.deleted_at": "A tenant that was deleted is not copied: restore it first.",
    "tenants.purged_at": "Likewise of one that is about to go.",
    "key_usage.created_at": "When a count was first written says nothing of the key, and only the lanes write it.",
    "key_usage.updated_at": "Likewise.",
}
"""A test holds these and COPIED to be all there is."""
