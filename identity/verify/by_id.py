"""A key by its id alone: for who holds a token that it got. It is judged as it is now, never as it was then."""

from __future__ import annotations

from typing import Any, cast

from identity.verify.known import NOT_FOUND, Known, known
from identity.verify.lane import ask
from identity.verify.statements import array
from identity.verify.verifier import Verifier


async def look_up_id(verifier: Verifier, key_id: str) -> Known:
    """The key and its chain, by a statement that is sent after this was asked. The id is one of ours, in which nothing
    needs to be escaped. Unavailable as with any look-up."""
    epoch = verifier.memory.epoch
    batch = verifier.lanes.join(_by_id, (key_id,), verifier.lanes.now_s)
    verifier.lanes.go()
    row = (await batch).get(key_id)
    return NOT_FOUND if row is None else known(row, epoch)


async def _by_id(key_ids: list[str]) -> dict[str, Any]:
    return {cast("bytes", row[4]).decode(): row for row in await ask(b"live", array(key_ids))}
