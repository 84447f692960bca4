"""Usage as the API tells it: by hour and day, of a key, an app and a tenant, within bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from identity.app_keys import NewAppKey
from tests.api.problems import places, told
from tests.conftest import Organisation
from tests.server import Database, execute

DAY = datetime(2026, 3, 5, tzinfo=UTC)
WEEK = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-08T00:00:00Z"}


def use(database: Database, org: Organisation, key_id: str, at: datetime, code: str, count: int) -> None:
    insert = "INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count) VALUES (%s, %s, %s, %s, %s)"
    execute(database.admin_url, insert, org.id, key_id, at, code, count)


async def counts(org: Organisation, path: str, **query: str) -> list[tuple[str, str, int]]:
    answer = await org.admin.get(org.path + path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"items"}
    return [(item["at"], item["code"], item["count"]) for item in answer.json()["items"]]


@pytest.fixture
async def used(org: Organisation, database: Database) -> Organisation:
    other = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name="other"))
    use(database, org, org.key.id, DAY, "valid", 3)
    use(database, org, org.key.id, DAY, "insufficient_scope", 1)
    use(database, org, org.key.id, DAY + timedelta(hours=23), "valid", 4)
    use(database, org, org.key.id, DAY + timedelta(hours=24), "valid", 5)
    use(database, org, other.id, DAY, "valid", 10)
    use(database, org, org.admin_key.id, DAY, "valid", 100)
    return org


async def test_a_key_is_told_by_hour_and_by_day(used: Organisation) -> None:
    path = f"/apps/shop/keys/{used.key.id}/usage"
    assert await counts(used, path, **WEEK) == [
        ("2026-03-05T00:00:00Z", "insufficient_scope", 1),
        ("2026-03-05T00:00:00Z", "valid", 3),
        ("2026-03-05T23:00:00Z", "valid", 4),
        ("2026-03-06T00:00:00Z", "valid", 5),
    ]
    assert await counts(used, path, **WEEK, by="day") == [
        ("2026-03-05T00:00:00Z", "insufficient_scope", 1),
        ("2026-03-05T00:00:00Z", "valid", 7),
        ("2026-03-06T00:00:00Z", "valid", 5),
    ]


async def test_an_app_is_the_sum_of_its_keys_and_a_tenant_of_its_apps(used: Organisation) -> None:
    day = ("2026-03-05T00:00:00Z", "valid")
    assert (*day, 17) in await counts(used, "/apps/shop/usage", **WEEK, by="day")
    assert await counts(used, "/apps/identity/usage", **WEEK, by="day") == [(*day, 100)]
    assert (*day, 117) in await counts(used, "/usage", **WEEK, by="day")


async def test_a_span_begins_with_the_hour_of_from_and_ends_before_to(used: Organisation) -> None:
    path = f"/apps/shop/keys/{used.key.id}/usage"
    found = await counts(used, path, **{"from": "2026-03-05T23:59:59Z", "to": "2026-03-06T00:00:00Z"})
    assert found == [("2026-03-05T23:00:00Z", "valid", 4)]
    found = await counts(used, path, **{"from": "2026-03-06T01:30:00+02:00", "to": "2026-03-06T02:00:01+02:00"})
    assert [n for _, _, n in found] == [4, 5]
    found = await counts(used, path, **{"from": "2026-03-05T13:00:00Z", "to": "2026-03-05T14:00:00Z"}, by="day")
    assert [n for _, _, n in found] == [1, 3]


async def test_by_itself_it_tells_of_the_last_day_and_by_days_of_thirty(org: Organisation, database: Database) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for hours in (0, 1, 22, 25, 28 * 24, 31 * 24):
        use(database, org, org.key.id, now - timedelta(hours=hours), f"ago{hours}", 1)
    assert {code for _, code, _ in await counts(org, "/usage")} >= {"ago0", "ago1", "ago22"}
    assert not {code for _, code, _ in await counts(org, "/usage")} & {"ago25", "ago672"}
    found = {code for _, code, _ in await counts(org, "/usage", by="day")}
    assert found & {"ago25", "ago672", "ago744"} == {"ago25", "ago672"}


WRONG = {
    "from=yesterday": "from",
    "from=2026-03-01": "from",
    "from=2026-03-01T00:00:00": "from",
    "from=1999-01-01T00:00:00Z": "from",
    "from=": "from",
    "to=x": "to",
    "to=9999-12-31T23:59:59Z": "to",
    "by=minute": "by",
    "by=": "by",
    "from_=2026-03-01T00:00:00Z": "from_",
    "limit=1": "limit",
    "cursor=x": "cursor",
    "from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z": "from",
    "from=2026-03-02T00:00:00Z&to=2026-03-02T00:00:00Z": "from",
    "from=2999-01-01T00:00:00Z": "from",
    "from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z": "from",
    "by=day&from=2024-01-01T00:00:00Z&to=2026-03-01T00:00:00Z": "from",
}


@pytest.mark.parametrize("query", WRONG)
async def test_what_is_no_span_is_refused_by_its_parameter(query: str, target: Organisation) -> None:
    for path in ("/usage", "/apps/shop/usage", f"/apps/shop/keys/{target.key.id}/usage"):
        answer = await target.admin.get(f"{target.path}{path}?{query}")
        assert (told(answer), places(answer)) == ((400, "invalid_request"), [WRONG[query]])


@pytest.mark.parametrize("query", ["to=2000-01-01T00:00:01Z", "from=9998-12-31T00:00:00Z&to=9998-12-31T01:00:00Z"])
async def test_the_ends_of_time_are_spans_too(query: str, target: Organisation) -> None:
    for by in ("hour", "day"):
        answer = await target.admin.get(f"{target.path}/usage?{query}&by={by}")
        assert (answer.status_code, answer.json()) == (200, {"items": []})


async def test_another_tenant_sees_nothing(used: Organisation, other_org: Organisation, database: Database) -> None:
    """Nor does a key of another app count for this one."""
    assert await counts(other_org, "/usage", **WEEK) == []
    wrong = await used.admin.get(f"{used.path}/apps/identity/keys/{used.key.id}/usage")
    assert told(wrong) == (404, "key_not_found")


async def test_how_long_a_tenant_keeps_them_is_its_own_to_say(org: Organisation) -> None:
    settings: dict[str, Any] = (await org.admin.get(org.path)).json()["settings"]
    assert (settings["usage_days"], settings["keep_dead_keys_days"]) == (90, 90)
    kept = await org.admin.patch(org.path, {"settings": {"usage_days": 7, "keep_dead_keys_days": 30.0}})
    assert kept.json()["settings"]["keep_dead_keys_days"] == 30
    for days in (0, -1, 3661, 1.5, "7"):
        answer = await org.admin.patch(org.path, {"settings": {"usage_days": days}})
        assert told(answer) == (400, "invalid_request")
