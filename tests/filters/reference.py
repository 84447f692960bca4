"""What a filter means, said again in Python: expressions as trees, as text, and judged over records."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from identity.fields import canonical
from identity.users import User

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
PARTS: dict[str, Callable[[str, str], bool]] = {
    "co": operator.contains,
    "sw": str.startswith,
    "ew": str.endswith,
}
EQUAL = ("eq", "ne")
NAMES = ("username", "email")
TEXTS = ("id", "full_name")
INSTANTS = ("created_at", "last_login_at", "deleted_at")
MEMBERS = ("department", "level", "tags", "vip", "boss", "$ref", "so-far_1", "Level", "nested")


@dataclass(frozen=True)
class Asked:
    """`path op value`; without an op: `path pr`."""

    path: str
    op: str | None = None
    value: Any = None

    def __str__(self) -> str:
        return f"{self.path} pr" if self.op is None else f"{self.path} {self.op} {json.dumps(self.value)}"

    def holds(self, user: User) -> bool:
        if self.path.startswith("metadata."):
            return self._holds_of(_elements(user.metadata.get(self.path.partition(".")[2])))
        found, value = getattr(user, self.path), self.value
        if self.path in INSTANTS and value is not None:
            value = datetime.fromisoformat(value)
        if self.path in NAMES:
            found, value = (each and canonical(each) for each in (found, value))
        return _judge(self.op, [] if found is None else [found], value)

    def _holds_of(self, found: list[Any]) -> bool:
        return _judge(self.op, found, self.value)


@dataclass(frozen=True)
class Not:
    inner: Expression

    def __str__(self) -> str:
        return f"not ({self.inner})"

    def holds(self, user: User) -> bool:
        return not self.inner.holds(user)


@dataclass(frozen=True)
class Either:
    op: str
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return "(" + f" {self.op} ".join(str(part) for part in self.parts) + ")"

    def holds(self, user: User) -> bool:
        return (any if self.op == "or" else all)(part.holds(user) for part in self.parts)


Expression = Asked | Not | Either


def _elements(value: Any) -> list[Any]:
    return [each for each in (value if isinstance(value, list) else [value]) if each is not None]


def _judge(op: str | None, found: list[Any], value: Any) -> bool:
    if op is None:
        return any(each not in ("", {}) for each in found)
    if value is None:
        return bool(found) == (op == "ne")
    alike = [each for each in found if _kind(each) is _kind(value)]
    if op in EQUAL:
        return (value in alike) == (op == "eq")
    return any({**ORDER, **PARTS}[op](each, value) for each in alike)


def _kind(value: Any) -> Any:
    """True is no 1 to JSON."""
    return float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)


WORDS = ["", "Sales", "sales", "Sa", "les", "vip", "a", "é", "😀", "straße", "STRASSE", "%", "_", "'", "\\", '"', "u1"]
NUMBERS = [0, 1, 7, -1, 7.0, 7.5, 1e20, 2**53]
AT = ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00.000001Z", "2026-01-03T01:00:00+01:00"]

_text = st.sampled_from(WORDS) | st.text(alphabet="aSé_%'\\\"", max_size=2)
_text_op = st.sampled_from([*EQUAL, *ORDER, *PARTS])
_order_op = st.sampled_from([*EQUAL, *ORDER])
_equal_op = st.sampled_from(EQUAL)
_member = st.sampled_from([f"metadata.{name}" for name in MEMBERS])
_any = st.sampled_from([*NAMES, *TEXTS, *INSTANTS]) | _member

LEAVES = (
    st.builds(Asked, st.sampled_from([*NAMES, *TEXTS]), _text_op, _text)
    | st.builds(Asked, st.just("status"), _equal_op, st.sampled_from(["active", "suspended"]))
    | st.builds(Asked, st.sampled_from(INSTANTS), _order_op, st.sampled_from(AT))
    | st.builds(Asked, _member, _text_op, _text)
    | st.builds(Asked, _member, _order_op, st.sampled_from(NUMBERS))
    | st.builds(Asked, _member, _equal_op, st.booleans())
    | st.builds(Asked, _any, _equal_op, st.none())
    | st.builds(Asked, _any)
)
EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(Either, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
