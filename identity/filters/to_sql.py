"""A filter in SCIM's grammar (RFC 7644, section 3.4.2.2) as a condition in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from scim2_models import InvalidFilterException
from scim2_models.path import (
    AttrPath,
    Comparison,
    FilterVisitor,
    LogicalExpr,
    Not,
    Present,
    ScimFilter,
    ValuePath,
)

from identity.filters.attributes import Attribute, Bind, Document, Refused

WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s()\[\]"]+')


def condition(text: str, attributes: Mapping[str, Attribute], bind: Bind) -> str:
    """ValueError says what is wrong, and where."""
    try:
        return _ToSql(text, attributes, bind).visit(ScimFilter[Any](text).ast)
    except InvalidFilterException as error:
        raise ValueError(_what_is_wrong(text, error)) from None


def _what_is_wrong(text: str, error: InvalidFilterException) -> str:
    at = getattr(error.__cause__, "column", None)
    if at is None:
        return "nests too deeply, has a number out of range, or brackets after a member"
    if text[at - 1 : at] == ".":
        return f"names at column {at} more than one member of an attribute"
    return f"cannot be read from column {at} on"


class _ToSql(FilterVisitor[str]):
    """Nothing that it makes of a part is NULL where the part holds, and only `not` asks whether one does not."""

    def __init__(self, text: str, attributes: Mapping[str, Attribute], bind: Bind) -> None:
        self.words = WORD.finditer(text)
        self.attributes = attributes
        self.bind = bind
        self.within: str | None = None
        """The attribute in whose brackets it is."""

    def visit_comparison(self, node: Comparison) -> str:
        return self._asked(node.attr_path, lambda found: found.compare(node.op.value, node.value, self.bind))

    def visit_present(self, node: Present) -> str:
        return self._asked(node.attr_path, lambda found: found.present(self.bind))

    def visit_not(self, node: Not) -> str:
        return f"({self.visit(node.expr)}) IS NOT TRUE"

    def visit_logical_expr(self, node: LogicalExpr) -> str:
        joined = f" {node.op.value.upper()} ".join(self.visit(term) for term in node.terms)
        return f"({joined})"

    def visit_value_path(self, node: ValuePath) -> str:
        self._asked(node.attr_path, _must_have_members)
        self.within = node.attr_path.attr
        found = self.visit(node.val_filter)
        self.within = None
        return found

    def _asked(self, path: AttrPath, ask: Callable[[Attribute], str]) -> str:
        at = self._column(path)
        try:
            return ask(self._attribute(path))
        except Refused as error:
            raise ValueError(f"names at column {at} an attribute that {error}") from None

    def _attribute(self, path: AttrPath) -> Attribute:
        attr, member = (self.within, str(path)) if self.within else (path.attr, path.sub_attr)
        found = self.attributes.get(attr.casefold())
        if path.uri or found is None:
            raise Refused("is not known here")
        if member is None:
            return found
        if not isinstance(found, Document) or "." in member:
            raise Refused("has no such member")
        return found.member(member)

    def _column(self, path: AttrPath) -> int:
        """Where it stands: nodes are visited as they are written."""
        for word in self.words:
            if word.group().lstrip(".") == str(path):
                return word.start() + 1
        raise AssertionError("what was read was written")


def _must_have_members(found: Attribute) -> str:
    if not isinstance(found, Document):
        raise Refused("has no members")
    return ""
