"""Whatever step of a look-up is held up while something befalls its key: who asks after it has committed is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from identity.app_keys import AppKeyChanges
from identity.settings import Settings
from identity.verify import Verdict, Verification, Verifier, open_verifier
from tests.conftest import Organisation
from tests.verify.harms import HARMS, victim
from tests.verify.stalls import STEPS, stalled

SIZES = (1, 2)


@pytest.fixture(scope="module")
async def workers(settings: Settings) -> AsyncIterator[dict[int, Verifier]]:
    """With one lane, behind which all must queue, and with two, which overtake each other."""
    async with AsyncExitStack() as stack:
        yield {
            size: await stack.enter_async_context(
                open_verifier(settings.model_copy(update={"verify_connections": size, "verify_timeout_s": 5}))
            )
            for size in SIZES
        }


async def ask(verifier: Verifier, text: str) -> Verdict:
    return await verifier.verify(Verification(key=text))


async def something_else_changes(org: Organisation) -> None:
    """So that the counter has moved, and the changes are asked for."""
    changes = AppKeyChanges(name="other")
    await org.stores.app_keys.update(org.id, org.admin_key.app_id, org.admin_key.id, changes)


@pytest.mark.parametrize("name", HARMS)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("size", SIZES)
async def test_who_asks_after_it_has_committed_is_told(
    org: Organisation, workers: dict[int, Verifier], verifier: Verifier, name: str, step: str, size: int
) -> None:
    text = (await victim(org, name)).key
    assert (await ask(verifier, text)).valid
    assert await told(org, text, name, step, workers[size], verifier) == [True, True, True]


async def told(org: Organisation, text: str, name: str, step: str, worker: Verifier, *others: Verifier) -> list[bool]:
    """Whether those who ask after the harm hear of it, while one who asked before is held up at a step; and whether
    who asks in the end does."""
    harm = HARMS[name]
    if step.startswith("warm"):
        assert (await ask(worker, text)).valid
        await something_else_changes(org)
    with stalled(step) as stall:
        early = asyncio.create_task(ask(worker, text))
        await asyncio.wait_for(stall.reached.wait(), 5)
        await harm.do(org)
        late = [asyncio.create_task(ask(each, text)) for each in (worker, *others)]
        await asyncio.sleep(0.002)
        stall.release()
        heard = [harm.shows(each) for each in await asyncio.gather(*late)]
        await early
    return [*heard, harm.shows(await ask(worker, text))]


@pytest.mark.parametrize("name", HARMS)
async def test_of_many_that_ask_at_once_each_is_told(
    org: Organisation, workers: dict[int, Verifier], name: str
) -> None:
    harm, worker = HARMS[name], workers[2]
    text = (await victim(org, name)).key
    before = [asyncio.create_task(ask(worker, text)) for _ in range(50)]
    await harm.do(org)
    after = await asyncio.gather(*(ask(worker, text) for _ in range(50)))
    assert all(map(harm.shows, after))
    await asyncio.gather(*before)
