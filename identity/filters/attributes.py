"""What may be asked of an attribute, and how it is asked in SQL. Values are bound, and nothing of a row is cast."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from identity.fields import Instant as InstantField
from identity.fields import canonical

Bind = Callable[[Any], str]
"""Takes a value and gives the placeholder that stands for it."""

ORDER = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
EQUAL = {"eq": "{a} = {v}", "ne": "{a} IS DISTINCT FROM {v}"}
ORDERED = EQUAL | {op: f"{{a}} {sign} {{v}}" for op, sign in ORDER.items()}
PARTS = {
    "co": "strpos({a}, {v}) > 0",
    "sw": "starts_with({a}, {v})",
    "ew": "right({a}, char_length({v})) = {v}",
}

IS_TEXT = '@.type() == "string"'
IS_NOT_NULL = '@.type() != "null"'
IS_PRESENT = f'{IS_NOT_NULL} && (@.type() != "string" || @ != "") && (@.type() != "object" || exists (@.*))'

_INSTANT: TypeAdapter[datetime] = TypeAdapter(InstantField)


class Refused(ValueError):
    """Why an attribute cannot be asked so."""


@dataclass(frozen=True)
class Attribute:
    """One that may be asked for, and the column that holds it, or an expression."""

    column: str

    ops: ClassVar[Mapping[str, str]] = {}

    @property
    def sql(self) -> str:
        return self.column

    @property
    def plain(self) -> bool:
        """Whether it has one value, by which a list can be sorted."""
        return True

    def read(self, value: Any) -> Any:
        """The value as this attribute is compared; Refused where it can never be one."""
        raise NotImplementedError

    def compare(self, op: str, value: Any, bind: Bind) -> str:
        if value is None:
            return self._is_missing(op)
        if op not in self.ops:
            raise Refused(f"cannot be asked by `{op}`")
        return self.ops[op].format(a=self.sql, v=bind(self.read(value)))

    def present(self, bind: Bind) -> str:
        return f"{self.sql} IS NOT NULL"

    def _is_missing(self, op: str) -> str:
        if op not in EQUAL:
            raise Refused(f"cannot be null by `{op}`")
        return f"{self.sql} IS {'' if op == 'eq' else 'NOT '}NULL"


@dataclass(frozen=True)
class Text(Attribute):
    """Compared as it was given, by code points."""

    choices: tuple[str, ...] = ()
    """All that it can be, where these are few."""

    ops = ORDERED | PARTS

    @property
    def sql(self) -> str:
        return f'{self.column} COLLATE "C"'

    def compare(self, op: str, value: Any, bind: Bind) -> str:
        if op in EQUAL and value is not None and self.choices and value not in self.choices:
            raise Refused(f"is one of {', '.join(self.choices)}")
        return super().compare(op, value, bind)

    def read(self, value: Any) -> str:
        return text(value)

    def present(self, bind: Bind) -> str:
        return f"{self.sql} <> ''"


@dataclass(frozen=True)
class Name(Text):
    """Compared in its canonical form, in which the column keeps it."""

    def read(self, value: Any) -> str:
        return canonical(text(value))


@dataclass(frozen=True)
class Instant(Attribute):
    """A moment, given as RFC 3339 writes it."""

    ops = ORDERED

    def read(self, value: Any) -> datetime:
        if not isinstance(value, str) or value[:1] == "-" or not value[4:5] == "-":
            raise Refused("is an instant, such as 2026-01-31T00:00:00Z")
        try:
            return _INSTANT.validate_python(value)
        except ValidationError:
            raise Refused("is an instant, such as 2026-01-31T00:00:00Z") from None


@dataclass(frozen=True)
class Texts(Attribute):
    """Several, of which one is enough."""

    ops = {
        "eq": "{v} = ANY ({a})",
        "ne": "NOT ({v} = ANY ({a}))",
        **{
            op: f"EXISTS (SELECT FROM unnest({{a}}) AS each (value) WHERE {sql.replace('{a}', 'each.value')})"
            for op, sql in PARTS.items()
        },
    }

    @property
    def plain(self) -> bool:
        return False

    def read(self, value: Any) -> str:
        return text(value)

    def present(self, bind: Bind) -> str:
        return f"cardinality({self.sql}) > 0"

    def _is_missing(self, op: str) -> str:
        super()._is_missing(op)
        return f"cardinality({self.sql}) {'=' if op == 'eq' else '>'} 0"


@dataclass(frozen=True)
class Document(Attribute):
    """A JSON object, asked for its members."""

    members: Mapping[str, type] | None = None
    """Their types; None where they are the caller's own."""
    by_tenant: bool = False
    """Whether an index over `of_tenant` knows what it contains."""

    @property
    def plain(self) -> bool:
        return False

    def member(self, name: str) -> Member:
        if self.members is None:
            return Member(self.sql, name, None, self.by_tenant)
        known = {each.casefold(): each for each in self.members}.get(name.casefold())
        if known is None:
            raise Refused("is not known here")
        return Member(self.sql, known, self.members[known], self.by_tenant)

    def compare(self, op: str, value: Any, bind: Bind) -> str:
        raise Refused("is asked for a member, as in metadata.department")

    def present(self, bind: Bind) -> str:
        return f"{self.sql} <> '{{}}'"


@dataclass(frozen=True)
class Member(Attribute):
    """A member of a JSON object; where it is an array, one of its elements is enough. By jsonpath in its lax mode,
    which never raises, whatever the rows hold; its text is made of the member's name alone."""

    name: str
    type: type | None
    by_tenant: bool

    def compare(self, op: str, value: Any, bind: Bind) -> str:
        if value is None:
            self._is_missing(op)
            return f"{'NOT ' if op == 'eq' else ''}{self._exists(IS_NOT_NULL, bind)}"
        if self.type is not None and not isinstance(value, str if self.type is str else (int, float)):
            raise Refused("is text" if self.type is str else "is a number")
        if op in EQUAL:
            return f"{'NOT ' if op == 'ne' else ''}{self._contains(readable(value), bind)}"
        return self._judge(op, value, bind)

    def present(self, bind: Bind) -> str:
        return self._exists(IS_PRESENT, bind)

    def _judge(self, op: str, value: Any, bind: Bind) -> str:
        if isinstance(value, bool) or (op in PARTS and not isinstance(value, str)):
            raise Refused(f"cannot be asked by `{op}` for such a value")
        if op in ("co", "ew"):
            held = PARTS[op].format(a="each.value #>> '{}'", v=bind(text(value)))
            texts = f"jsonb_path_query({self.sql}, {self._path(IS_TEXT, bind)})"
            return f"EXISTS (SELECT FROM {texts} AS each (value) WHERE {held})"
        kind = "string" if isinstance(value, str) else "number"
        sign = ORDER.get(op, "starts with")
        return self._exists(f'@.type() == "{kind}" && @ {sign} $v', bind, readable(value))

    def _contains(self, value: Any, bind: Bind) -> str:
        """The value, or an array that has it: as containment, since an index knows that alone. It is said twice where
        there is such an index: behind a policy the planner sees no statistics of JSON, takes one row in fifty to match,
        and would rather read all until a page is full."""
        whole = "{a} @> {v}::jsonb"
        if self.by_tenant:
            whole = "identity.of_tenant(tenant_id, {a}) @> identity.of_tenant(%(tenant_id)s, {v}::jsonb)"
        either = [whole.format(a=self.sql, v=bind(json.dumps({self.name: each}))) for each in (value, [value])]
        found = f"({' OR '.join(either)})"
        return f"({found} AND {found})" if self.by_tenant else found

    def _exists(self, judged: str, bind: Bind, value: Any = None) -> str:
        variables = bind(json.dumps({"v": value}))
        return f"jsonb_path_exists({self.sql}, {self._path(judged, bind)}, {variables}::jsonb, true)"

    def _path(self, judged: str, bind: Bind) -> str:
        path = f'lax $."{self.name}" ? ({judged})'
        return f"{bind(path)}::jsonpath"


def readable(value: Any) -> Any:
    return text(value) if isinstance(value, str) else value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused("is text")
    if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
        raise Refused("has a character that no record holds")
    return value
