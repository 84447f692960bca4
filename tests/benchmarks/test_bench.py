"""What the benchmarks say of a server is so: what it answered, how fast, and what it took."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.benchmarks.case import Case, Target
from tests.benchmarks.cases import CASES
from tests.benchmarks.cpu import used_s
from tests.benchmarks.load import run
from tests.benchmarks.measure import Sample, Series, by_round
from tests.benchmarks.order import Order
from tests.benchmarks.plot import svg
from tests.benchmarks.questions import next_refresh, refreshes
from tests.benchmarks.report import judged
from tests.load.service import serving


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Order]:
    """To a bare route, that thinks every key good."""
    texts = tmp_path_factory.mktemp("keys") / "texts"
    texts.write_text("".join(f"{n:081d}\n" for n in range(200)))
    with serving({}, command=(sys.executable, "-m", "tests.benchmarks.floor", "f2")) as process:
        yield Order(process.port, 4, 0.3, str(texts), str(texts), lead_s=0.1, watched={"worker": process.pid})


def test_each_answer_is_counted_and_timed(order: Order) -> None:
    took = run(order)
    assert took.requests > 10
    assert (took.refused, took.errors) == (0, 0)
    assert 0 < took.p50_s <= took.p99_s <= took.longest_s
    assert took.seconds == pytest.approx(0.3, abs=0.2)
    assert took.cpu_s["worker"] > 0


def test_each_key_is_asked_about_once(order: Order) -> None:
    assert run(replace(order, connections=16, once=True)).requests == 200


def test_what_is_not_answered_with_200_is_an_error_and_no_request_that_was_done(order: Order) -> None:
    """There is no such route."""
    took = run(replace(order, batch=3))
    assert (took.requests, took.errors > 0) == (0, True)


def test_a_refresh_goes_on_with_the_successor(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a:irt_first\nb:irt_second\nc:irt_third\n")
    asked = list(refreshes(tokens, 2))
    assert b"refresh_token=irt_second" in asked[1]
    assert b"refresh_token=irt_next99" in next_refresh(asked[1], b'{"refresh_token":"irt_next99","scope":""}')
    assert tokens.read_bytes() == b"c:irt_third", "each is presented once, however many rounds there are"


def test_argon2_alone_is_counted_in_as_many_threads(order: Order) -> None:
    took = run(replace(order, ask="hash", threads=2))
    assert (took.requests >= 2, took.errors, took.cpu_s["worker"]) == (True, 0, 0)


def test_what_ended_children_took_is_counted_too() -> None:
    before = used_s(os.getpid())
    os.waitpid(os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", "sum(range(10_000_000))"]), 0)
    assert used_s(os.getpid()) - before > 0.05


def sample(per_s: float) -> Sample:
    return Sample(per_s, 1, 1, 1, 1, 1, 1, 0, 0)


OURS = Series("ours", 64, [sample(90), sample(200)])
BASE = Series("base", 64, [sample(100), sample(250)])


def test_a_ratio_is_of_the_same_round() -> None:
    assert by_round(OURS, "per_s", BASE, "per_s") == [0.9, 0.8]


@pytest.mark.parametrize(("limit", "at_most", "met"), [(0.84, False, True), (0.86, False, False), (0.86, True, True)])
def test_a_target_is_met_by_the_median_of_the_rounds(limit: float, at_most: bool, met: bool) -> None:
    target = Target("ours", 64, "per_s", limit, "base", at_most=at_most)
    case = Case("a", "b", (64,), lambda *_: [], (target, Target("nobody", 64, "per_s", 1.0)))
    (found,) = judged(case, [OURS, BASE])
    assert (found.is_met, found.lowest, found.highest) == (met, 0.8, 0.9)


def test_a_plot_has_a_bar_a_subject() -> None:
    assert svg({"a < b": [OURS, BASE]}).count("<rect") == 3


def test_no_two_cases_share_a_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


class Refusing(BaseHTTPRequestHandler):
    """Thinks no key good."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"valid":false}')

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_what_is_not_valid_is_told(order: Order) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        took = run(replace(order, port=server.server_port))
        server.shutdown()
    assert took.refused == took.requests > 0
