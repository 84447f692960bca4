"""`identity users set-password`, `identity sessions …` and `identity mfa …`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from pyotp import TOTP

from identity.settings import Settings
from tests.cli.shell import Shell, shell_for
from tests.people.conftest import People

OTHER = "seven blue kites over Ghent"


async def test_a_password_is_asked_for_and_never_an_argument(
    people: People, settings: Settings, tmp_path: Path
) -> None:
    shell = shell_for(settings, tmp_path)
    done = await asyncio.to_thread(shell, "users", "set-password", people.org.id, "ana", typed=f"{OTHER}\n")
    assert (done.exit_code, "sessions ended: 1" in done.stderr) == (0, True), done.stderr
    assert OTHER not in done.stdout + done.stderr
    began = await people.signed_in(password=OTHER)
    weak = await asyncio.to_thread(shell, "users", "set-password", people.org.id, "ana", typed="short\n")
    assert (weak.exit_code, "password_too_short" in weak.stderr) == (1, True)
    listed = await asyncio.to_thread(shell, "sessions", "list", people.org.id, "ana", "--json")
    assert [each["id"] for each in json.loads(listed.stdout)["items"]] == [began["session_id"]]
    ended = await asyncio.to_thread(shell, "sessions", "end", people.org.id, "ana", "--json")
    assert json.loads(ended.stdout)["sessions_ended"] == [began["session_id"]]


@pytest.mark.parametrize("verb", ["enrol", "confirm"])
async def test_no_factor_is_sealed_under_a_key_that_is_forgotten_with_the_command(
    people: People, settings: Settings, tmp_path: Path, verb: str
) -> None:
    shell = Shell(tmp_path, {"database_url": settings.main_url})
    more = (people.org.factor_id, "--totp", "000000") if verb == "confirm" else ()
    done = await asyncio.to_thread(shell, "mfa", verb, people.org.id, "ana", *more)
    assert (done.exit_code, "IDENTITY_SECRET_KEY is missing" in done.stderr) == (1, True), done.stderr
    found = (await people.org.admin.get(f"{people.ana}/factors")).json()["items"]
    assert [each["id"] for each in found] == [people.org.factor_id]
    unsealed = await asyncio.to_thread(shell, "reseal")
    assert (unsealed.exit_code, "IDENTITY_SECRET_KEY is missing" in unsealed.stderr) == (1, True)


async def test_whoever_has_lost_their_phone_is_helped_at_the_machine(
    people: People, settings: Settings, tmp_path: Path
) -> None:
    shell, ana = shell_for(settings, tmp_path), (people.org.id, "ana")
    enrolled = json.loads((await asyncio.to_thread(shell, "mfa", "enrol", *ana, "--json")).stdout)
    totp = TOTP(enrolled["secret"]).now()
    done = await asyncio.to_thread(shell, "mfa", "confirm", *ana, enrolled["id"], "--totp", totp, "--json")
    assert len(json.loads(done.stdout)["recovery_codes"]) == 10, done.stderr
    assert (await people.sign_in()).json()["code"] == "mfa_required"
    reset = await asyncio.to_thread(shell, "mfa", "reset", *ana, "--json")
    assert json.loads(reset.stdout)["factors_removed"] == 1
    await people.signed_in()
