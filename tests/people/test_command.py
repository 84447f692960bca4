"""`identity users set-password` and `identity sessions …`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

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
