"""The log: one JSON line a request, without anything in it that opens a door."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from identity.api import ROUTES
from identity.api.logs import JsonLines, ReadableLines, log_request
from tests.api.samples import one, send
from tests.conftest import Api, Organisation


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        yield caplog


def lines(log: pytest.LogCaptureFixture) -> list[Any]:
    return [json.loads(record.getMessage()) for record in log.records if record.name == "identity.requests"]


async def test_every_request_leaves_one_line(org: Organisation, log: pytest.LogCaptureFixture) -> None:
    answer = await org.admin.patch(f"{org.path}/users/ana", {"full_name": "Ana"}, headers={"X-Request-Id": "seven"})
    (line,) = lines(log)
    assert (line["request_id"], line["status"]) == ("seven", answer.status_code)
    assert (line["method"], line["route"]) == ("PATCH", "/v1/tenants/{tenant_id}/users/{user_id}")
    assert (line["tenant"], line["principal"]) == (org.id, f"key:{org.admin_key.id}")
    assert line["address"] == "127.0.0.1"
    assert line["duration_ms"] > 0


REFUSED = [
    ("GET", "/nowhere", None, 404),
    ("PUT", "/v1/tenants", None, 405),
    ("GET", "/v1/keys/whoami", "/v1/keys/whoami", 401),
]


@pytest.mark.parametrize(("method", "path", "route", "status"), REFUSED)
async def test_a_refused_request_leaves_one_too(
    method: str, path: str, route: str | None, status: int, target: Organisation, log: pytest.LogCaptureFixture
) -> None:
    await Api(target.client, None)(method, path)
    (line,) = lines(log)
    assert (line["method"], line["route"], line["status"], line["tenant"]) == (method, route, status, None)


async def test_a_verification_leaves_a_line_only_if_it_fails(
    target: Organisation, log: pytest.LogCaptureFixture
) -> None:
    assert (await send(target.admin, one("verify_key"), target)).status_code == 200
    assert (await target.admin.post("/v1/keys/verify", {"key": "no such key"})).status_code == 200
    assert (await target.client.get("/healthz")).status_code == 200
    assert lines(log) == []
    assert (await target.admin.post("/v1/keys/verify", {})).status_code == 400
    assert [line["status"] for line in lines(log)] == [400]


async def test_no_line_forges_another(target: Organisation, log: pytest.LogCaptureFixture) -> None:
    await target.admin.get('/v1/tenants/%0A{"request_id":"forged"}', headers={"X-Request-Id": 'a"}'})
    (record,) = [record for record in log.records if record.name == "identity.requests"]
    assert "\n" not in record.getMessage()
    assert json.loads(record.getMessage())["request_id"] != "forged"


DSN = "postgresql://app:hunter2@db.example.com/app"


async def test_no_secret_is_ever_logged(org: Organisation, platform: Api, log: pytest.LogCaptureFixture) -> None:
    texts = [platform.key, org.admin_key.key, org.key.key]
    for route in (route for route in ROUTES if not route.name.startswith("delete")):
        texts += keys_in(await send(platform, route, org))
        await send(org.admin, route, org, params={"token": org.admin_key.key})
    await platform.patch(org.path, {"db_dsn": DSN})
    await platform.patch(org.path, {"db_dsn": "host=quiet.example.com"})
    await Api(org.client, org.admin_key.key[:-1]).get(org.path)
    await org.admin.get(f"{org.path}/apps/shop/keys/{org.key.key}")
    await org.admin.get(f"/v1/keys/{org.key.key}")
    secrets = [text.rsplit("_", 1)[1] for text in texts if text]
    assert len(secrets) >= 5
    assert lines(log)
    ours = "\n".join(
        record.getMessage() for record in log.records if not record.name.startswith("http")
    )  # nor httpx2's
    for secret in (*secrets, "hunter2", "quiet.example.com"):
        assert secret not in ours


def keys_in(answer: Any) -> list[str]:
    content = answer.json() if answer.headers.get("Content-Type") == "application/json" else {}
    return [found["key"] for found in (content, content.get("admin_key") or {}) if "key" in found]


def record_of(error: Exception | None, *, message: str = "It failed.") -> logging.LogRecord:
    """As another library logs it."""
    info: Any = None
    if error:
        with pytest.raises(type(error)) as raised:
            raise error
        info = (raised.type, raised.value, raised.tb)
    return logging.LogRecord("asyncio", logging.ERROR, __file__, 1, message, (), info)


def test_of_others_errors_one_line_is_told_and_not_their_words() -> None:
    for error in (RuntimeError("password=hunter2"), ExceptionGroup("hunter2", [ValueError("hunter2")])):
        error.add_note("hunter2")
        said = JsonLines().format(record_of(error, message="It failed.\nfuture: <exception='hunter2'>"))
        assert "\n" not in said
        assert "hunter2" not in said
        told = json.loads(said)
        assert (told["message"], told["logger"], told["level"]) == ("It failed.", "asyncio", "error")
        assert told["error"] == type(error).__name__
        assert "record_of (test_logs.py:" in told["where"]


def test_a_message_without_an_error_is_a_line_too() -> None:
    told = json.loads(JsonLines().format(record_of(None, message="x" * 1000)))
    assert (len(told["message"]), "error" in told) == (200, False)
    assert datetime.fromisoformat(told["time"]).tzinfo is not None


async def test_a_line_tells_when(target: Organisation, log: pytest.LogCaptureFixture) -> None:
    before = datetime.now(UTC)
    await target.admin.get(target.path)
    (line,) = lines(log)
    assert abs((datetime.fromisoformat(line["time"]) - before).total_seconds()) < 5


@pytest.mark.parametrize(("status", "colour"), [(200, 32), (304, 36), (404, 33), (503, 31)])
def test_in_a_terminal_a_request_is_one_short_coloured_line(
    status: int, colour: int, log: pytest.LogCaptureFixture
) -> None:
    log_request(
        "seven", status, address="10.0.0.1", method="GET", route="/v1/tenants", duration_s=0.0123, tenant="acme"
    )
    said = ReadableLines().format(log.records[-1])
    assert f"\033[{colour}m{status}\033[0m GET    /v1/tenants  12.3 ms  acme 10.0.0.1" in said
    assert "seven" in said
    assert "\n" not in said
    assert "\033" not in ReadableLines(coloured=False).format(log.records[-1])
    assert len(ReadableLines(coloured=False).format(log.records[-1])) < 80


def test_in_a_terminal_an_error_is_one_line_too() -> None:
    said = ReadableLines().format(record_of(RuntimeError("hunter2")))
    assert "RuntimeError record_of (test_logs.py:" in said
    assert "hunter2" not in said
    assert "\n" not in said
