"""/metrics: what all workers have seen, for Prometheus. Each leaves its numbers in a file once a second, and whichever
is asked adds them up: a worker that is gone stays in the sum, so that no counter goes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from pydantic import BaseModel, Field
from starlette.responses import Response

from identity.api.call import Call, Service
from identity.api.logs import log_error
from identity.api.routes import Table
from identity.db import PoolSession
from identity.verify.seen import LATENCIES_S, SIZES

table = Table("service")

EVERY_S = 1.0
Numbers = dict[str, Any]

Count = Annotated[int, Field(ge=0, lt=2**63)]
Code = Annotated[str, Field(pattern="^[a-z_]+$")]
Request = Annotated[str, Field(pattern="^[!-~]+ [!-~]+ [0-9]+$")]


def _counts(bounds: tuple[float, ...]) -> Any:
    return Field(min_length=len(bounds) + 1, max_length=len(bounds) + 1)


class Sizes(BaseModel):
    """A histogram of Seen, of names in a statement."""

    counts: Annotated[list[Count], _counts(SIZES)]
    total: float


class Latencies(BaseModel):
    """A histogram of Seen, of seconds."""

    counts: Annotated[list[Count], _counts(LATENCIES_S)]
    total: float


class Left(BaseModel):
    """What a worker leaves in its file; one of another release may leave less, or more."""

    verifications: dict[Code, Count] = {}
    batch_sizes: Sizes | None = None
    lane_waits_s: Latencies | None = None
    lane_replacements: Count = 0
    hedges: Count = 0
    requests: dict[Request, Latencies] = {}
    pool_waits: Count = 0
    pool_wait_seconds: float = 0
    pool_timeouts: Count = 0
    verifications_uncounted: Count = 0


@table.get(
    "/metrics", scope="audit:read", answers=None, media=CONTENT_TYPE_PLAIN_0_0_4.split(";")[0], platform_only=True
)
async def metrics(call: Call[None]) -> Response:
    """Tell what the workers of this host have seen.

    For Prometheus, in its text format: verifications by code, batches, lanes, the pool, and requests by route and
    status. Others than the one who answers may be a second behind.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Sum(all_numbers(call.service)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class Sum:
    """Numbers as Prometheus names them."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def collect(self) -> Iterator[Metric]:
        verifications = CounterMetricFamily("identity_verifications", "Keys verified, by verdict.", labels=["code"])
        for code, count in sorted(self.numbers["verifications"].items()):
            verifications.add_metric([code], count)
        yield verifications
        for name, about in COUNTERS.items():
            yield CounterMetricFamily(f"identity_{name}", about, self.numbers[name])
        yield _histogram("lane_batch_names", "Keys and tenants that shared a statement.", "batch_sizes", self.numbers)
        yield _histogram("lane_wait_seconds", "Wait of a batch for a lane.", "lane_waits_s", self.numbers)
        requests = HistogramMetricFamily(
            "identity_request_duration_seconds", "Requests answered.", labels=["method", "route", "status"]
        )
        for key, found in sorted(self.numbers["requests"].items()):
            method, route, status = key.split(" ")
            requests.add_metric([method, route, status], *_buckets(LATENCIES_S, found))
        yield requests


COUNTERS = {
    "lane_replacements": "Lanes that were lost or silent, and replaced.",
    "hedges": "Batches that were asked again, on another lane.",
    "pool_waits": "Statements that waited for a connection of the pool.",
    "pool_wait_seconds": "How long they waited.",
    "pool_timeouts": "Statements that got no connection in time.",
    "verifications_uncounted": "Verifications of which no key's usage tells, since too many waited to be written.",
}


def _histogram(name: str, about: str, key: str, numbers: Numbers) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"identity_{name}", about)
    family.add_metric([], *_buckets(SIZES if key == "batch_sizes" else LATENCIES_S, numbers[key]))
    return family


def _buckets(bounds: tuple[float, ...], found: Numbers) -> tuple[list[tuple[str, float]], float]:
    """Prometheus counts in each bucket what is in those before it too."""
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(found["counts"]), strict=True)), found["total"]


def all_numbers(service: Service) -> Numbers:
    """This worker's as they are now, and the others' as they last left them."""
    found, directory = own_numbers(service), service.settings.metrics_dir
    others = (
        [] if directory is None else [path for path in directory.glob("*.json") if path.stem != service.seen.worker]
    )
    for path in others:
        with suppress(OSError, ValueError):  # a disk may be full, and anybody's file may lie there
            found = added(found, Left.model_validate_json(path.read_bytes(), strict=True).model_dump(exclude_none=True))
    return found


def own_numbers(service: Service) -> Numbers:
    session = service.stores.session
    assert isinstance(session, PoolSession), "a service's stores are over its pool"
    stats = session.pool.get_stats()
    return service.seen.numbers() | {
        "pool_waits": stats.get("requests_queued", 0),
        "pool_wait_seconds": stats.get("requests_wait_ms", 0) / 1000,
        "pool_timeouts": stats.get("requests_errors", 0),
        "verifications_uncounted": service.usage.lost,
    }


def added(one: Any, other: Any) -> Any:
    """Number to number, whatever they are in."""
    if isinstance(one, dict):
        return {**one, **other, **{key: added(one[key], other[key]) for key in one.keys() & other.keys()}}
    if isinstance(one, list):
        return [each + its for each, its in zip(one, other, strict=True)]
    return one + other


@asynccontextmanager
async def sharing(service: Service) -> AsyncIterator[None]:
    """For as long as a worker runs, and once more at its end."""
    directory = service.settings.metrics_dir
    if directory is None:
        yield
        return
    task = asyncio.create_task(_each_second(service, directory))
    try:
        yield
    finally:
        task.cancel()
        with suppress(OSError):
            _leave(service, directory)


async def _each_second(service: Service, directory: Path) -> None:
    while True:
        try:
            _leave(service, directory)
        except OSError as error:
            log_error(error, detail="What this worker has seen could not be left for the others.")
        await asyncio.sleep(EVERY_S)


def _leave(service: Service, directory: Path) -> None:
    """Whole or not at all, for whoever reads meanwhile."""
    unfinished = directory / f"{service.seen.worker}.new"
    unfinished.write_text(json.dumps(own_numbers(service)))
    unfinished.replace(unfinished.with_suffix(".json"))
