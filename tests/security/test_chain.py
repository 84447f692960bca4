"""A verdict is the first code, in the one order, that is true of a key and of all that is above it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import product
from typing import Any

import psycopg
import pytest

from identity.apps import NewApp
from identity.branches import NewBranch
from identity.verify import LIVE, Verification, Verifier
from tests.conftest import Api, Organisation
from tests.security.chain import Case, make_cases
from tests.server import Database

ORDER = (
    *("malformed", "not_found", "revoked", "disabled", "expired"),
    *("tenant_deleted", "tenant_suspended", "app_deleted", "app_disabled", "branch_deleted", "branch_disabled"),
    *("user_deleted", "user_suspended", "user_locked", "access_revoked"),
    *("wrong_environment", "wrong_app", "wrong_branch", "insufficient_scope", "valid"),
)

WRONG = {
    "environment": ("wrong_environment", "test"),
    "app_id": ("wrong_app", "elsewhere"),
    "branch_id": ("wrong_branch", "elsewhere"),
    "scopes": ("insufficient_scope", ["orders:read", "refunds:read"]),
}
ASKED = [dict(zip(WRONG, how, strict=True)) for how in product(("left out", "right", "wrong"), repeat=len(WRONG))]


def first(faults: Iterable[str]) -> str:
    return min({*faults, "valid"}, key=ORDER.index)


@pytest.fixture(scope="module")
def cases(database: Database) -> list[Case]:
    return make_cases(database.admin_url)


def asking(case: Case, how: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The body of a verification, and the code that it must get. A key bound to no branch is good for each."""
    right = {
        "environment": "live",
        "app_id": case.app_id,
        "branch_id": case.branch_id or "any",
        "scopes": ["orders:read"],
    }
    asked = {
        name: right[name] if each == "right" else WRONG[name][1] for name, each in how.items() if each != "left out"
    }
    faults = {WRONG[name][0] for name, each in how.items() if each == "wrong"}
    if case.branch_id is None:
        faults.discard("wrong_branch")
    return {"key": case.text, **asked}, first(case.faults | faults)


def sample(cases: list[Case], size: int) -> list[tuple[dict[str, Any], str, Case]]:
    """As many with a good chain as with a broken one, since most combinations are broken."""
    drawn = random.Random(size)
    good = [case for case in cases if not case.faults]
    some = [drawn.choice(good) if n % 2 else drawn.choice(cases) for n in range(size)]
    return [(*asking(case, drawn.choice(ASKED)), case) for case in some]


def told(verdict: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in verdict.items() if value is not None}


def test_of_every_combination_the_first_link_that_fails_is_told(database: Database, cases: list[Case]) -> None:
    with psycopg.connect(database.service_url, options="-c role=identity_verifier") as connection:
        cursor = psycopg.RawCursor(connection, row_factory=psycopg.rows.dict_row)
        rows = cursor.execute(LIVE, [[case.key_id for case in cases]]).fetchall()
    codes = {row["key_id"]: row["code"] for row in rows}
    assert len(cases) > 10_000
    assert len(rows) == len(codes), "a key has one verdict"
    assert {case for case in cases if codes.get(case.key_id, "not_found") != first(case.faults)} == set()


async def test_what_is_asked_of_a_good_key_is_judged_in_order(verifier: Verifier, cases: list[Case]) -> None:
    for case, how in product([case for case in cases if not case.faults], ASKED):
        asked, code = asking(case, how)
        verdict = await verifier.verify(Verification.model_validate(asked))
        assert (verdict.code, verdict.valid) == (code, code == "valid"), asked


async def test_what_is_asked_of_a_broken_chain_is_judged_after_it(verifier: Verifier, cases: list[Case]) -> None:
    for asked, code, _ in sample(cases, 1000):
        assert (await verifier.verify(Verification.model_validate(asked))).code == code, asked


async def test_the_service_answers_200_with_the_code_and_whose_key_it_is(platform: Api, cases: list[Case]) -> None:
    for asked, code, case in sample(cases, 300):
        answer = await platform.post("/v1/keys/verify", asked)
        verdict = told(answer.json())
        assert (answer.status_code, verdict.pop("valid"), verdict.pop("code")) == (200, code == "valid", code)
        if code == "not_found":
            assert verdict == {}
        else:
            assert (verdict["tenant_id"], verdict["app_id"]) == (case.tenant_id, case.app_id)
            assert (verdict.get("branch_id"), verdict.get("user_id")) == (case.branch_id, case.user_id)


async def test_in_one_batch_with_hundreds_of_others_each_gets_its_own(platform: Api, cases: list[Case]) -> None:
    """The whole product twice: looked up, and where the chain is good proved."""
    drawn = random.Random(7)
    for _ in range(2):
        drawn.shuffle(cases)
        for start in range(0, len(cases), 1000):
            some = cases[start : start + 1000]
            answer = await platform.post("/v1/keys/verify-batch", {"keys": [{"key": case.text} for case in some]})
            assert answer.status_code == 200, answer.text
            for case, verdict in zip(some, answer.json()["items"], strict=True):
                assert verdict["code"] == first(case.faults)
                assert verdict["key_id"] == (None if "not_found" in case.faults else case.key_id)


async def test_of_another_tenants_key_nothing_is_told_in_whatever_state_it_is(
    org: Organisation, cases: list[Case]
) -> None:
    for asked, _, _ in sample(cases, 60):
        answer = await org.admin.post("/v1/keys/verify", asked)
        assert told(answer.json()) == {"valid": False, "code": "not_found"}


async def test_what_has_the_same_name_in_another_app_or_tenant_changes_nothing(
    org: Organisation, other_org: Organisation, verifier: Verifier
) -> None:
    stores = org.stores
    await stores.apps.create(org.id, NewApp(id="other", name="Other", type="web"))
    await stores.branches.create(org.id, "other", NewBranch(id="mad", code="MAD", name="Madrid", type="store"))
    await stores.branches.disable(org.id, "other", "mad")
    await stores.user_apps.grant(org.id, "other", "ana")
    await stores.user_apps.revoke(org.id, "other", "ana")
    await stores.users.suspend(other_org.id, "ana")
    await stores.apps.disable(other_org.id, "shop")
    assert (await verifier.look_up(org.key.key)).code == "valid"
    await stores.user_apps.grant(org.id, "other", "ana")
    await stores.user_apps.revoke(org.id, "shop", "ana")
    assert (await verifier.look_up(org.key.key)).code == "access_revoked"
