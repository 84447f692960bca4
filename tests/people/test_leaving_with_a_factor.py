"""A second factor while its holder leaves: a code that was sent after the answer opens nothing, and is not used up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import pytest

from identity.settings import Settings
from tests.api.problems import told
from tests.people.conftest import People, at, worker
from tests.people.test_leaving_in_flight import LEAVES
from tests.people.test_second_factor import FAILED, answer, code, confirmed

KEPT = 2
"""Recovery codes on each worker that are sent only after the answer."""


@dataclass(frozen=True)
class Waiting:
    """Ana on one worker: codes, and sign-ins that wait for one."""

    people: People
    codes: list[str]
    challenges: list[str]

    async def answer(self, **given: Any) -> Any:
        """None: they are in."""
        found = await answer(self.people, self.challenges.pop(), **given)
        return None if found.status_code == 201 else told(found)

    async def present(self, ready: asyncio.Barrier, left: asyncio.Future[float]) -> list[tuple[float, Any]]:
        """Each code once: the first before anybody leaves, the last ones after it, and the others meanwhile."""
        seen = [(perf_counter(), await self.answer(recovery_code=self.codes[0]))]
        await ready.wait()
        for n, each in enumerate(self.codes[1:], start=1):
            if n >= len(self.codes) - KEPT:
                await left
            seen.append((perf_counter(), await self.answer(recovery_code=each)))
        return seen


def must_fail_late(seen: list[tuple[float, Any]], left_s: float) -> None:
    late = [found for sent_s, found in seen if sent_s > left_s]
    assert seen[0][1] is None, "it was good"
    assert late == [FAILED] * len(late)
    assert len(late) >= KEPT


@pytest.mark.parametrize("leave", LEAVES)
async def test_no_code_is_accepted_that_was_sent_after_the_answer(
    people: People, settings: Settings, leave: str
) -> None:
    org, (stop, resume) = people.org, LEAVES[leave]
    factor = await confirmed(people)
    codes, totp, half = factor["recovery_codes"], code(factor["secret"], 1), len(factor["recovery_codes"]) // 2
    left, ready = asyncio.get_running_loop().create_future(), asyncio.Barrier(3)

    async def leaving() -> None:
        await ready.wait()
        assert (await org.admin(stop[0], f"{org.path}/{stop[1]}")).status_code in (200, 204)
        left.set_result(perf_counter())

    async with worker(settings) as client:
        both = [
            Waiting(each, some, [await people.challenge() for _ in codes])
            for each, some in ((people, codes[:half]), (at(people, client), codes[half:]))
        ]
        presenting = asyncio.gather(*(each.present(ready, left) for each in both))
        await leaving()
        for seen in await presenting:
            must_fail_late(seen, left.result())
        assert [await each.answer(totp=totp) for each in both] == [FAILED] * 2
        more: dict[str, Any] = {"json": {}} if resume[0] == "PUT" else {}
        assert (await org.admin(resume[0], f"{org.path}/{resume[1]}", **more)).status_code == 200
        assert [await each.answer(totp=totp) for each in both] == [FAILED] * 2, "half a sign-in does not come back"
        for given in ({"totp": totp}, {"recovery_code": codes[-1]}, {"recovery_code": codes[half - 1]}):
            assert (await answer(people, await people.challenge(), **given)).status_code == 201, "nothing was used up"
