"""What is measured, and what it should come to."""

from __future__ import annotations

import argparse
import http.client
import json
from contextlib import ExitStack
from dataclasses import replace

from tests.benchmarks.case import Case, Target
from tests.benchmarks.measure import Subject
from tests.benchmarks.people import CASES as OF_PEOPLE
from tests.benchmarks.site import Keys, NotThere, Site, issue, load_beside

SMALL = 100_000
BIG = 1_000_000
TENANTS = 1_000
BATCH = 1_000
LIMITED = 2_000
ALL = (64, 16, 1)
COLD = "0"
MOST = "3000000"
"""Room for all of a million keys, and their callers."""
LIMITS = {"rate_limits": [{"name": "much", "limit": 1_000_000_000, "window_s": 60}], "credits": {"remaining": 10**12}}


def small(site: Site) -> Keys:
    return site.keys("small", TENANTS, SMALL // TENANTS)


def _warm(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    keys = small(site)
    floors = [stack.enter_context(site.floor(which, keys)) for which in ("F2", "F3")]
    return [*floors, stack.enter_context(site.service("warm", keys))]


def _cold(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    keys = small(site)
    floors = [stack.enter_context(site.floor(which, keys)) for which in ("F2", "F3")]
    return [*floors, stack.enter_context(site.service("cold", keys, warm=False, remembered_keys=COLD))]


def _change(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    keys = small(site)
    floor = stack.enter_context(site.floor("F2", keys))
    return [floor, site.under_change(stack.enter_context(site.service("under change", keys)), keys)]


def _change_of_one(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    keys = site.keys("one", 1, SMALL)
    floor = stack.enter_context(site.floor("F2", keys))
    return [floor, site.under_change(stack.enter_context(site.service("under change", keys)), keys)]


def _batch(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    single = stack.enter_context(site.service("single", small(site)))
    return [single, _batched(site, replace(single, name="batch"))]


def _batched(site: Site, subject: Subject) -> Subject:
    """The same service, asked about a thousand keys at once, of any tenants."""
    _must_have_batches(site, subject)
    return replace(subject, order=replace(subject.order, callers=str(site.platform), batch=BATCH))


def _must_have_batches(site: Site, subject: Subject) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", subject.process.port, timeout=10)
    headers = {"Authorization": f"Bearer {site.database.platform_key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/keys/verify-batch", json.dumps({"keys": [{"key": "x"}]}), headers)
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise NotThere(f"POST /v1/keys/verify-batch answers {status}")


def _cold_batch(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    cold = stack.enter_context(site.service("cold", small(site), warm=False, remembered_keys=COLD))
    batched = replace(_batched(site, cold).order, seconds=asked.seconds + 1.0)
    return [cold, replace(cold, name="cold beside batches", beside=lambda: load_beside(batched))]


def _million(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    keys = site.keys("big", TENANTS, BIG // TENANTS)
    return [
        stack.enter_context(site.service("100,000 keys", small(site), remembered_keys=MOST)),
        stack.enter_context(site.service("1,000,000 keys", keys, remembered_keys=MOST)),
    ]


def _workers(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    keys = small(site)
    return [
        stack.enter_context(site.service("one worker", keys)),
        stack.enter_context(site.service("two workers", keys, "--workers", "2")),
    ]


def _counting(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    if asked.counting_off is None:
        raise NotThere("say with --counting-off NAME=VALUE which IDENTITY_ variable turns counting off")
    name, _, value = asked.counting_off.partition("=")
    off = {name.removeprefix("IDENTITY_").lower(): value}
    keys = small(site)
    return [
        stack.enter_context(site.service("not counted", keys, **off)),
        stack.enter_context(site.service("counted", keys)),
    ]


def _limits(site: Site, stack: ExitStack, asked: argparse.Namespace) -> list[Subject]:
    maker = stack.enter_context(site.service("maker", small(site), warm=False))
    filled, key, port = small(site).filled, site.database.platform_key, maker.process.port
    site.say(f"issuing {2 * LIMITED:,} keys", 0, 0)
    limited = site.kept("limited", issue(port, key, filled, LIMITED, **LIMITS))
    plain = site.kept("plain", issue(port, key, filled, LIMITED))
    return [
        stack.enter_context(site.service("without limits", plain)),
        stack.enter_context(site.service("with limits", limited)),
    ]


F2_US = 82
"""What F2 took of its worker a request where the targets were set; ours are scaled by what it takes here."""
CASES = (
    Case(
        "warm",
        "remembered verdicts",
        ALL,
        _warm,
        (
            Target("warm", 64, "per_s", 0.95, "F2"),
            Target("warm", 16, "per_s", 0.85, "F2"),
            Target("warm", 1, "per_s", 0.45, "F2"),
            Target("warm", 64, "p99_ms", 1.5, "F2", at_most=True),
            Target("warm", 16, "p99_ms", 1.5, "F2", at_most=True),
            Target("warm", 64, "worker_us", 75 / F2_US, "F2", at_most=True),
            Target("warm", 64, "postgres_us", 25 / F2_US, "F2", "worker_us", at_most=True),
        ),
    ),
    Case(
        "cold",
        "nothing remembered",
        ALL,
        _cold,
        (
            Target("cold", 64, "per_s", 0.5, "F2"),
            Target("cold", 64, "per_s", 2.6, "F3"),
            Target("cold", 16, "per_s", 0.45, "F2"),
            Target("cold", 16, "per_s", 2.5, "F3"),
            Target("cold", 1, "p50_ms", 1.0, "F3", at_most=True),
        ),
    ),
    Case(
        "change",
        "10 keys a second disabled and 10 enabled, in 1,000 tenants",
        (64,),
        _change,
        (Target("under change", 64, "per_s", 0.85, "F2"),),
    ),
    Case(
        "change-of-one",
        "10 keys a second disabled and 10 enabled, in one tenant of 100,000 keys",
        (64,),
        _change_of_one,
        (Target("under change", 64, "per_s", 0.8, "F2"),),
    ),
    Case(
        "batch",
        "verify-batch of 1,000 remembered keys, and single calls; keys a second",
        (64, 4),
        _batch,
        (Target("batch", 4, "per_s", 6.0, "single", base_connections=64),),
    ),
    Case(
        "cold-batch",
        "single calls beside batches of 1,000, nothing remembered",
        (16,),
        _cold_batch,
        (Target("cold beside batches", 16, "longest_ms", 50.0, at_most=True),),
    ),
    Case(
        "million",
        "1,000,000 keys and 100,000, all remembered",
        (64,),
        _million,
        (Target("1,000,000 keys", 64, "per_s", 0.9, "100,000 keys"),),
    ),
    Case(
        "workers",
        "two workers and one",
        (64,),
        _workers,
        (Target("two workers", 64, "per_s", 1.2, "one worker"),),
    ),
    Case(
        "counting",
        "with counting and without",
        (64,),
        _counting,
        (Target("counted", 64, "per_s", 0.9, "not counted"),),
    ),
    Case(
        "limits",
        "keys with a rate limit and credits, and keys without",
        (64,),
        _limits,
        (Target("with limits", 64, "per_s", 0.5, "without limits"),),
    ),
    *OF_PEOPLE,
)
GROUPS = {"people": [case.name for case in OF_PEOPLE]}
"""Names for several."""
OPTIONAL = ("million", "counting")
"""Only when they are asked for: one takes minutes to make, the other needs a variable."""
