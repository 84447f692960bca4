"""The log: one JSON line a request, without anything in it that opens a door."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from identity.api import ROUTES
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
