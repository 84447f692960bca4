"""How a list may be asked: a filter, an order, a count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, StringConstraints, field_validator

from identity.errors import FieldError, Invalid
from identity.fields import Given
from identity.filters.attributes import Attribute
from identity.filters.to_sql import condition

MAX_FILTER = 2000
ASKING = ("filter", "sort", "count")
TIMEOUT = "SET LOCAL statement_timeout = '2s';"
"""What no index serves may not keep a connection for long."""


@dataclass(frozen=True)
class Asked:
    """What a list's statement ends in, with the values that it binds."""

    matches: str
    after: tuple[str, ...]
    """One after the other, until a page is full: where some rows lack the value of the order, no index finds with one
    condition what comes behind a row."""
    order: str
    params: dict[str, Any]

    @property
    def matching(self) -> str:
        return f"   AND {self.matches}\n"

    @property
    def tails(self) -> list[str]:
        return [f"{self.matching}   AND {after}\n ORDER BY {self.order}\n LIMIT %(limit)s\n" for after in self.after]


class Search(Given):
    """How any list may be asked."""

    attributes: ClassVar[Mapping[str, Attribute]] = {}
    """What a filter or an order may name: this, and nothing else."""

    filter: Annotated[
        str | None,
        StringConstraints(max_length=MAX_FILTER),
        Field(
            description="An expression in SCIM's grammar (RFC 7644, section 3.4.2.2).",
            examples=['metadata.department eq "Sales" and not (metadata.level lt 7)'],
        ),
    ] = None
    sort: Annotated[
        str | None,
        Field(
            description="By which attribute; with `-` before it from the last to the first.", examples=["-created_at"]
        ),
    ] = None
    count: Annotated[bool, Field(description="Also tell how many there are on all pages.")] = False

    @field_validator("filter")
    @classmethod
    def _can_be_asked(cls, filter: str | None) -> str | None:
        if filter is not None:
            _condition(filter, cls.attributes, {})
        return filter

    @field_validator("sort")
    @classmethod
    def _can_be_sorted(cls, sort: str | None) -> str | None:
        if sort is not None and sort not in cls.orders():
            raise ValueError(f"must be one of {', '.join(cls.orders())}")
        return sort

    @classmethod
    def orders(cls) -> list[str]:
        plain = [name for name, each in cls.attributes.items() if each.plain]
        return [f"{sign}{name}" for name in plain for sign in ("", "-")]

    @property
    def is_bounded(self) -> bool:
        """Whether more is asked than an index is known to serve."""
        return self.filter is not None or self.sort is not None or self.count

    def params(self) -> dict[str, Any]:
        """The equalities."""
        return self.model_dump(exclude=set(ASKING))

    def asked(self, key: str, after: str | None) -> Asked:
        """Of rows with that key, those after a page that ended there."""
        params: dict[str, Any] = {}
        matches = "TRUE" if self.filter is None else _condition(self.filter, self.attributes, params)
        if self.sort is None:
            return Asked(matches, (f"{key} > %(after)s",), key, params | {"after": after or ""})
        return Asked(matches, *self._sorted(key, after, params), params)

    def next(self, key: str, row: BaseModel) -> str:
        """Where the page ends that ends in that row."""
        if self.sort is None:
            return str(getattr(row, key))
        name = self.sort.removeprefix("-")
        value = getattr(row, name)
        return json.dumps([value.isoformat() if isinstance(value, datetime) else value, getattr(row, key)])

    def _sorted(self, key: str, after: str | None, params: dict[str, Any]) -> tuple[tuple[str, ...], str]:
        """By the attribute, and of equals by the key. What is missing comes last, and first the other way round."""
        assert self.sort is not None
        attribute = self.attributes[self.sort.removeprefix("-")]
        by, down = attribute.sql, self.sort.startswith("-")
        order = f"{by} DESC, {key} DESC" if down else f"{by}, {key}"
        if after is None:
            return ("TRUE",), order
        value, last = _read(after, attribute)
        sign = "<" if down else ">"
        params |= {"last_value": value, "after": last}
        if value is None:
            behind = f"{by} IS NULL AND {key} {sign} %(after)s"
            return (behind, f"{by} IS NOT NULL") if down else (behind,), order
        behind = f"({by}, {key}) {sign} (%(last_value)s, %(after)s)"
        return (behind,) if down else (behind, f"{by} IS NULL"), order


def too_expensive() -> Invalid:
    detail = "takes too long: name something that an index knows, such as an equality, or the beginning of a name"
    return Invalid("filter_too_expensive", f"The search {detail}.", errors=(FieldError(detail, parameter="filter"),))


def _read(after: str, attribute: Attribute) -> tuple[Any, str]:
    """A cursor is signed, but programs may pass what they like."""
    try:
        value, key = json.loads(after)
        return (None if value is None else attribute.read(value)), str(key)
    except (ValueError, TypeError):
        detail = "is none of this order"
        raise Invalid(
            "invalid_cursor", f"The cursor {detail}.", errors=(FieldError(detail, parameter="cursor"),)
        ) from None


def _condition(filter: str, attributes: Mapping[str, Attribute], params: dict[str, Any]) -> str:
    def bind(value: Any) -> str:
        params[f"asked_{len(params)}"] = value
        return f"%(asked_{len(params) - 1})s"

    return condition(filter, attributes, bind)


class Filter(Search):
    """The equalities by which a list may be narrowed; None means any."""

    deleted: bool = False
    """Tombstones instead of the living."""
