"""What schemathesis is told besides the OpenAPI document: how our own formats look, and what it must spare."""

from __future__ import annotations

import json
import os
from typing import Any
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies as st

from identity.key_text import ALPHABET, compose

PRINTABLE = st.text(st.characters().filter(str.isprintable), min_size=1, max_size=40).filter(
    lambda text: text == text.strip()
)
schemathesis.openapi.format("printable", PRINTABLE | st.builds("{}@{}".format, PRINTABLE, PRINTABLE))
schemathesis.openapi.format("timezone", st.sampled_from(sorted(available_timezones())))
schemathesis.openapi.format("network", st.ip_addresses().map(str))
SEGMENT = st.sampled_from(["orders", "7", "Gran Vía", "*"])
schemathesis.openapi.format("path-pattern", st.lists(SEGMENT, max_size=3).map(lambda names: "/" + "/".join(names)))
schemathesis.openapi.format(
    "dsn", st.from_regex(r"host=[a-z]{1,20} dbname=[a-z]{1,20}", fullmatch=True, alphabet=st.characters(codec="ascii"))
)
schemathesis.openapi.format(
    "app-key", st.text(ALPHABET, min_size=22, max_size=22).map(lambda id: compose("isk", "live", id, "0" * 43))
)
schemathesis.openapi.format(
    "password-hash",
    st.builds("pbkdf2_sha256${}${}${}=".format, st.integers(1, 9), st.just("salt"), st.just("0" * 43)),
)

SPARED = json.loads(os.environ["IDENTITY_FUZZ_SPARED"])
"""By parameter, the ids whose loss would end the run with nothing but 401: the caller's own key and tenant."""


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """A write to them goes to one of whom there is none; and what no header can carry is left out."""
    for name in [name for name, value in (case.headers or {}).items() if not _is_latin(value)]:
        del case.headers[name]
    if case.method == "GET":
        return
    path = case.path_parameters
    target = case.operation.path.format_map({name: f"<{name}>" for name in path}).rsplit("<", 1)[-1].partition(">")[0]
    if path.get(target) in SPARED.get(target, ()):
        path[target] = "0" * 22


def _is_latin(value: Any) -> bool:
    return all(ord(character) < 256 for character in str(value))


@schemathesis.check
def valid_data_is_valid(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> bool | None:
    """The schema says all that can be said of a body alone: what is refused still is so for what is in the database; or
    for two instants of a query that do not go together, or a filter's grammar, of which no schema tells."""
    if case.meta is not None and case.meta.generation.mode.is_positive and response.status_code == 400:
        told = response.json()
        errors = told.get("errors", ())
        if any(each["detail"].endswith("before `to`") or each.get("parameter") == "filter" for each in errors):
            return None
        assert told.get("code") not in ("invalid_request", "invalid_json"), f"valid data refused: {response.text}"
    return None
