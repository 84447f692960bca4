"""Whatever two tenants do, in any order: the service answers what a model in plain Python would, and tells neither of
the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from identity.api import make_app
from identity.settings import Settings
from tests.fuzz.driver import Service
from tests.fuzz.machine import Machine

EXAMPLES = int(os.environ.get("IDENTITY_FUZZ_EXAMPLES", "15"))
STEPS = 60
# To shrink takes minutes: that is for whoever looks for a bug, not for CI.
PHASES = (Phase.generate, Phase.shrink) if "IDENTITY_FUZZ_SHRINK" in os.environ else (Phase.generate,)


@pytest.fixture
async def hasty(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """Another worker on the same database, that keeps no tombstone from purging."""
    envelope: Any = make_app(settings.model_copy(update={"purge_after_s": 0}))
    async with envelope.app.router.lifespan_context(envelope.app):
        transport = httpx2.ASGITransport(app=envelope)
        async with httpx2.AsyncClient(transport=transport, base_url="http://identity.example.com") as found:
            yield found


async def test_whatever_two_tenants_do_the_service_answers_as_the_model(
    client: httpx2.AsyncClient, hasty: httpx2.AsyncClient, platform_key: str
) -> None:
    Machine.service = Service(asyncio.get_running_loop(), client, hasty, platform_key)
    some = hypothesis_settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=some)
    print(dict(sorted(Machine.service.seen.items())))
