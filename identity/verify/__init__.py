"""Is this key good, for this? Nothing is believed without proof: what is asked joins a statement that is sent after it
arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from identity.db import check_login
from identity.errors import StartError, Unavailable
from identity.settings import Settings
from identity.verify.by_id import look_up_id
from identity.verify.known import MALFORMED, NOT_FOUND, Known
from identity.verify.lanes import open_lanes
from identity.verify.limits import Limits, Taken
from identity.verify.memory import Memory
from identity.verify.seen import Seen
from identity.verify.statements import LIVE
from identity.verify.usage import Usage, open_usage
from identity.verify.verdicts import Asked, Verdict, Verdicts, Verification, Verifications, covers, judge, verdict
from identity.verify.verifier import Verifier

__all__ = [
    "LIVE",
    "MALFORMED",
    "NOT_FOUND",
    "Asked",
    "Known",
    "Seen",
    "Taken",
    "Usage",
    "Verdict",
    "Verdicts",
    "Verification",
    "Verifications",
    "Verifier",
    "covers",
    "judge",
    "look_up_id",
    "open_usage",
    "open_verifier",
    "verdict",
]


@asynccontextmanager
async def open_verifier(settings: Settings, seen: Seen | None = None) -> AsyncIterator[Verifier]:
    """A worker's lanes, past any pooler, and its memory. What takes has a lane of its own: it waits for the disk, and
    for replicas that are synchronous, and what only reads must not."""
    memory = Memory(settings.remembered_keys)
    opening = partial(
        open_lanes,
        settings.lanes_url,
        timeout_s=settings.verify_timeout_s,
        seen=seen or Seen(),
        check=partial(check_login, single_login=settings.single_login),
    )
    async with AsyncExitStack() as stack:
        try:
            lanes = await stack.enter_async_context(
                opening(size=settings.verify_connections, on_lost=memory.forget_all)
            )
            taking = await stack.enter_async_context(opening(size=1, on_lost=lambda: None))
        except Unavailable:
            variable = "IDENTITY_LANES_DATABASE_URL"
            sentence = f"The database does not answer: check that it runs and that {variable} names it."
            raise StartError(sentence) from None
        yield Verifier(memory, lanes, Limits(taking))
