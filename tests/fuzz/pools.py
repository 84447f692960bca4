"""What the machine gives: from so little that names clash, tombstones are met and things come back."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.model import FUTURE, PAST, Fields
from tests.fuzz.nouns import APP, BRANCH, TENANT, USER, Condition, Noun

FUTURES: list[str | None] = [None, None, FUTURE, PAST]
SPELLINGS = ["ana", "\uff21NA", "bob", "stra\u00dfe", "STRASSE"]
EMAILS = ["ana@example.com", "Ana@Example.COM", "bob@example.com", None]
APP_IDS = ["shop", "till"]
BRANCH_IDS = ["mad", "bcn"]
USER_IDS = ["ana", "bob", "eve"]
IDS: dict[str, list[str]] = {"tenant": [""], "app": [*APP_IDS, "identity"], "branch": BRANCH_IDS, "user": USER_IDS}


def _some(verbs: list[str]) -> st.SearchStrategy[list[str]]:
    """One after the other: what a move does depends on the one before."""
    return st.lists(st.sampled_from(verbs), min_size=1, max_size=3)


# The second tenant begins with all that it may have.
FIRST_SETTINGS: list[Fields] = [{}, {"max_users": 2, "max_apps": 1}]
FIRST: list[tuple[Noun, Fields]] = [
    (APP, {"name": "Shop", "type": "web", "metadata": {}}),
    (BRANCH, {"code": "MAD", "name": "Madrid", "type": "store", "metadata": {}}),
    (USER, {"username": "stra\u00dfe", "metadata": {}}),
]
FIRST_KEYS: list[Fields] = [
    {"name": "till", "scopes": ["orders:*"], "branch_id": "mad", "user_id": "ana"},
    {"name": "till", "scopes": [], "user_id": "bob", "metadata": {}},
]

tenants = st.sampled_from([0, 0, 0, 1, 1])
callers = st.tuples(st.sampled_from([*["own"] * 6, *["platform"] * 3, "other", "any"]), st.integers(0, 100))
# Tenants seldom: under a tombstone nothing else happens.
nouns = st.sampled_from([APP, APP, APP, BRANCH, BRANCH, BRANCH, USER, USER, USER] * 2 + [TENANT])
apps = st.sampled_from([0, 0, 0, 0, 1, 2])
which = st.sampled_from([0, 0, 0, 1, 1, 2])
shown = st.booleans()
is_over = st.sampled_from([True, True, False])
numbers = st.integers(0, 100)
recent = st.integers(0, 3)
conditions: st.SearchStrategy[Condition] = st.sampled_from(["none", "none", "fresh", "stale", "any"])
put_conditions: st.SearchStrategy[Condition] = st.sampled_from(["none", "none", "fresh", "stale", "any", "absent"])
user_ids = st.sampled_from(USER_IDS)
access_statuses = st.sampled_from(["active", "revoked"])
key_verbs = _some(["disable", "enable", "revoke"])
before_rotation = st.sampled_from([[], [], ["disable"], ["revoke"]])
grace_s = st.sampled_from([0, 0, 3600])

_metadata = st.sampled_from([{}, {"n": 1}, {"deep": {"a": 1}}])
_metadata_patch = st.sampled_from(
    [None, {}, {"n": None}, {"n": {"x": 1, "y": None}}, {"deep": {"a": None, "b": [None]}}, {"of": None}]
)
_limits = st.sampled_from([None, 0, 1, 2])
_allowed: st.SearchStrategy[list[str]] = st.sampled_from([[], [], ["orders:*"], ["orders:read", "stock:*"]])
_scopes = st.sampled_from([[], ["orders:read"], ["orders:*"], ["*"], ["stock:read", "orders:read"]])
_management = st.sampled_from([["keys:verify"], ["keys:verify/shop"], ["users:read"], ["*"], [], ["orders:read"]])

_of_noun: dict[str, tuple[Fields, Fields, Fields]] = {
    "tenant": (
        {"name": st.sampled_from(["Acme", "Umbrella"])},
        {"domain": st.sampled_from(["one", "two", None]), "db_schema": st.sampled_from([None, "acme"])},
        {"max_users": _limits, "max_apps": _limits, "timezone": st.just("Europe/Madrid")},
    ),
    "app": (
        {"name": st.sampled_from(["Shop", "Till", "Identity"]), "type": st.sampled_from(["web", "service"])},
        {},
        {"key_prefix": st.sampled_from([None, "acme"]), "allowed_scopes": _allowed},
    ),
    "branch": (
        {
            "code": st.sampled_from(["MAD", "BCN", "mad"]),
            "name": st.sampled_from(["Madrid", "Barcelona"]),
            "type": st.sampled_from(["store", "office"]),
        },
        {},
        {"currency": st.sampled_from([None, "EUR"])},
    ),
    "user": (
        {"username": st.sampled_from(SPELLINGS)},
        {"email": st.sampled_from(EMAILS), "full_name": st.sampled_from(["Ana Diaz", None])},
        {},
    ),
}


def _settings(noun: Noun) -> Fields:
    settings = _of_noun[noun.name][2]
    return {"settings": st.fixed_dictionaries({}, optional=settings)} if settings else {}


def _new(noun: Noun) -> st.SearchStrategy[Fields]:
    needed, optional, _ = _of_noun[noun.name]
    return st.fixed_dictionaries(needed, optional=optional | _settings(noun) | {"metadata": _metadata})


def _changes(noun: Noun) -> st.SearchStrategy[Fields]:
    needed, optional, settings = _of_noun[noun.name]
    members = {name: st.one_of(st.none(), each) for name, each in settings.items()}
    patch = {"settings": st.one_of(st.none(), st.fixed_dictionaries({}, optional=members))} if settings else {}
    good = st.fixed_dictionaries({}, optional=needed | optional | patch | {"metadata": _metadata_patch})
    return st.one_of(good, good, good, good, st.sampled_from([{"nonsense": 1}, {next(iter(needed)): None}]))


bodies = nouns.flatmap(lambda noun: st.tuples(st.just(noun), _new(noun)))
changes = nouns.flatmap(lambda noun: st.tuples(st.just(noun), _changes(noun)))
moves = nouns.flatmap(lambda noun: st.tuples(st.just(noun), _some([*noun.moves, "restore"])))

filters: dict[str, st.SearchStrategy[Fields]] = {
    noun.name: st.fixed_dictionaries({}, optional={name: each for name, each in fields.items() if each is not None})
    for noun, fields in {
        TENANT: {"deleted": st.just("true")},
        APP: {
            "name": st.sampled_from(["Shop", "shop"]),
            "type": st.just("web"),
            "status": st.sampled_from(["active", "disabled"]),
            "deleted": st.just("true"),
        },
        BRANCH: {
            "code": st.sampled_from(["MAD", "mad"]),
            "name": st.just("Madrid"),
            "type": st.just("store"),
            "status": st.sampled_from(["active", "disabled"]),
            "deleted": st.just("true"),
        },
        USER: {
            "username": st.sampled_from(SPELLINGS),
            "email": st.sampled_from([each for each in EMAILS if each]),
            "status": st.sampled_from(["active", "suspended", "locked"]),
            "deleted": st.just("true"),
        },
    }.items()
}
lists = nouns.flatmap(lambda noun: st.tuples(st.just(noun), filters[noun.name]))
key_filters = st.fixed_dictionaries(
    {},
    optional={
        "app_id": st.sampled_from([*APP_IDS, "identity"]),
        "branch_id": st.sampled_from(BRANCH_IDS),
        "user_id": st.sampled_from(USER_IDS),
        "type": st.sampled_from(["secret", "public"]),
        "environment": st.sampled_from(["live", "test"]),
        "name": st.sampled_from(["till", "admin"]),
    },
)

_key = {
    "type": st.sampled_from(["secret", "secret", "secret", "public", "restricted", "service"]),
    "environment": st.sampled_from(["live", "test"]),
    "branch_id": st.sampled_from(["mad", "mad", "bcn"]),
    "user_id": st.sampled_from(["ana", "bob", "bob", "eve"]),
    "expires_at": st.sampled_from(FUTURES),
    "metadata": _metadata,
}
new_keys = st.fixed_dictionaries({"name": st.just("till"), "scopes": _scopes}, optional=_key)
new_management_keys = st.fixed_dictionaries({"name": st.just("tool"), "scopes": _management})
key_changes = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["till", "desk"]),
        "scopes": _scopes,
        "metadata": _metadata_patch,
        "expires_at": st.sampled_from(FUTURES),
    },
)
any_key_changes = st.one_of(key_changes, key_changes, key_changes, st.sampled_from([{"nonsense": 1}, {"scopes": None}]))
asked = st.fixed_dictionaries(
    {},
    optional={
        "scopes": st.sampled_from([[], ["orders:read"], ["orders:read", "stock:read"], ["orders:*"]]),
        "app_id": st.sampled_from(APP_IDS),
        "branch_id": st.sampled_from(BRANCH_IDS),
        "environment": st.sampled_from(["live", "test"]),
    },
)

PASSWORDS = ["correct horse battery staple", "seven green bottles sing"]
LOCKOUTS: list[Fields] = [{"failures": n, "window_s": 900, "pause_s": 60} for n in (2, 3)]
logins = st.sampled_from(["username", "USERNAME", "email", "EMAIL"])
passwords = st.sampled_from(PASSWORDS)
which_password = st.sampled_from(["right", "right", "right", "wrong"])
tokens = st.sampled_from([1, 1, 1, 1, 2, 2, 3, 5])
"""Counted from the last."""
times = st.sampled_from([1, 2])
is_its = st.sampled_from([True, True, True, True, True, False])
people = st.sampled_from(["ana", "ana", "ana", "bob", "bob", "eve"])
peoples_apps = st.sampled_from([0, 0, 0, 2, 2, 1])
admins = st.sampled_from([*[("own", 0)] * 5, ("platform", 0), ("other", 0)])
LONGER_THAN_A_PAUSE_S = 1300
WITH_CREDENTIAL = "by whoever has a credential"
guesses_by = st.one_of(logins, st.just(WITH_CREDENTIAL))
guesses = st.lists(st.tuples(guesses_by, st.sampled_from([0, 0, 0, 70, 130, 1300])), min_size=1, max_size=5)
"""And how long after each: for longer than the shortest pause, and than the window."""
uses = st.lists(st.tuples(tokens, times, is_its, st.sampled_from([0, 0, 0, 12])), min_size=1, max_size=5)
"""And how long after each: for longer than a lost answer is told again."""
ranks = st.lists(
    st.sampled_from([None, [], ["users:read"], ["users:write"], ["audit:read", "users:read"]]), min_size=1, max_size=3
)
"""One after the other; None says nothing about them."""
PAUSES = ["suspend tenant", "disable app"]
ways_out = _some(["suspend", "delete", "revoke", "revoke", "lock", *PAUSES])
who_leaves = st.sampled_from([0, 0, 1])
