"""Passwords that another system hashed: taken as they are, judged first, and made anew at the first sign-in."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import scrypt
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from identity.apps import IDENTITY
from identity.cli.tables.nouns import Users
from identity.password_hashes import judge, matches
from identity.password_hashes.checks import _one_at_a_time
from identity.settings import Settings
from identity.user_apps import Grant
from tests.api.problems import places, problem, told
from tests.cli.files import SKIP, exported, imported, of_users, user
from tests.cli.shell import shell_for
from tests.conftest import Organisation, password_hash
from tests.edge.canaries import found_in
from tests.people.conftest import People
from tests.people.foreign import FOREIGN, LONG, PASSWORD, PHPASS
from tests.server import Database, execute

OURS = "$argon2id$v=19$m=19456,t=2,p=1$"
OTHER = "seven blue kites over Ghent"
BCRYPT, DJANGO = FOREIGN["bcrypt"], FOREIGN["Django, pbkdf2_sha256"]


async def put(people: People, hash: Any, **more: Any) -> Any:
    return await people.org.admin.put(f"{people.ana}/password", {"hash": hash, **more})


async def hash_of(org: Organisation, user_id: str = "ana") -> str | None:
    holder = await org.stores.passwords.find(org.id, user_id=user_id)
    assert holder is not None
    return holder.hash


@pytest.mark.parametrize("maker", FOREIGN)
async def test_each_opens_once_as_it_is_and_is_then_one_of_ours(people: People, maker: str) -> None:
    answer = await put(people, FOREIGN[maker])
    assert (answer.status_code, answer.json()["sessions_ended"]) == (200, 1)
    assert told(await people.sign_in(PASSWORD + "x")) == (401, "sign_in_failed")
    assert await hash_of(people.org) == FOREIGN[maker]
    began = (await people.signed_in(password=PASSWORD))["session_id"]
    assert (await hash_of(people.org) or "").startswith(OURS)
    await people.signed_in(password=PASSWORD)
    assert began in await people.session_ids()


def test_phpass_knows_its_own() -> None:
    password, hash = PHPASS
    judge(hash)
    assert (matches(hash, password), matches(hash, password + " ")) == (True, False)


def test_libpass_checks_one_at_a_time() -> None:
    """Two threads that use it for the first time at once fail."""
    password, hash = PHPASS
    with ThreadPoolExecutor(1) as threads:
        with _one_at_a_time:
            asked = threads.submit(matches, hash, password)
            with pytest.raises(TimeoutError):
                asked.result(0.1)
        assert asked.result(10)


def test_of_a_long_password_bcrypt_took_the_first_72_bytes() -> None:
    hash = bcrypt.hashpw(LONG.encode()[:72], bcrypt.gensalt(4)).decode()
    assert len(LONG.encode()) > 72
    assert (matches(hash, LONG), matches(hash, "x" + LONG)) == (True, False)


async def test_the_old_password_is_known_by_it_too(people: People) -> None:
    await put(people, BCRYPT)
    for old, status in ((OTHER, 403), (PASSWORD, 200)):
        change = {"old_password": old, "password": OTHER}
        assert (await people.org.admin.post(f"{people.ana}/password", change)).status_code == status
    assert (await people.sign_in(OTHER)).status_code == 201


async def test_a_wrong_password_is_told_as_nobodys_is(people: People) -> None:
    await put(people, DJANGO)
    answers = [await people.sign_in("wrong"), await people.sign_in("wrong", login="nobody")]
    assert len({(answer.status_code, answer.content, str(answer.headers)) for answer in answers}) == 1


@pytest.mark.parametrize(("body", "place"), [({}, "/password"), ({"hash": DJANGO, "password": OTHER}, "/hash")])
async def test_a_password_or_its_hash_is_given_and_never_both(people: People, body: Any, place: str) -> None:
    answer = await people.org.admin.put(f"{people.ana}/password", body)
    assert (told(answer), places(answer)) == ((400, "invalid_request"), [place])
    assert await hash_of(people.org) == password_hash()


UNKNOWN = {
    "text": "correct horse battery staple",
    "md5": "5f4dcc3b5aa765d61d8327deb882cf99",
    "md5-crypt": "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
    "2x": BCRYPT.replace("$2b", "$2x"),
    "padding": BCRYPT[:-1] + "T",
    "cut": BCRYPT[:-1],
    "two lines": BCRYPT + "\n",
    "other digits": DJANGO.replace("1000", "1\u0660\u0660\u0660"),
    "endless": DJANGO.replace("1000", "9" * 400),
}


@pytest.mark.parametrize("what", UNKNOWN)
async def test_what_is_no_hash_that_is_known_is_refused_with_a_list_of_those_that_are(
    people: People, what: str
) -> None:
    answer = await put(people, UNKNOWN[what])
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/hash"])
    [error] = problem(answer)["errors"]
    assert "bcrypt" in error["detail"]
    assert "Django's PBKDF2" in error["detail"]
    assert not matches(UNKNOWN[what], PASSWORD)


WERKZEUG, SCRYPT = FOREIGN["Werkzeug, scrypt"].partition("$")[2], "scrypt:{}:{}:{}$"
ARGON2 = "$argon2id$v=19$m={},t={},p={}$" + "A" * 22 + "$" + "A" * 43
TAKEN = {
    ARGON2.format(131_072, 8, 16),
    BCRYPT.replace("$04$", "$14$"),
    DJANGO.replace("1000", "2000000"),
    SCRYPT.format(131_072, 8, 2) + WERKZEUG,
    FOREIGN["libpass, scrypt"].replace("ln=4", "ln=17"),
    FOREIGN["libxcrypt, with rounds"].replace("1000", "100000"),
    FOREIGN["phpBB"].replace("$5", "$E"),
}
TOO_DEAR = {
    *(ARGON2.format(*costs) for costs in [(131_073, 1, 1), (64, 9, 1), (1_024, 1, 17), (8, 1, 2)]),
    BCRYPT.replace("$04$", "$15$"),
    FOREIGN["Django, bcrypt_sha256"].replace("$04$", "$15$"),
    *(FOREIGN[name].replace("1000", "2000001") for name in FOREIGN if "pbkdf2" in name),
    *(SCRYPT.format(*costs) + WERKZEUG for costs in [(262_144, 8, 1), (131_072, 8, 3), (1_000, 8, 1), (2, 1, 17)]),
    FOREIGN["Django, scrypt"].replace("1024", "262144"),
    FOREIGN["libpass, scrypt"].replace("ln=4", "ln=18"),
    FOREIGN["libxcrypt, with rounds"].replace("1000", "100001"),
    FOREIGN["phpBB"].replace("$5", "$F"),
    FOREIGN["libpass, scrypt"][:-20],
    FOREIGN["Django, pbkdf2_sha1"].replace("sha1", "sha256"),
    FOREIGN["SSHA256"].replace("256", "512"),
}
"""Or of which a part is too long or too short: of a sum of few bytes any password may be the one."""


async def test_what_may_cost_too_much_is_refused_and_what_is_just_bearable_is_not(people: People) -> None:
    for hash in TAKEN:
        judge(hash)
    for hash in TOO_DEAR:
        with pytest.raises(ValueError, match=r"must keep to what is taken: .+ with "):
            judge(hash)
    answer = await put(people, BCRYPT.replace("$04$", "$31$"))
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/hash"])
    assert "at most 14" in answer.text


def test_what_is_longer_than_is_kept_is_none() -> None:
    with pytest.raises(ValueError, match="must be a password's hash"):
        judge(FOREIGN["libpass, pbkdf2"].replace("xtj7", "xtj7" * 120))


def test_what_was_never_to_be_kept_is_not_checked_either() -> None:
    """However it came there."""
    for p, is_right in ((16, True), (17, False)):
        made = scrypt(PASSWORD.encode(), salt=b"salt", n=2, r=1, p=p, dklen=64).hex()
        assert matches(f"scrypt:2:1:{p}$salt${made}", PASSWORD) is is_right


async def test_without_the_extra_it_says_what_to_install(
    people: People, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And who has such a hash already does not get in, which the log says."""
    await put(people, BCRYPT)
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    answer = await put(people, BCRYPT)
    assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/hash"])
    assert "pip install 'identity[hashes]'" in answer.text
    assert (await put(people, DJANGO)).status_code == 200
    await people.org.stores.passwords.set(people.org.id, "ana", BCRYPT)
    assert told(await people.sign_in(PASSWORD)) == (401, "sign_in_failed")
    assert "identity[hashes]" in caplog.text


async def test_nobody_sets_the_hash_of_who_may_do_more(people: People) -> None:
    limited = await people.org.holding("users:write", "apps:read")
    await people.org.stores.user_apps.grant(people.org.id, IDENTITY, "ana", Grant(scopes=("apps:write",)))
    answer = await limited.put(f"{people.ana}/password", {"hash": DJANGO})
    assert told(answer) == (403, "insufficient_rank")
    assert await hash_of(people.org) == password_hash()


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """Cheap ones: the digits that a mutation may make of a cost would take a second, and find nothing."""
    hash = draw(st.sampled_from([each for name, each in FOREIGN.items() if "bcrypt" not in name]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(hash) - 1))
        text = draw(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("$=,:{}0+/."))
        hash = hash[:at] + draw(st.sampled_from(["", text, hash[at] + text])) + hash[at + 1 :]
    return hash


@examples(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(hash=mutants())
async def test_whatever_comes_is_refused_or_checked(people: People, hash: str) -> None:
    answer = await put(people, hash)
    if answer.status_code != 200:
        assert (told(answer), places(answer)) == ((400, "invalid_request"), ["/hash"])
        assert hash not in answer.text
    assert matches(hash, PASSWORD) in (True, False)


async def test_it_is_in_no_log_no_problem_and_no_copy(
    people: People, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    problems = [
        await put(people, FOREIGN["Django, scrypt"], password=OTHER),
        await put(people, FOREIGN["Django, scrypt"][:-1]),
        await put(people, FOREIGN["Django, scrypt"].replace("1024", "262144")),
        await put(people, [FOREIGN["Django, scrypt"]]),
    ]
    done = await put(people, FOREIGN["Django, scrypt"])
    copies = [done, await people.org.admin.get(people.ana), await people.org.admin.get(f"{people.ana}/export")]
    assert [answer.status_code for answer in problems + copies] == [400] * 4 + [200] * 3
    said = "".join(answer.text + str(answer.headers) for answer in problems + copies) + caplog.text
    assert found_in(said, [FOREIGN["Django, scrypt"]]) == []
    tables = execute(
        database.admin_url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'identity'::regnamespace AND relkind = 'r'"
        " AND relname !~ 'yoyo|migr' AND relname <> 'passwords'",
    )
    dump = [
        str(execute(database.admin_url, f"SELECT to_jsonb(t)::text FROM identity.{name} AS t")) for (name,) in tables
    ]
    assert found_in("".join(dump), [FOREIGN["Django, scrypt"]]) == []


async def test_a_table_brings_hashes_which_open_once(people: People, tmp_path: Path) -> None:
    org, file = people.org, tmp_path / "people.csv"
    text = f"username,Password Hash,status\nana,{BCRYPT},\nben,{DJANGO},suspended\nzoe,,\n"
    assert await of_users(org, file, text, dry_run=True) == (2, 1, 0, 0)
    assert await hash_of(org) == password_hash()
    assert await of_users(org, file, text) == (2, 1, 0, 0)
    assert await people.session_ids() == []
    ben, zoe = (await user(org, "ben")).id, (await user(org, "zoe")).id
    assert [await hash_of(org, id) for id in ("ana", ben, zoe)] == [BCRYPT, DJANGO, None]
    await people.signed_in(password=PASSWORD)
    assert (await hash_of(org) or "").startswith(OURS)


async def test_the_same_table_again_ends_no_session_and_one_without_hashes_leaves_them(
    people: People, tmp_path: Path
) -> None:
    org, file = people.org, tmp_path / "people.csv"
    hash = password_hash()
    for text, counts in (
        (f'username,password_hash\nana,"{hash}"\n', (0, 0, 1, 0)),
        ("username,password_hash,full_name\nana,,Ana\n", (0, 1, 0, 0)),
        ("username,full_name\nana,Ana García\n", (0, 1, 0, 0)),
    ):
        assert await of_users(org, file, text) == counts
        assert await hash_of(org) == hash
    assert len(await people.session_ids()) == 1


async def test_each_row_of_a_table_is_judged_by_itself_and_nothing_of_a_hash_is_said(
    people: People, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    org, file = people.org, tmp_path / "people.jsonl"
    dear = BCRYPT.replace("$04$", "$15$")
    rows = [("ben", BCRYPT), ("cy", dear), ("di", "plain"), ("eve", 7), ("flo", "")]
    file.write_text("".join(json.dumps({"username": name, "pw": hash}) + "\n" for name, hash in rows))
    shell = shell_for(settings, tmp_path)
    arguments = ("users", "import", org.id, str(file), "--map", "pw=password_hash", "--dry-run")
    stopped = await asyncio.to_thread(shell, *arguments)
    assert (stopped.exit_code, "Line 2 of people.jsonl was refused (pw: must keep to" in stopped.stderr) == (1, True)
    assert found_in(stopped.stdout + stopped.stderr, [dear[7:], BCRYPT]) == []
    summary = await imported(org.stores, Users(org.id), file, maps=("pw=password_hash",), on_error=SKIP)
    assert (summary.outcomes["created"], summary.refused) == (1, 4)
    assert await hash_of(org, (await user(org, "ben")).id) == BCRYPT
    mended = [json.loads(line) for line in (tmp_path / "people.refused.jsonl").read_text().splitlines()]
    assert [row["refused_field"] for row in mended] == ["pw"] * 4
    assert found_in("".join(row["refused_reason"] for row in mended) + caplog.text, [dear[7:], BCRYPT]) == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
async def test_a_hash_is_never_exported(people: People, tmp_path: Path, suffix: str) -> None:
    await put(people, BCRYPT)
    await exported(people.org.stores, Users(people.org.id), tmp_path / f"people{suffix}")
    text = (tmp_path / f"people{suffix}").read_text()
    assert "ana@example.com" in text
    assert "hash" not in text
    assert "$2b$" not in text
