"""Scopes match exactly, or by a granted `*` or `orders:*`; program and database hold the same rule."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.app_keys import NewAppKey
from identity.verify import Verification, Verifier, covers
from tests.conftest import Organisation
from tests.server import Database

TEXT = st.text(alphabet="ab:*./_-A", max_size=6) | st.text(max_size=6).filter(lambda text: "\0" not in text)
PAIRS = st.lists(
    st.tuples(TEXT, TEXT)
    | TEXT.map(lambda text: (f"{text}:*", f"{text}:a"))
    | TEXT.map(lambda text: (f"{text}:*", text)),
    min_size=20,
    max_size=60,
)

TABLE = [
    ("orders:read", "orders:read", True),
    ("orders:read", "orders:write", False),
    ("orders:read", "orders:read:all", False),
    ("orders:read:all", "orders:read", False),
    ("orders:read", "ORDERS:READ", False),
    ("orders:*", "orders:read", True),
    ("orders:*", "orders:read:all", True),
    ("orders:*", "orders:*", True),
    ("orders:*", "orders", False),
    ("orders:*", "ordersx:read", False),
    ("orders:*", "orders2:*", False),
    ("orders:*", "*", False),
    ("orders:read:*", "orders:read:all", True),
    ("orders:read:*", "orders:*", False),
    ("orders:read", "orders:*", False),
    ("*", "orders:read", True),
    ("*", "orders:*", True),
    ("*", "*", True),
    ("orders*", "orders:read", False),
]


@pytest.mark.parametrize(("granted", "asked", "matches"), TABLE)
def test_a_granted_scope_covers(granted: str, asked: str, matches: bool) -> None:
    assert covers((granted,), asked) is matches
    assert covers(("unrelated", granted), asked) is matches
    assert not covers((), asked)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ((), "valid"),
        (("orders:read",), "valid"),
        (("orders:read", "orders:write"), "valid"),
        (("orders:read", "refunds:read"), "insufficient_scope"),
        (("*",), "insufficient_scope"),
    ],
)
async def test_a_key_needs_all_that_is_asked(
    org: Organisation, verifier: Verifier, asked: tuple[str, ...], code: str
) -> None:
    assert (await verifier.verify(Verification(key=org.key.key, scopes=asked))).code == code


async def test_a_key_without_scopes_passes_only_where_none_is_asked(org: Organisation, verifier: Verifier) -> None:
    bare = (await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="bare"))).key
    assert (await verifier.verify(Verification(key=bare))).code == "valid"
    assert (await verifier.verify(Verification(key=bare, scopes=("orders:read",)))).code == "insufficient_scope"


def test_program_and_database_judge_alike(database: Database) -> None:
    with psycopg.connect(database.service_url, options="-c role=identity_app", autocommit=True) as connection:

        @settings(max_examples=30, deadline=None, database=None)
        @given(PAIRS)
        def judge(pairs: list[tuple[str, str]]) -> None:
            granted, scopes = map(list, zip(*pairs, strict=True))
            found = connection.execute(
                "SELECT identity.covers(granted, scope)"
                " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS pair (granted, scope, n) ORDER BY n",
                [granted, scopes],
            )
            assert [row[0] for row in found] == [covers((one,), other) for one, other in pairs]

        judge()
