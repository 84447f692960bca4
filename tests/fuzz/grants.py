"""What is done to access and to keys: granted and revoked, issued, changed, rotated."""

from __future__ import annotations

from datetime import datetime

from tests.fuzz import people
from tests.fuzz.lives import must_match
from tests.fuzz.model import SOME, App, Fields, Key, Record, Refused, Tenant, World, covered, living, may_manage, merged
from tests.fuzz.nouns import Condition

MANAGEMENT = {"*", "keys:verify", "keys:verify/shop", "users:read", "audit:read"}
"""Those of them that are tried."""
PREFIXES = {"secret": "isk", "public": "ipk", "restricted": "irk", "service": "isv"}


def grant(
    tenant: Tenant, app: App, user_id: str, condition: Condition, scopes: list[str] | None = None
) -> tuple[Record, int]:
    """Without scopes those that are there stay. More rank than before ends a reset that whoever had it made."""
    if living(tenant.users, user_id) is None:
        raise Refused(404, "user_not_found")
    access = app.access.get(user_id)
    if access is None:
        if condition not in ("none", "absent"):
            raise Refused(412, "precondition_failed")
        ids = {"tenant_id": tenant.id, "app_id": app.id, "user_id": user_id}
        app.access[user_id] = Record({**ids, "status": "active", "revoked_at": None, "scopes": []})
        _give(tenant, app.access[user_id], scopes)
        return app.access[user_id], 201
    if condition == "absent":
        raise Refused(412, "precondition_failed")
    must_match(condition, access)
    access.fields |= {"status": "active", "revoked_at": None}
    _give(tenant, access, scopes)
    return access, 200


def _give(tenant: Tenant, access: Record, scopes: list[str] | None) -> None:
    had = access.fields["scopes"]
    access.fields["scopes"] = had if scopes is None else scopes
    rises = not all(may_manage(had, scope) for scope in access.fields["scopes"])
    if access.fields["app_id"] == "identity" and rises:
        tenant.resets.pop(access.fields["user_id"], None)


def find_access(tenant: Tenant, app: App, user_id: str) -> Record:
    access = app.access.get(user_id)
    if access is None or living(tenant.users, user_id) is None:
        raise Refused(404, "access_not_found")
    return access


def revoke_access(tenant: Tenant, app: App, user_id: str, condition: Condition) -> Record:
    access = find_access(tenant, app, user_id)
    must_match(condition, access)
    access.fields |= {"status": "revoked", "revoked_at": SOME}
    people.end_all(tenant, user_id, app.id)
    return access


def find_key(tenant: Tenant, app: App, key_id: str) -> Key:
    key = tenant.keys.get(key_id)
    if key is None or key.app_id != app.id:
        raise Refused(404, "key_not_found")
    return key


def issue(world: World, tenant: Tenant, app: App, given: Fields, shown: Fields) -> Key:
    """As it was shown, if it was: its id and its text are the service's to choose."""
    fields: Fields = {
        "type": "secret",
        "environment": "live",
        "branch_id": None,
        "user_id": None,
        "scopes": [],
        "metadata": {},
        "expires_at": None,
    } | given
    codes = _too_broad(app, fields)
    if fields["branch_id"] and living(app.branches, fields["branch_id"]) is None:
        codes.add("branch_not_found")
    if fields["user_id"] and living(tenant.users, fields["user_id"]) is None:
        codes.add("user_not_found")
    if codes:
        raise Refused(400, *codes)
    fields |= {"tenant_id": tenant.id, "app_id": app.id, "rotated_from": None, "rotated_to": None}
    fields |= {"prefix": app.fields["settings"]["key_prefix"] or PREFIXES[fields["type"]]}
    fields |= {"disabled_at": None, "revoked_at": None, "revoke_reason": None}
    return _kept(world, tenant, fields, shown)


def change(app: App, key: Key, changes: Fields, condition: Condition) -> Key:
    if changes.get("scopes", []) is None or changes.get("name", "") is None or "nonsense" in changes:
        must_match(condition, key)
        raise Refused(400, "invalid_request")
    must_match(condition, key)
    fields = key.fields | changes
    if "metadata" in changes:
        fields["metadata"] = merged(key.fields["metadata"], changes["metadata"])
    codes = _too_broad(app, fields)
    if fields["scopes"] == key.scopes:
        codes.discard("scope_not_allowed")
    if codes:
        raise Refused(400, *codes)
    key.fields = fields
    return key


def rotate(world: World, tenant: Tenant, app: App, key: Key, grace_s: int, shown: Fields) -> Key:
    """The successor. When the old key expires by its grace is the service's to say."""
    fields, old = (
        key.fields | {"expires_at": lives_until(tenant, key), "rotated_from": key.id, "rotated_to": None},
        key.id,
    )
    if not key.is_live or _is_orphaned(tenant, app, key):
        raise Refused(409, "key_not_live")
    if any(each.fields["rotated_from"] == old and each.fields["revoked_at"] is None for each in tenant.keys.values()):
        raise Refused(409, "already_rotated")
    if codes := _too_broad(app, fields):
        raise Refused(400, *codes)
    if not grace_s:
        key.fields |= {"revoked_at": SOME, "revoke_reason": "rotated"}
    successor = _kept(world, tenant, fields, shown)
    key.fields["rotated_to"] = successor.id
    return successor


def successors(tenant: Tenant, key_id: str) -> list[Key]:
    """The living one comes last: another is made only once those before it are revoked."""
    return [each for each in tenant.keys.values() if each.fields["rotated_from"] == key_id]


def lives_until(tenant: Tenant, key: Key) -> str | None:
    """For how long it was issued, whatever the grace of a rotation left of it that was undone."""
    ends = [each.fields["expires_at"] for each in (key, *successors(tenant, key.id))]
    return None if None in ends else max(ends, key=datetime.fromisoformat)


def disable(key: Key) -> Key:
    _must_not_be_revoked(key)
    key.fields["disabled_at"] = SOME
    return key


def enable(key: Key) -> Key:
    _must_not_be_revoked(key)
    key.fields["disabled_at"] = None
    return key


def revoke(key: Key) -> Key:
    if key.fields["revoked_at"] is None:
        key.fields["revoked_at"] = SOME
    return key


def delete(tenant: Tenant, key: Key, condition: Condition) -> Key:
    """It leaves no tombstone."""
    must_match(condition, key)
    del tenant.keys[key.id]
    if (old := tenant.keys.get(key.fields["rotated_from"])) is not None:
        left = successors(tenant, old.id)
        old.fields["rotated_to"] = left[-1].id if left else None
    return key


def _kept(world: World, tenant: Tenant, fields: Fields, shown: Fields) -> Key:
    key = Key(fields | {"id": shown.get("id", "")}, text=shown.get("key", ""))
    tenant.keys[key.id] = key
    world.issued.append(key)
    return key


def admin_key(world: World, tenant: Tenant, shown: Fields) -> Key:
    """The first key of a tenant."""
    return issue(world, tenant, tenant.apps["identity"], {"name": "admin", "scopes": ["*"]}, shown)


def _must_not_be_revoked(key: Key) -> None:
    if key.fields["revoked_at"] is not None:
        raise Refused(409, "status_conflict")


def _is_orphaned(tenant: Tenant, app: App, key: Key) -> bool:
    branch, user = app.branches.get(key.fields["branch_id"]), tenant.users.get(key.fields["user_id"])
    return any(each is not None and each.is_deleted for each in (branch, user))


def _too_broad(app: App, fields: Fields) -> set[str]:
    type, scopes = fields["type"], fields["scopes"]
    allowed = app.fields["settings"]["allowed_scopes"]
    is_identity = app.id == "identity"
    wrong = {
        "public_key_too_broad": type == "public" and (is_identity or "*" in scopes),
        "restricted_key_too_broad": type == "restricted" and (not scopes or "*" in scopes),
        "service_key_has_owner": type == "service" and fields["user_id"] is not None,
        "not_a_management_scope": is_identity and not set(scopes) <= MANAGEMENT,
        "scope_not_allowed": not is_identity and allowed and not all(covered(allowed, scope) for scope in scopes),
    }
    return {code for code, is_so in wrong.items() if is_so}
