"""What each error's code means: its status, and a sentence for people. `/docs#code` leads here."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """As a problem has it."""

    status: int
    meaning: str


CODES = {
    "invalid_request": Code(
        400, "A field, a parameter or a header is not as it should be; `errors` says which and why."
    ),
    "invalid_json": Code(400, "The body is missing, or is not JSON as we take it."),
    "invalid_cursor": Code(400, "The cursor is not the `next` of a page of this very list."),
    "filter_too_expensive": Code(
        400, "No index serves what the list is asked for, and it takes longer than two seconds: ask for less."
    ),
    "invalid_http": Code(400, "The bytes sent are no HTTP/1.1 request."),
    "metadata_too_large": Code(400, "`metadata` is larger than 64 kB (of a key, 4 kB) or deeper than 8 levels."),
    "settings_too_large": Code(400, "`settings` are larger than 64 kB."),
    "address_too_large": Code(400, "`address` is larger than 8 kB."),
    "contact_too_large": Code(400, "`contact` is larger than 8 kB."),
    "public_key_too_broad": Code(400, "A public key may not be of the app `identity`, nor carry `*`."),
    "restricted_key_too_broad": Code(400, "A restricted key must carry scopes, and none of them `*`."),
    "service_key_has_owner": Code(400, "A service key has no owner: leave `user_id` out."),
    "refill_incomplete": Code(400, "Credits are refilled by an amount and an interval, or not at all."),
    "management_key_limited": Code(
        400, "Keys of the app `identity` have no credits, rate limits, allowed addresses or routes."
    ),
    "password_too_short": Code(400, "The tenant's `password_policy` asks for a longer password."),
    "password_too_weak": Code(400, "The password is a common one, soon guessed, or little else than the user's names."),
    "reset_not_good": Code(400, "The token of the reset is not known, was used or replaced, or has expired."),
    "invitation_not_good": Code(
        400, "The token of the invitation is not known, was used, replaced or withdrawn, or has expired."
    ),
    "not_a_management_scope": Code(400, "Keys of the app `identity` carry management scopes only."),
    "scope_not_allowed": Code(400, "The app's `allowed_scopes` do not cover a scope."),
    "invalid_token": Code(401, "There is no `Authorization: Bearer KEY`, or the key is not known."),
    "invalid_client": Code(401, "Nobody says which app asks, or not with a living key of it (RFC 6749)."),
    "unauthorized_client": Code(400, "A key of this type, or with limits or rules, gets no tokens (RFC 6749)."),
    "unsupported_grant_type": Code(400, "Tokens are not given in that way here (RFC 6749)."),
    "invalid_scope": Code(400, "A scope is malformed, or is not the key's to give (RFC 6749)."),
    "invalid_grant": Code(400, "The refresh token is not good, or not any more (RFC 6749)."),
    "unsupported_token_type": Code(400, "This is a key, or came from one: end the key (RFC 7009)."),
    "sign_in_failed": Code(401, "Name and password do not open this app, or not just now: more is not told."),
    "mfa_required": Code(
        401,
        "The password was right, and a second factor is needed: give a code with `mfa_token` to `…/mfa`, or enrol one "
        "first where `enrolled` is false.",
    ),
    "revoked": Code(401, "The key was revoked."),
    "disabled": Code(401, "The key is disabled."),
    "expired": Code(401, "The key has expired."),
    "tenant_deleted": Code(401, "The key's tenant was deleted."),
    "tenant_suspended": Code(401, "The key's tenant is suspended."),
    "app_deleted": Code(401, "The key's app was deleted."),
    "app_disabled": Code(401, "The key's app is disabled."),
    "branch_deleted": Code(401, "The branch that binds the key was deleted."),
    "branch_disabled": Code(401, "The branch that binds the key is disabled."),
    "user_deleted": Code(401, "The key's owner was deleted."),
    "user_suspended": Code(401, "The key's owner is suspended."),
    "user_locked": Code(401, "The key's owner is locked."),
    "access_revoked": Code(401, "The key's owner may not use its app any more."),
    "insufficient_scope": Code(
        403, "The key lacks the scope that the operation needs, or is not of the app `identity`."
    ),
    "insufficient_rank": Code(403, "Whoever makes, changes or wakes a management key must hold all that it may do."),
    "factor_code_wrong": Code(
        403, "The code is none of that second factor, was used before, or none is taken just now."
    ),
    "old_password_wrong": Code(
        403, "The old password is another; or, after too many failures, none is taken just now."
    ),
    "platform_only": Code(403, "Only a key of the tenant `platform` may do this."),
    "route_not_found": Code(404, "There is no such route."),
    "tenant_not_found": Code(404, "There is no such tenant, or it is not yours."),
    "app_not_found": Code(404, "There is no such app."),
    "branch_not_found": Code(404, "There is no such branch (400 where the body names it)."),
    "user_not_found": Code(404, "There is no such user (400 where the body names them)."),
    "access_not_found": Code(404, "This user was never granted access to this app."),
    "key_not_found": Code(404, "There is no such key."),
    "factor_not_found": Code(404, "There is no such second factor."),
    "invitation_not_found": Code(404, "There is no such invitation."),
    "session_not_found": Code(404, "There is no such session, or it has ended."),
    "method_not_allowed": Code(405, "The path does not take this method; `Allow` names those that it takes."),
    "request_timeout": Code(408, "The request took too long to arrive."),
    "tenant_taken": Code(409, "There is a tenant of this id, or its tombstone."),
    "app_taken": Code(409, "There is an app of this id, or its tombstone."),
    "branch_taken": Code(409, "There is a branch of this id, or its tombstone."),
    "user_taken": Code(409, "There is a user of this id, or their tombstone."),
    "domain_taken": Code(409, "Another tenant has this domain."),
    "app_name_taken": Code(409, "Another app of the tenant has this name."),
    "branch_code_taken": Code(409, "Another branch of the app has this code."),
    "username_taken": Code(409, "Another user of the tenant has this username, perhaps in another spelling."),
    "email_taken": Code(409, "Another user of the tenant has this e-mail address, perhaps in another spelling."),
    "users_max_reached": Code(409, "The tenant has as many users as it may have."),
    "apps_max_reached": Code(409, "The tenant has as many apps as it may have."),
    "protected": Code(
        409,
        "The app `identity` and the tenant `platform` cannot be deleted, disabled or suspended, and take no imports.",
    ),
    "already_confirmed": Code(409, "The second factor was confirmed before."),
    "status_conflict": Code(409, "From its present status it cannot get to the one that was asked for."),
    "purge_too_early": Code(409, "It was deleted too recently to be purged."),
    "imported_key_taken": Code(409, "A key of this hash was imported into the tenant before."),
    "already_rotated": Code(409, "The key has a living successor."),
    "key_not_live": Code(409, "Only a live key can be rotated."),
    "no_email": Code(409, "The user has no e-mail address."),
    "no_credits": Code(409, "The key takes no credits; change it to have some first."),
    "credits_max_reached": Code(409, "The key would have more credits than a key may have."),
    "idempotency_in_progress": Code(409, "Another request with this Idempotency-Key has not ended yet."),
    "idempotency_answer_lost": Code(
        409, "It was done before, and its answer was sealed under a secret key that is gone."
    ),
    "precondition_failed": Code(412, "If-Match or If-None-Match did not hold: read the record again, then decide."),
    "body_too_large": Code(413, "The body is larger than the route takes."),
    "unsupported_media_type": Code(415, "Send the body as application/json."),
    "idempotency_key_reused": Code(422, "This Idempotency-Key came with another body before: make a new one."),
    "too_many_requests": Code(
        429,
        "Too many requests wait on one connection, or came from one address or to one tenant: read their answers, "
        "and wait.",
    ),
    "slow_down": Code(429, "The session was refreshed too often within a minute: the token is good still, so wait."),
    "headers_too_large": Code(431, "Path and headers are larger than 16 kB, or more than 64."),
    "internal_error": Code(500, "Something went wrong here, and is in our log under the request's id."),
    "http_version_not_supported": Code(505, "The service speaks HTTP/1.1."),
    "too_busy": Code(503, "As many passwords wait to be checked as may. Try again shortly."),
    "factor_unreadable": Code(
        503, "The second factor was sealed under a secret key that the service does not have; it counts as no failure."
    ),
    "unavailable": Code(503, "The database does not answer in time. Try again shortly."),
}
