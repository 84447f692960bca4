"""What is looked up of a text that is none of ours, and that what is remembered of it is its tenant's alone."""

from __future__ import annotations

import hashlib
from hashlib import sha256, sha512
from secrets import token_hex
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from identity.key_imports import NewImportedKey
from identity.verify import MALFORMED, Verifier
from identity.verify.imported import MAX_BYTES, by_name, name, params, remembered_as
from tests.conftest import Organisation

TEXTS = st.text(st.characters(), max_size=40)
TENANTS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)


@given(TENANTS, TEXTS.filter(bool))
def test_a_text_is_asked_for_by_its_hashes_and_nothing_needs_escaping(tenant_id: str, text: str) -> None:
    raw = text.encode(errors="surrogatepass")
    named = name(tenant_id, text)
    assert named == f"{tenant_id} {sha256(raw).hexdigest()} {sha512(raw).hexdigest()}"
    tenants, algorithms, hashes = params([named])
    assert tenants == f'{{"{tenant_id}","{tenant_id}"}}'.encode()
    assert algorithms == b'{"sha256","sha512"}'
    assert hashes == f'{{"{sha256(raw).hexdigest()}","{sha512(raw).hexdigest()}"}}'.encode()


@given(TEXTS, TEXTS)
def test_no_tenant_that_could_not_be_one_reaches_the_database(tenant_id: str, text: str) -> None:
    named = name(tenant_id, text)
    assert named is None or (tenant_id.isascii() and not {*tenant_id} & set('"{}, \\\n'))


def test_a_text_has_its_bounds() -> None:
    assert name("acme", "") is None
    assert name("acme", "x" * MAX_BYTES) is not None
    assert name("acme", "x" * (MAX_BYTES + 1)) is None
    assert name("acme", "é" * (MAX_BYTES // 2 + 1)) is None


@given(st.lists(st.tuples(TEXTS, TEXTS), unique=True, max_size=20))
def test_what_is_remembered_of_one_tenant_is_nobody_elses_and_no_credential(asked: list[tuple[str, str]]) -> None:
    remembered = {remembered_as(*each) for each in asked}
    assert len(remembered) == len(asked)
    assert all(len(each) > len(sha256().digest()) for each in remembered)


@given(st.lists(st.tuples(TENANTS, TEXTS.filter(bool), st.sampled_from(["", "sha256", "sha512", "both"])), max_size=20))
def test_answers_are_never_swapped(asked: list[tuple[str, str, str]]) -> None:
    names, rows = [], dict[tuple[str, str], Any]()
    kinds = {(tenant_id, text): kind for tenant_id, text, kind in asked}
    for (tenant_id, text), kind in kinds.items():
        named = name(tenant_id, text)
        assert named is not None
        names.append(named)
        for hash, algorithm in zip(named.split()[1:], ("sha256", "sha512"), strict=True):
            if kind in (algorithm, "both"):
                rows[tenant_id, hash] = (tenant_id.encode(), *[None] * 11, hash.encode(), text, algorithm)
    found = by_name(names, rows.values())
    for named, ((tenant_id, text), kind) in zip(names, kinds.items(), strict=True):
        row = found.get(named)
        assert (row is None) == (not kind)
        if row is not None:
            assert (row[0].decode(), row[13], row[14]) == (tenant_id, text, "sha256" if kind == "both" else kind)


async def imported_key(org: Organisation, text: str, by: Literal["sha256", "sha512"] = "sha256") -> str:
    hash = hashlib.new(by, text.encode()).hexdigest()
    new = NewImportedKey.model_validate({"name": "till", "hash": hash, "algorithm": f"{by}-hex"})
    [made] = await org.stores.key_imports.create_many(org.id, "shop", [new])
    assert made.key_id is not None
    return made.key_id


async def test_a_verdict_that_is_remembered_is_proved_and_bound_to_its_tenant(
    verifier: Verifier, org: Organisation, other_org: Organisation
) -> None:
    text = token_hex(20)
    id = await imported_key(org, text)
    for _ in ("looked up", "remembered"):
        its, theirs = await verifier.look_up_imported([(org.id, text), (other_org.id, text)])
        assert (its.code, its.key_id, theirs) == ("valid", id, MALFORMED)
        assert await verifier.look_up(text) is MALFORMED
    assert verifier.memory.get(remembered_as(org.id, text)) is its
    assert verifier.memory.get(remembered_as(other_org.id, text)) is None
    assert verifier.memory.get(sha256(text.encode()).digest()) is None
    await org.stores.app_keys.disable(org.id, "shop", id)
    assert [each.code for each in await verifier.look_up_imported([(org.id, text)])] == ["disabled"]
    await org.stores.app_keys.enable(org.id, "shop", id)
    await verifier.look_up_imported([(org.id, text)])
    await org.stores.app_keys.delete(org.id, "shop", id)
    assert await verifier.look_up_imported([(org.id, text)]) == [MALFORMED]


async def test_no_text_is_taken_for_what_another_tenant_remembers(verifier: Verifier, org: Organisation) -> None:
    """Neither one that spells the name under which it is remembered."""
    text = token_hex(20)
    await imported_key(org, text)
    await verifier.look_up_imported([(org.id, text)])
    for forged in (f"{text} {org.id}", f"{org.id} {text}", text + org.id, f"{org.id}\0{text}"):
        assert await verifier.look_up(forged) is MALFORMED
        assert await verifier.look_up_imported([("x", forged)]) == [MALFORMED]


async def test_a_text_that_is_imported_again_by_the_other_hash_is_not_remembered_as_before(
    verifier: Verifier, org: Organisation
) -> None:
    text = token_hex(20)
    before = await imported_key(org, text, "sha512")
    assert [each.key_id for each in await verifier.look_up_imported([(org.id, text)])] == [before]
    await org.stores.app_keys.revoke(org.id, "shop", await imported_key(org, text, "sha256"))
    assert [each.code for each in await verifier.look_up_imported([(org.id, text)])] == ["revoked"]
