"""JSON as we take it (I-JSON, RFC 7493): what parsers let pass and a database then refuses is refused here."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from identity.errors import FieldError, Invalid

MAX_LEVELS = 32
SURROGATE = re.compile("[\ud800-\udfff]")
MAX_INTEGER_DIGITS = 19


def loads(raw: bytes) -> Any:
    """The document, or Invalid: invalid_json where it is none, invalid_request where a part of it is out of bounds."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=without_duplicates,
            parse_constant=_no_constant,
            parse_int=_int,
            parse_float=_float,
        )
    except UnicodeDecodeError:
        _refuse("The body is not UTF-8.")
    except RecursionError:
        _refuse(f"The body is nested deeper than {MAX_LEVELS} levels.")
    except json.JSONDecodeError as error:
        _refuse(f"The body is not JSON: {error.msg} at character {error.pos}.")
    _judge(value, ())
    return value


def _refuse(detail: str) -> NoReturn:
    raise Invalid("invalid_json", detail) from None


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        _refuse(f"The member {json.dumps(twice[:100])} is given twice.")
    return found


def _no_constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON.")


def _int(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS or not -(2**63) <= int(digits) < 2**63:
        _refuse("A whole number does not fit into 64 bits.")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        _refuse("A number is too large.")
    return value


def _judge(value: Any, steps: tuple[str, ...]) -> None:
    """No NUL and no lone surrogate in any string, no more levels than we take."""
    if isinstance(value, str):
        _judge_text(value, steps)
    elif isinstance(value, dict | list):
        if len(steps) >= MAX_LEVELS:
            _refuse(f"The body is nested deeper than {MAX_LEVELS} levels.")
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str):
                _judge_text(key, steps)
            _judge(member, (*steps, str(key)))


def _judge_text(text: str, steps: tuple[str, ...]) -> None:
    if "\0" in text or SURROGATE.search(text):
        pointer = "".join(f"/{escape(step)}" for step in steps).encode(errors="replace").decode().replace("\0", "?")
        detail = "must not contain a NUL or a lone surrogate"
        raise Invalid("invalid_request", f"Text {detail}.", errors=(FieldError(detail, pointer=pointer),))


def escape(name: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
