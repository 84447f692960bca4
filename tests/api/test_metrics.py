"""/metrics: what happened is in it, once, whichever worker is asked."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from identity.api import make_app
from identity.api.metrics import added
from identity.settings import Settings
from identity.verify.seen import LATENCIES_S, Histogram, Seen
from tests.conftest import Api, Organisation
from tests.operation.http import get
from tests.running import running

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((f"identity_{name}", frozenset(labels.items())), 0)


async def scrape(caller: Api) -> Samples:
    answer = await caller.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


@pytest.fixture
async def service(settings: Settings, tmp_path: Path) -> AsyncIterator[Any]:
    """A worker beside others, which leave their numbers in a directory."""
    envelope: Any = make_app(settings.model_copy(update={"metrics_dir": tmp_path}))
    async with envelope.app.router.lifespan_context(envelope.app):
        yield envelope.envelope


@pytest.fixture
async def caller(service: Any, platform_key: str) -> AsyncIterator[Api]:
    transport = httpx2.ASGITransport(app=service)
    async with httpx2.AsyncClient(transport=transport, base_url="http://identity.example.com") as client:
        yield Api(client, platform_key)


async def test_requests_are_counted_by_route_and_status_and_never_by_path(caller: Api, org: Organisation) -> None:
    for _ in range(3):
        await caller.get(org.path)
    await caller.get("/v1/tenants/nowhere")
    await caller("BREW", "/v1/tenants")
    await caller.get(f"/{org.key.key}")
    text = (await caller.get("/metrics")).text
    found = samples(text)
    route = "/v1/tenants/{tenant_id}"
    assert value(found, "request_duration_seconds_count", method="GET", route=route, status="200") == 3
    assert value(found, "request_duration_seconds_count", method="GET", route=route, status="404") == 1
    assert value(found, "request_duration_seconds_bucket", method="GET", route=route, status="200", le="+Inf") == 3
    assert value(found, "request_duration_seconds_sum", method="GET", route=route, status="200") > 0
    assert value(found, "request_duration_seconds_count", method="-", route="-", status="405") == 1
    assert value(found, "request_duration_seconds_count", method="-", route="-", status="404") == 1
    assert org.key.key not in text
    assert org.id not in text
    assert "BREW" not in text


async def test_what_the_hot_path_counted_is_in_it(service: Any, caller: Api) -> None:
    seen: Seen = service.seen
    before = await scrape(caller)
    seen.verifications["valid"] += 5
    seen.verifications["revoked"] += 1
    for size in (1, 2, 200, 5000):
        seen.batch_sizes.observe(size)
    seen.lane_waits_s.observe(0.002)
    seen.lane_replacements += 2
    seen.hedges += 1
    found = await scrape(caller)
    assert value(found, "verifications_total", code="valid") == 5
    assert value(found, "verifications_total", code="revoked") == 1
    bounds = ("1.0", "2.0", "128.0", "256.0", "+Inf")
    sizes = [[value(each, "lane_batch_names_bucket", le=le) for le in bounds] for each in (before, found)]
    (own,) = {now - then - its for then, now, its in zip(*sizes, (1, 2, 2, 3, 4), strict=True)}
    assert own == 1, "the second look for numbers is a look-up too"
    assert value(found, "lane_batch_names_sum") == value(before, "lane_batch_names_sum") + 5203 + own
    assert (value(found, "lane_replacements_total"), value(found, "hedges_total")) == (2, 1)
    assert ("identity_pool_waits_total", frozenset()) in found


async def test_other_workers_are_added_those_that_are_gone_too(service: Any, caller: Api, tmp_path: Path) -> None:
    service.seen.verifications["valid"] += 1
    other = Seen()
    other.verifications["valid"] += 10
    other.verifications["expired"] += 3
    other.request("GET", "/v1/tenants", 200, 0.02)
    pool = {"pool_waits": 2, "pool_wait_seconds": 0.5, "pool_timeouts": 0}
    (tmp_path / "gone.json").write_text(json.dumps(other.numbers() | pool | {"verifications_uncounted": 5}))
    service.app.state.service.usage.lost += 7
    (tmp_path / "half.json").write_text('{"verific')
    found = await scrape(caller)
    assert value(found, "verifications_total", code="valid") == 11
    assert value(found, "verifications_total", code="expired") == 3
    assert value(found, "request_duration_seconds_count", method="GET", route="/v1/tenants", status="200") == 1
    assert value(found, "pool_waits_total") >= 2
    assert value(found, "verifications_uncounted_total") == 12
    assert (tmp_path / f"{service.seen.worker}.json").exists(), "and leaves its own for them"


OF_ANOTHER_SHAPE = [
    *("[]", "7", "null", '"x"', "{", "\udcff", "[" * 5000),
    *('{"verifications": 1}', '{"verifications": {"valid": "1"}}', '{"verifications": {"\\ud800": 1}}'),
    *('{"hedges": [1]}', '{"hedges": true}', '{"hedges": 1e400}', '{"hedges": 1' + "0" * 400 + "}"),
    *('{"batch_sizes": {"counts": [1], "total": 1}}', '{"batch_sizes": {"counts": [1]}}', '{"lane_waits_s": {}}'),
    *('{"requests": {"GET": {"counts": [], "total": 0}}}', '{"requests": {"GET /new 200": {"counts": [1]}}}'),
]


@pytest.mark.parametrize("text", OF_ANOTHER_SHAPE)
async def test_a_file_of_another_shape_is_left_out(text: str, service: Any, caller: Api, tmp_path: Path) -> None:
    service.seen.verifications["valid"] += 1
    (tmp_path / "stray.json").write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / "directory.json").mkdir()
    assert value(await scrape(caller), "verifications_total", code="valid") == 1


async def test_of_another_release_what_is_known_is_added(service: Any, caller: Api, tmp_path: Path) -> None:
    service.seen.verifications["valid"] += 1
    (tmp_path / "newer.json").write_text('{"verifications": {"valid": 2}, "unheard_of": 1}')
    assert value(await scrape(caller), "verifications_total", code="valid") == 3


def test_sums_are_made_number_by_number() -> None:
    one: dict[str, Any] = {"a": 1, "b": {"x": [1, 2], "y": 1.5}, "c": {}}
    other = {"a": 2, "b": {"x": [3, 4], "z": 1}, "c": {"new": 1}}
    assert added(one, other) == {"a": 3, "b": {"x": [4, 6], "y": 1.5, "z": 1}, "c": {"new": 1}}


def test_a_value_at_a_bound_is_within_it() -> None:
    histogram = Histogram(LATENCIES_S)
    for value in (0.0, 0.0005, 0.0006, 5.0, 5.1):
        histogram.observe(value)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-2:]) == (2, 1, [1, 1])


def test_two_workers_tell_the_same(tmp_path: Path) -> None:
    with running("--workers", "2") as service:
        port, key = int(service.url.rsplit(":", 1)[1]), service.platform_key
        for _ in range(40):
            assert get(port, "/v1/keys/whoami", key).status_code == 200
        until_s = time.monotonic() + 20
        while True:
            time.sleep(1.1)
            found = [samples(get(port, "/metrics", key).text) for _ in range(6)]
            counts = {
                value(each, "request_duration_seconds_count", method="GET", route="/v1/keys/whoami", status="200")
                for each in found
            }
            if counts == {40}:
                break
            assert time.monotonic() < until_s, counts
