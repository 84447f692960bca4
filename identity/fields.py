"""The vocabulary of fields: what a name, an id, settings and metadata are, for every noun alike."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
)

SLUG_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
EMAIL_PATTERN = r"^[^@\s]+@[^@\s]+$"
YEARS_PATTERN = r"^([2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-"
SCOPE_PATTERN = r"^(\*|[A-Za-z0-9._/-]+(:[A-Za-z0-9._/-]+)*(:\*)?)$"


def words_of(message: str) -> str:
    """A validator's sentence, without what pydantic puts before it."""
    return message.removeprefix("Value error, ")


def printable(text: str) -> str:
    """Refuses control characters, and white space around."""
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    if text != text.strip():
        raise ValueError("must not begin or end with white space")
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError("must be a time zone of the IANA database, such as Europe/Madrid") from None
    return name


def _in_range(at: datetime) -> datetime:
    if not datetime(2000, 1, 1, tzinfo=UTC) <= at < datetime(9999, 1, 1, tzinfo=UTC):
        raise ValueError("must lie between the years 2000 and 9998")
    return at.astimezone(UTC)


def _whole(value: Any) -> Any:
    """54.0 is a whole number to JSON, which has but one kind of numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _email(text: str) -> str:
    if not re.fullmatch(EMAIL_PATTERN, text):
        raise ValueError("must be an e-mail address")
    return text


def shown(**schema: JsonValue) -> Any:
    """Tells those who read the schema what a validator of ours holds."""
    return Field(json_schema_extra=schema)


AS_WHOLE = BeforeValidator(_whole)
"""Stands after the bounds of an Annotated: before them pydantic keeps them out of the schema."""
Whole = Annotated[int, AS_WHOLE]
Limit = Annotated[int, Field(ge=0, le=2**31 - 1), AS_WHOLE]
Printable = Annotated[str, AfterValidator(printable), shown(format="printable")]
Text = Annotated[Printable, StringConstraints(min_length=1, max_length=200)]
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]
Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=320),
    AfterValidator(printable),
    AfterValidator(_email),
    shown(format="printable", pattern=EMAIL_PATTERN),
]
Timezone = Annotated[
    str, StringConstraints(min_length=1, max_length=64), AfterValidator(_timezone), shown(format="timezone")
]
Instant = Annotated[AwareDatetime, AfterValidator(_in_range), shown(pattern=YEARS_PATTERN)]
Scope = Annotated[str, StringConstraints(pattern=SCOPE_PATTERN, max_length=128)]
Scopes = Annotated[tuple[Scope, ...], Field(max_length=100)]
Metadata = dict[str, JsonValue]
"""The caller's own: any object up to 64 kB and 8 levels. The database holds the bounds, since patches merge there."""


def known_as(user_id: str) -> str:
    """The name by which failures count of who calls for that user with a credential: apart from those of strangers, so
    that neither are held up by the other. No id begins so."""
    return f"={user_id}"


def canonical(text: str) -> str:
    """How names are compared: NFKC(casefold(NFKC(x))), so that no two that look alike by compatibility are two."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class Document(BaseModel):
    """A typed JSON object in a column: unknown members are refused when written and ignored when read."""

    model_config = ConfigDict(frozen=True)


class Given(BaseModel):
    """What a caller may give. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def row(self) -> dict[str, Any]:
        """Every field for the database; of documents only what was given, since their defaults are ours to move."""
        row = self.model_dump(mode="json")
        for name, value in self:
            if isinstance(value, Document):
                row[name] = value.model_dump(mode="json", exclude_unset=True)
        return row


class Changes(Given):
    """What may change, as a JSON Merge Patch (RFC 7396): a field that was not given stays as it is."""

    def row(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include=self.model_fields_set)


def unset() -> Any:
    """The default of a field of Changes: never read, since only given fields are."""
    return Field(default_factory=lambda: None)


def _given_members(document: Document, patch: dict[str, Any]) -> dict[str, Any]:
    """What a patch gives, without the nulls that mean a default; a null of an unknown name stays, to be refused."""
    given = {}
    for name, member in patch.items():
        present = getattr(document, name, None)
        if isinstance(member, dict) and isinstance(present, Document):
            given[name] = _given_members(present, member)
        elif isinstance(member, dict):
            given[name] = _without_nulls(member)
        elif member is not None or name not in type(document).model_fields:
            given[name] = member
    return given


def _without_nulls(members: dict[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in members.items() if member is not None}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema with its references resolved and each member nullable, since null means the default."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    members = schema.get("properties", {})
    if not members:
        return schema
    nullable = {name: {"anyOf": [_inlined(member, definitions), {"type": "null"}]} for name, member in members.items()}
    return schema | {"properties": nullable, "additionalProperties": False}


def patch_of(document: type[Document]) -> Any:
    """The type of a merge patch for a document: its members, each of which may be null for its default."""

    def judge(patch: dict[str, Any]) -> dict[str, Any]:
        document.model_validate_json(json.dumps(_given_members(document(), patch)), strict=True, extra="forbid")
        return patch

    schema = document.model_json_schema()
    return Annotated[dict[str, Any], AfterValidator(judge), WithJsonSchema(_inlined(schema, schema.pop("$defs", {})))]
