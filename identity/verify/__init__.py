"""Is this key good, for this? Nothing is believed without proof: what is asked joins a statement that is sent after it
arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from identity.db import check_login
from identity.errors import StartError, Unavailable
from identity.settings import Settings
from identity.verify.known import MALFORMED, NOT_FOUND, Known
from identity.verify.lanes import open_lanes
from identity.verify.memory import Memory
from identity.verify.statements import LIVE
from identity.verify.verdicts import Asked, Verdict, Verdicts, Verification, Verifications, covers, judge, verdict
from identity.verify.verifier import Verifier

__all__ = [
    "LIVE",
    "MALFORMED",
    "NOT_FOUND",
    "Asked",
    "Known",
    "Verdict",
    "Verdicts",
    "Verification",
    "Verifications",
    "Verifier",
    "covers",
    "judge",
    "open_verifier",
    "verdict",
]


@asynccontextmanager
async def open_verifier(settings: Settings) -> AsyncIterator[Verifier]:
    """A worker's lanes, past any pooler, and its memory."""
    variable = "IDENTITY_LANES_DATABASE_URL"
    memory = Memory(settings.remembered_keys)
    lanes = open_lanes(
        settings.lanes_url,
        size=settings.verify_connections,
        timeout_s=settings.verify_timeout_s,
        on_lost=memory.forget_all,
        check=partial(check_login, single_login=settings.single_login),
    )
    try:
        opened = await lanes.__aenter__()
    except Unavailable:
        raise StartError(f"The database does not answer: check that it runs and that {variable} names it.") from None
    try:
        yield Verifier(memory, opened)
    finally:
        await lanes.__aexit__(None, None, None)
