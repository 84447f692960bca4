"""What is not the copy that was written is refused, by its line, and nothing of it stays."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.copies import Import
from identity.copies.lines import Lines, Tallies, as_json, close, key_of, open_line
from identity.errors import Conflict, NotFound, StartError
from identity.migrate import ids
from identity.tenants import PLATFORM, NewTenant, TenantChanges
from tests.conftest import Organisation, password_hash, unique
from tests.copies.conftest import PASSPHRASE, Full, Installation

Change = Callable[[list[bytes]], list[bytes]]


@pytest.fixture(scope="session")
async def copy(full: Full, here: Installation) -> bytes:
    return await here.copy(full.org.id)


@pytest.fixture(scope="session")
def key(copy: bytes) -> bytes:
    return key_of(PASSPHRASE, _salt(copy))


async def refused(there: Installation, copy: bytes, id: str, passphrase: str = PASSPHRASE) -> str:
    with pytest.raises(StartError) as error:
        await there.take(copy, passphrase=passphrase)
    assert there.holds(id) == {}
    return str(error.value)


def sealed(line: bytes, seal: bytes) -> bytes:
    return line.rpartition(b'"sealed":"')[0] + b'"sealed":"' + seal + b'"}\n'


CHANGES: dict[str, tuple[Change, str]] = {
    "without its first line": (lambda lines: lines[1:], "no copy of a tenant"),
    "a line changed": (lambda lines: [*lines[:3], lines[3].replace(b"web", b"api"), *lines[4:]], "Line 4 "),
    "without a seal": (lambda lines: [*lines[:3], sealed(lines[3], b""), *lines[4:]], "Line 4 "),
    "with half a seal": (lambda lines: [*lines[:3], sealed(lines[3], b"AAAAAAAAAAAAAAAAAAAA"), *lines[4:]], "Line 4 "),
    "a line left out": (lambda lines: [*lines[:3], *lines[4:]], "Line 4 "),
    "a line twice": (lambda lines: [*lines[:4], lines[3], *lines[4:]], "Line 5 "),
    "two lines changed round": (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], "Line 6 "),
    "an empty line": (lambda lines: [*lines[:3], b"\n", *lines[3:]], "Line 4 "),
    "without its last line": (lambda lines: lines[:-1], "cut off after line"),
    "cut off within a line": (lambda lines: [*lines[:6], lines[6][:40]], "Line 7 "),
    "cut off after its first line": (lambda lines: lines[:1], "cut off after line 1"),
    "another line after the end": (lambda lines: [*lines, lines[-1]], "comes after the end"),
    "with other line ends": (lambda lines: [line[:-1] + b"\r\n" for line in lines], "no copy of a tenant"),
    "nothing": (lambda lines: [], "no copy of a tenant"),
    "a table of users": (lambda lines: [b"id,username\n", b"ana,ana\n"], "no copy of a tenant"),
    "without a salt": (lambda lines: [lines[0].replace(b'"salt"', b'"salz"'), *lines[1:]], "no copy of a tenant"),
    "with a short salt": (lambda lines: [lines[0].replace(b'"salt":"', b'"salt":"","s":"'), *lines[1:]], "no copy"),
    "for another tenant": (lambda lines: [lines[0].replace(b'"org-', b'"orb-'), *lines[1:]], "first line was changed"),
    "of a later format": (lambda lines: [lines[0].replace(b'_copy":1', b'_copy":2'), *lines[1:]], "newer version"),
    "deep": (lambda lines: [b"[" * 100_000 + b',"sealed":""}\n'], "no copy of a tenant"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_copy_that_was_changed_is_refused_by_its_line(
    change: str, copy: bytes, full: Full, there: Installation
) -> None:
    make, says = CHANGES[change]
    assert says in await refused(there, b"".join(make(copy.splitlines(keepends=True))), full.org.id)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_bit_of_it_can_be_another(place: float, bit: int, copy: bytes, key: bytes) -> None:
    at = int(place * len(copy))
    with pytest.raises(StartError):
        read_all(copy[:at] + bytes([copy[at] ^ 1 << bit]) + copy[at + 1 :], key, copy.count(b"\n"))


@pytest.mark.parametrize("place", [0.3, 0.6, 0.99])
async def test_of_a_copy_with_another_bit_nothing_stays(
    place: float, copy: bytes, full: Full, there: Installation
) -> None:
    at = int(place * len(copy))
    await refused(there, copy[:at] + bytes([copy[at] ^ 1]) + copy[at + 1 :], full.org.id)


def read_all(copy: bytes, key: bytes, count: int) -> None:
    lines = Lines(io.BytesIO(copy))
    lines.key = key
    for _ in range(count):
        lines.next()
    lines.must_end()


def test_a_whole_copy_is_read_to_its_end(copy: bytes, key: bytes) -> None:
    read_all(copy, key, copy.count(b"\n"))


def test_no_seal_is_written_in_two_ways(copy: bytes, key: bytes) -> None:
    """Of base64's last character some bits may stand for nothing."""
    line = next(line for line in reversed(copy.splitlines(keepends=True)) if line.endswith(b'="}\n'))
    number = copy.splitlines(keepends=True).index(line) + 1
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    last = len(line[: -len(b'"}\n')].rstrip(b"=")) - 1
    good = [each for each in alphabet if open_line(key, number, line[:last] + bytes([each]) + line[last + 1 :])]
    assert good == [line[last]]


async def test_a_wrong_passphrase_is_told_before_anything_is_written(
    copy: bytes, full: Full, there: Installation
) -> None:
    said = await refused(there, copy, full.org.id, "another passphrase")
    assert said == "The passphrase is not that of this copy, or its first line was changed."


async def test_what_is_no_copy_is_told_before_a_passphrase_is_asked_for() -> None:
    def ask() -> str:
        raise AssertionError("asked")

    with pytest.raises(StartError, match="no copy of a tenant"):
        Import(io.BytesIO(b"{}\n"), ask, (b"",))


def _salt(copy: bytes) -> bytes:
    return base64.b64decode(json.loads(copy.splitlines()[0])["salt"])


def rewritten(
    copy: bytes,
    change: Callable[[dict[str, Any], Tallies], None],
    passphrase: str = PASSPHRASE,
    hide: Callable[[str | None, bytes], bytes] = lambda table, secrets: secrets,
) -> bytes:
    """As somebody with the passphrase could write it: each line changed, and sealed anew."""
    key, lines, tallies = key_of(passphrase, _salt(copy)), [], Tallies()
    for number, line in enumerate(copy.splitlines(keepends=True), 1):
        opened = open_line(key, number, line)
        assert opened is not None
        shown = json.loads(opened[0] + b"}")
        change(shown, tallies)
        secrets = hide(shown.get("table"), opened[1])
        lines.append(close(key, number, as_json(shown)[:-1], secrets))
        tallies.add(lines[-1], shown.get("table"))
    return b"".join(lines)


async def test_a_copy_by_a_newer_version_is_refused(copy: bytes, full: Full, there: Installation) -> None:
    def newer(line: dict[str, Any], _: Tallies) -> None:
        if "schema" in line:
            line["schema"] = "9999_later"

    assert f"(9999_later; this one is at {ids()[-1]})" in await refused(there, rewritten(copy, newer), full.org.id)


async def test_a_column_that_nobody_knows_is_refused(copy: bytes, full: Full, there: Installation) -> None:
    def wider(line: dict[str, Any], _: Tallies) -> None:
        if "schema" in line:
            line["tables"] = {"users": ["id", "shoe_size"]}

    assert "newer version" in await refused(there, rewritten(copy, wider), full.org.id)


async def test_what_does_not_add_up_is_refused(copy: bytes, full: Full, there: Installation) -> None:
    def other(line: dict[str, Any], _: Tallies) -> None:
        if "end" in line:
            line["end"] = {}

    assert "does not agree with those before it" in await refused(there, rewritten(copy, other), full.org.id)


HASH = "$argon2id$v=19$m=19456,t=2,p=1$canary"
HASHES = {
    "of no form that is known": (as_json({"hash": HASH}), "must be a password's hash as one of these writes it"),
    "too dear": (as_json({"hash": password_hash().replace("t=2", "t=999")}), "must keep to what is taken"),
    "no text": (b'{"hash":7}', "must be a password's hash as one of these writes it"),
    "none": (b"{}", "is missing"),
}


@pytest.mark.parametrize("what", HASHES)
async def test_a_password_hash_that_would_not_be_taken_is_refused_by_its_line(
    what: str, copy: bytes, full: Full, there: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hash, says = HASHES[what]

    def total(line: dict[str, Any], tallies: Tallies) -> None:
        if "end" in line:
            line["end"] = tallies.as_json()

    other = rewritten(copy, total, hide=lambda table, secrets: hash if table == "passwords" else secrets)
    number = next(n for n, line in enumerate(copy.splitlines(), 1) if b'"table":"passwords"' in line)
    said = await refused(there, other, full.org.id)
    assert said.startswith(f"Line {number} of the copy: the hash of a password {says}")
    assert "$" not in said + caplog.text


async def test_a_copy_by_an_older_version_gets_the_defaults_of_what_it_has_not(
    copy: bytes, full: Full, there: Installation
) -> None:
    done = await there.take(rewritten(copy, older))
    found = there.holds(full.org.id)
    assert (done.tallies.rows["users"], {row["email_verified_at"] for row in found["users"]}) == (4, {None})
    assert [row["scopes"] for row in found["user_apps"]] == [[]] * 3
    there.purge(full.org.id)


def older(line: dict[str, Any], tallies: Tallies) -> None:
    """Before users had email_verified_at, and access scopes."""
    fewer = {"users": "email_verified_at", "user_apps": "scopes"}
    if "schema" in line:
        line["schema"] = "0019_signing_keys"
        for table, column in fewer.items():
            line["tables"][table].remove(column)
    elif "end" in line:
        line["end"] = tallies.as_json()
    else:
        line["row"].pop(fewer.get(line["table"]), None)


async def test_it_must_not_be_there_already(org: Organisation, here: Installation, there: Installation) -> None:
    copy = await here.copy(org.id)
    await there.take(copy)
    before = there.holds(org.id)
    with pytest.raises(Conflict, match="Tenant taken"):
        await there.take(copy)
    assert there.holds(org.id) == before
    await there.stores.tenants.delete(org.id)
    with pytest.raises(Conflict, match="Tenant taken"):
        await there.take(copy)
    there.purge(org.id)


async def test_its_domain_must_be_free(org: Organisation, here: Installation, there: Installation) -> None:
    domain = f"{unique()}.example.com"
    await here.stores.tenants.update(org.id, TenantChanges(domain=domain))
    holder = await there.stores.tenants.create(NewTenant(id=unique(), name="Holder", domain=domain))
    with pytest.raises(Conflict, match="Domain taken"):
        await there.take(await here.copy(org.id))
    assert there.holds(org.id) == {}
    there.purge(holder.id)


async def test_what_there_is_not_and_what_is_not_a_tenant_of_anybody_are_not_copied(
    org: Organisation, here: Installation
) -> None:
    await here.stores.tenants.delete(org.id)
    for id in (org.id, unique()):
        with pytest.raises(NotFound):
            await here.copy(id)
    with pytest.raises(Conflict, match="its own tenant platform"):
        await here.copy(PLATFORM)


async def test_a_dry_run_judges_and_leaves_nothing(copy: bytes, full: Full, there: Installation) -> None:
    done = await there.take(copy, dry_run=True)
    assert done.tallies.rows["users"] == 4
    assert there.holds(full.org.id) == {}
    with pytest.raises(StartError, match="cut off"):
        await there.take(copy[:-1].rpartition(b"\n")[0] + b"\n", dry_run=True)
