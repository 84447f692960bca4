"""What a row means for its record: made, changed, left as it is, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from identity import password_hashes
from identity.cli.tables.columns import Columns, Path, Refused
from identity.cli.tables.nouns import Name, Noun
from identity.cli.tables.tabular import Row
from identity.fields import Changes, Given, words_of


@dataclass(frozen=True)
class Candidate:
    """A row as it was read: what it gives, by field, and which record it names; or why it cannot be read."""

    row: Row
    given: Mapping[Path, Any]
    name: Name | None
    names: frozenset[Name]
    """All names that it gives, so that a later row which means the same record comes after it."""
    refused: Refused | None = None


@dataclass(frozen=True)
class Step:
    """What is to be done for one row."""

    row: Row
    record: Any | None
    """As it is; None where it is to be made."""
    new: Given
    """As it shall be."""
    changes: Changes | None
    status: str | None
    """As it shall be, where that is said and not so."""
    hash: str | None = field(default=None, repr=False)
    """Of the password, likewise."""

    @property
    def outcome(self) -> str:
        if self.record is None:
            return "created"
        return "changed" if self.changes or self.status or self.hash else "unchanged"

    @property
    def as_a_whole(self) -> bool:
        """A merge patch deletes what is null; so a record that is to hold nulls is written whole."""
        return self.changes is not None and _holds_null(self.new.model_dump().get("metadata"))


def read(noun: Noun, columns: Columns, match: str | None, row: Row) -> Candidate:
    try:
        given = columns.values(row)
    except Refused as refused:
        return Candidate(row, {}, None, frozenset(), refused)
    found = {column: noun.name(column, text) for column in noun.spelling if (text := given.get((column,))) is not None}
    keys = (match,) if match else noun.shape.names
    name = next((found[key] for key in keys if key in found), None)
    unnamed = Refused(columns.column_of(keys[:1]), f"must be given, since it names the {noun.shape.noun}")
    return Candidate(row, given, name, frozenset(found.values()), unnamed if match and name is None else None)


def judge(noun: Noun, columns: Columns, candidate: Candidate, record: Any | None) -> Step:
    """Refused where the row is not as it should be."""
    if candidate.refused:
        raise candidate.refused
    given = dict(candidate.given)
    status = _status(noun, columns, given.pop(("status",), None))
    hash = _hash(columns, given.pop(("password_hash",), None))
    fields = {path[0] for path in given} - {"id"}
    present = plain(record, set(noun.new.model_fields)) if record else {}
    new = _validated(noun, columns, _overlaid(present, given))
    if record is None:
        return Step(candidate.row, None, new, None, None if status == "active" else status, hash)
    changes = _changes(noun, present, plain(new, fields))
    return Step(candidate.row, record, new, changes, None if status == record.status else status, hash)


def _status(noun: Noun, columns: Columns, given: Any) -> str | None:
    if given is None:
        return None
    if str(given).lower() not in noun.shape.statuses:
        raise Refused(columns.column_of(("status",)), f"must be {', '.join(noun.shape.statuses)}, or empty")
    return str(given).lower()


def _hash(columns: Columns, given: Any) -> str | None:
    """Refused without a word of it; a row that has none leaves the password as it is."""
    if given is None:
        return None
    try:
        password_hashes.judge(str(given))
    except ValueError as error:
        raise Refused(columns.column_of(("password_hash",)), str(error)) from None
    return str(given)


def plain(model: BaseModel, fields: set[str]) -> dict[str, Any]:
    """As JSON has it; of documents only what differs from the default."""
    found = model.model_dump(mode="json", include=fields)
    for name in found:
        if isinstance(document := getattr(model, name), BaseModel):
            found[name] = document.model_dump(mode="json", exclude_defaults=True)
    return found


def _overlaid(present: dict[str, Any], given: Mapping[Path, Any]) -> dict[str, Any]:
    """The record with what the row gives; None is what the field is by default."""
    found = dict(present)
    for path, value in sorted(given.items(), key=lambda item: len(item[0])):
        if len(path) > 1:
            members = found.get(path[0]) or {}
            if isinstance(members, dict):
                found[path[0]] = _with(members, path[1], value)
        elif path != ("id",) or not present:
            found = _with(found, path[0], value)
    return found


def _with(members: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    others = {other: member for other, member in members.items() if other != name}
    return others if value is None else others | {name: value}


def _validated(noun: Noun, columns: Columns, document: dict[str, Any]) -> Given:
    try:
        return noun.new.model_validate_json(json.dumps(document), strict=True, extra="forbid")
    except ValidationError as error:
        raise _refusal(columns, error.errors(include_url=False, include_input=False)) from None


def _refusal(columns: Columns, errors: list[Any]) -> Refused:
    reasons: dict[str, str] = {}
    for each in errors:
        column = columns.column_of(tuple(str(step) for step in each["loc"]))
        reason = "must be given" if each["type"] == "missing" else words_of(each["msg"])
        reasons.setdefault(column, reason)
    if len(reasons) == 1:
        return Refused(*next(iter(reasons.items())))
    return Refused(", ".join(reasons), "; ".join(f"{column}: {reason}" for column, reason in reasons.items()))


def _changes(noun: Noun, present: dict[str, Any], wanted: dict[str, Any]) -> Changes | None:
    differing = {name: value for name, value in wanted.items() if not same(present[name], value)}
    patch = {
        name: merge_patch(present[name], value) if isinstance(value, dict) else value
        for name, value in differing.items()
    }
    return noun.changes.model_validate(patch) if patch else None


def merge_patch(present: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """What, merged into the one (RFC 7396), makes the other."""
    if not isinstance(present, dict):
        return wanted
    patch: dict[str, Any] = {name: None for name in present if name not in wanted}
    for name, value in wanted.items():
        if name not in present or not same(present[name], value):
            patch[name] = merge_patch(present.get(name), value) if isinstance(value, dict) else value
    return patch


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: to Python true is 1; and what was a large float comes back from jsonb as a whole number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, float) and isinstance(other, int):
        return one == float(other)
    if isinstance(one, int) and isinstance(other, float):
        return float(one) == other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _holds_null(value: Any) -> bool:
    return isinstance(value, dict) and any(member is None or _holds_null(member) for member in value.values())
