"""`identity users set-password`, `identity sessions …` and `identity mfa …`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pyotp import TOTP

from identity.settings import Settings
from tests.cli.shell import shell_for
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
