"""Whatever two tenants do, in any order: the service answers what a model in plain Python would, and tells neither of
the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from identity.api import make_app
from identity.settings import Settings
from tests.fuzz.driver import Service
from tests.fuzz.ground import Ground
from tests.fuzz.machine import Machine
from tests.fuzz.people_machine import PeopleMachine
from tests.server import Database

EXAMPLES = int(os.environ.get("IDENTITY_FUZZ_EXAMPLES", "16"))
STEPS = 60
PEOPLES_EXAMPLES, PEOPLES_STEPS = EXAMPLES * 3 // 4, 24
# To shrink takes minutes: that is for whoever looks for a bug, not for CI.
PHASES = (Phase.generate, Phase.shrink) if "IDENTITY_FUZZ_SHRINK" in os.environ else (Phase.generate,)


# A machine that is busy with other things is no finding.
UNHURRIED = {"verify_timeout_s": 60.0, "checkout_timeout_s": 60.0, "statement_timeout_s": 60.0}


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    envelope: Any = make_app(settings)
    async with envelope.app.router.lifespan_context(envelope.app):
        transport = httpx2.ASGITransport(app=envelope)
        async with httpx2.AsyncClient(transport=transport, base_url="http://identity.example.com") as found:
            yield found


@pytest.fixture
async def service(
    settings: Settings, platform_key: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    monkeypatch.setattr("identity.hashing.MEMORY_KIB", 8)  # what is hashed for whom is asked, not how dearly
    sweeping = import_module("identity.api.sweeping")
    monkeypatch.setattr(sweeping, "EVERY_S", 86_400.0)  # or tombstones would go by themselves
    unhurried = settings.model_copy(update=UNHURRIED)
    async with worker(unhurried) as patient, worker(unhurried.model_copy(update={"purge_after_s": 0})) as hasty:
        yield Service(asyncio.get_running_loop(), patient, hasty, platform_key, database.admin_url)


async def test_whatever_two_tenants_do_the_service_answers_as_the_model(service: Service) -> None:
    await drive(Machine, service, EXAMPLES, STEPS)


async def test_whatever_people_do_who_is_in_and_who_is_not_is_as_the_model_says(service: Service) -> None:
    await drive(PeopleMachine, service, PEOPLES_EXAMPLES, PEOPLES_STEPS)


async def drive(machine: type[Ground], service: Service, examples: int, steps: int) -> None:
    machine.service = service
    some = hypothesis_settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=some)
    print(dict(sorted(service.seen.items())))
