"""What is done to tenants, apps, branches and users alike: they are made, changed, moved, and deleted softly."""

from __future__ import annotations

from tests.fuzz import people
from tests.fuzz.callers import Caller
from tests.fuzz.model import SOME, App, Fields, Record, Refused, Tenant, World, folded, merged
from tests.fuzz.nouns import APP, BRANCH, TENANT, USER, Condition, Noun, Place


def must_match(condition: Condition, record: Record) -> None:
    if condition == "stale" or (condition == "fresh" and record.etag is None):
        raise Refused(412, "precondition_failed")


def create(world: World, place: Place, given: Fields) -> Record:
    """POST, or PUT of what there is not."""
    siblings, noun = place.siblings(world), place.noun
    codes = _clashes(world, place, given)
    if _would_change_identity(place, given):
        codes.add("protected")
    if place.id in siblings:
        codes.add(f"{noun.name}_taken")
    if codes or (codes := _over_quota(world, place)):
        raise Refused(409, *codes)
    kinds = {"tenant": Tenant, "app": App}
    record: Record = kinds.get(noun.name, Record)(
        noun.defaults
        | given
        | {"id": place.id, "status": "active", "deleted_at": None}
        | ({"tenant_id": place.tenant_id} if noun is not TENANT else {})
        | _settings(noun, given)
    )
    if isinstance(record, Tenant):
        record.apps["identity"] = App(
            {"id": "identity", "type": "service", "name": "Identity", "status": "active", "deleted_at": None}
            | {"metadata": {}, "tenant_id": place.id}
            | _settings(APP, {})
        )
    siblings[place.id] = record
    return record


def put(world: World, by: Caller, place: Place, given: Fields, condition: Condition) -> tuple[Record, int]:
    record = place.find(world)
    if record is None or record.is_deleted:
        if condition not in ("none", "absent"):
            raise Refused(412, "precondition_failed")
        if place.noun is TENANT and not by.is_platform:
            raise Refused(403, "platform_only")
        return create(world, place, given), 201
    if condition == "absent":
        raise Refused(412, "precondition_failed")
    must_match(condition, record)
    fields = place.noun.defaults | given | _settings(place.noun, given)
    if place.noun is TENANT and not by.is_platform:
        fields |= {name: record.fields[name] for name in ("domain", "db_schema")}
        fields["settings"] |= {name: record.fields["settings"][name] for name in ("max_users", "max_apps")}
    _must_be_possible(world, place, fields)
    record.fields |= fields
    return record, 200


def patch(world: World, by: Caller, place: Place, changes: Fields, condition: Condition) -> Record:
    record: Record = place.get(world)
    wrong = "nonsense" in changes or any(name in changes and changes[name] is None for name in place.noun.not_null)
    if wrong:
        must_match(condition, record)
        raise Refused(400, "invalid_request")
    if place.noun is TENANT and not by.is_platform and _is_for_the_platform(changes):
        raise Refused(403, "platform_only")
    must_match(condition, record)
    fields = dict(changes)
    if "metadata" in changes:
        fields["metadata"] = merged(record.fields["metadata"], changes["metadata"])
    if "settings" in changes:
        fields["settings"] = place.noun.settings | merged(record.fields["settings"], changes["settings"])
    _must_be_possible(world, place, fields)
    record.fields |= fields
    return record


def delete(world: World, place: Place, condition: Condition) -> Record:
    record: Record = place.get(world)
    must_match(condition, record)
    _must_not_be_protected(place)
    record.fields["deleted_at"] = SOME
    if place.noun is USER:
        people.leave(world.tenants[place.tenant_id], place.id)
    return record


def move(world: World, place: Place, verb: str) -> Record:
    record: Record = place.get(world)
    froms, to = place.noun.moves[verb]
    if record.status != to:
        if record.status not in froms:
            raise Refused(409, "status_conflict")
        if to != "active":
            _must_not_be_protected(place)
        record.fields["status"] = to
        if place.noun is USER and to == "suspended":
            people.leave(world.tenants[place.tenant_id], place.id)
    return record


def restore(world: World, place: Place) -> Record:
    record = place.find(world)
    if record is None:
        raise Refused(404, f"{place.noun.name}_not_found")
    if record.is_deleted:
        if codes := _clashes(world, place, record.fields) or _over_quota(world, place):
            raise Refused(409, *codes)
        record.fields["deleted_at"] = None
    assert isinstance(record, Record)
    return record


def purge(world: World, place: Place, *, is_over: bool) -> None:
    """For good, with all that hangs on it."""
    record = place.find(world)
    if record is None:
        raise Refused(404, f"{place.noun.name}_not_found")
    if not record.is_deleted:
        raise Refused(409, "status_conflict")
    if not is_over:
        raise Refused(409, "purge_too_early")
    del place.siblings(world)[place.id]
    if place.noun is not TENANT:
        _cascade(world.tenants[place.tenant_id], place)


def _cascade(tenant: Tenant, place: Place) -> None:
    """Keys, and of a user the access and the password."""
    for key in list(tenant.keys.values()):
        if key.fields[f"{place.noun.name}_id"] == place.id and (place.noun is not BRANCH or key.app_id == place.app_id):
            del tenant.keys[key.id]
    for app in tenant.apps.values() if place.noun is USER else ():
        app.access.pop(place.id, None)
    if place.noun is USER:
        tenant.passwords.pop(place.id, None)


def _settings(noun: Noun, given: Fields) -> Fields:
    return {"settings": noun.settings | given.get("settings", {})} if noun.settings else {}


def _is_for_the_platform(changes: Fields) -> bool:
    settings = changes.get("settings", {})
    return settings is None or bool({"domain", "db_schema", "max_users", "max_apps"} & {*changes, *settings})


def _must_be_possible(world: World, place: Place, fields: Fields) -> None:
    if _would_change_identity(place, fields):
        raise Refused(409, "protected", *_clashes(world, place, fields))
    if codes := _clashes(world, place, fields):
        raise Refused(409, *codes)


def _would_change_identity(place: Place, fields: Fields) -> bool:
    return place.noun is APP and place.id == "identity" and fields.get("type", "service") != "service"


def _must_not_be_protected(place: Place) -> None:
    if place.noun is APP and place.id == "identity":
        raise Refused(409, "protected")


def _clashes(world: World, place: Place, fields: Fields) -> set[str]:
    """The codes of the names that another living one has."""
    others = [each for each in place.siblings(world).values() if each.id != place.id and not each.is_deleted]
    return {
        code
        for name, code in place.noun.unique.items()
        if fields.get(name) is not None
        and any(_same(place.noun, fields[name], each.fields[name]) for each in others if each.fields[name] is not None)
    }


def _same(noun: Noun, one: str, other: str) -> bool:
    return folded(one) == folded(other) if noun is USER else one == other


def _over_quota(world: World, place: Place) -> set[str]:
    """Of living ones with one more; the app `identity` does not count."""
    if place.noun not in (APP, USER):
        return set()
    limit = world.tenants[place.tenant_id].quota(place.noun.plural)
    count = sum(not each.is_deleted for id, each in place.siblings(world).items() if id != "identity")
    return {f"{place.noun.plural}_max_reached"} if limit is not None and count >= limit else set()
