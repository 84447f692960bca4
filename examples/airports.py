"""An organisation over HTTP alone: 3,376 airports, their staff and their keys, and what becomes of the keys when
branches close, staff leave and keys are lost. It may be run again, and ends the same.

    make run                                in one terminal
    .venv/bin/python examples/airports.py   in another
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from rich.console import Console
from rich.progress import track
from rich.table import Table

TENANT = "/v1/tenants/airports"
APP = f"{TENANT}/apps/checkin"
USERS = [f"agent-{number:02}" for number in range(50)]
KEYS = 100
CONNECTIONS = 4

T = TypeVar("T")
R = TypeVar("R")
Json = dict[str, Any]


def connect(url: str, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def call(api: httpx2.Client, method: str, path: str, body: Json | None = None) -> Any:
    """The answer's JSON. What the service refuses ends the program with its reason."""
    answer = api.request(method, path, json=body)
    if answer.is_error:
        sys.exit(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer.json() if answer.content else None


def each(what: str, things: Sequence[T], do: Callable[[T], R]) -> list[R]:
    """What it does for each, in their order: a few at once, under a progress bar."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(track(pool.map(do, things), f"{what:9}", total=len(things)))


def admin_key(platform: httpx2.Client) -> Json:
    """The first key of a new tenant. Of one that is there already, another: texts of keys are shown only once."""
    created = platform.post("/v1/tenants", json={"id": "airports", "name": "Airports", "admin_key": True})
    if created.status_code == 201:
        first: Json = created.json()["admin_key"]
        return first
    another: Json = call(platform, "POST", f"{TENANT}/apps/identity/keys", {"name": "admin", "scopes": ["*"]})
    return another


def branch_id(airport: dict[str, str]) -> str:
    return airport["iata"].lower()


def branch(airport: dict[str, str]) -> Json:
    address: Json = {part: airport[part] for part in ("city", "state", "country")}
    address |= {part: float(airport[part]) for part in ("latitude", "longitude")}
    return {"code": airport["iata"], "name": airport["name"], "type": "other", "address": address}


def provision(api: httpx2.Client, airports: Sequence[dict[str, str]]) -> None:
    """PUT creates or replaces, so that this can be done again and again."""
    app = {"name": "Check-in", "type": "service", "settings": {"allowed_scopes": ["passengers:*"]}}
    call(api, "PUT", APP, app)
    each("branches", airports, lambda row: call(api, "PUT", f"{APP}/branches/{branch_id(row)}", branch(row)))
    each("users", USERS, lambda id: call(api, "PUT", f"{TENANT}/users/{id}", {"username": id}))
    each("access", USERS, lambda id: call(api, "PUT", f"{APP}/users/{id}"))


def issue(api: httpx2.Client, airports: Sequence[dict[str, str]]) -> list[Json]:
    """A key for each of the first branches, owned by one of the users; those of an earlier run go."""
    while old := call(api, "GET", f"{APP}/keys?limit=500")["items"]:
        each("old keys", old, lambda key: call(api, "DELETE", f"{APP}/keys/{key['id']}"))
    news = [
        {"name": id, "branch_id": id, "user_id": USERS[number % len(USERS)], "scopes": ["passengers:read"]}
        for number, id in enumerate(map(branch_id, airports[:KEYS]))
    ]
    return each("keys", news, lambda new: call(api, "POST", f"{APP}/keys", new))


def change(api: httpx2.Client, keys: Sequence[Json]) -> None:
    """Of ten keys one is revoked, and three die with what they hang on."""
    requests = [
        *(("POST", f"{APP}/keys/{key['id']}/revoke") for key in keys[0::10]),
        *(("POST", f"{APP}/branches/{key['branch_id']}/disable") for key in keys[1::10]),
        *(("POST", f"{TENANT}/users/{id}/suspend") for id in USERS[2::10]),
        *(("DELETE", f"{APP}/users/{id}") for id in USERS[3::10]),
    ]
    each("changes", requests, lambda request: call(api, *request))


def questions(keys: Sequence[Json], platform_key: str) -> list[Json]:
    """Is each key good at its airport? And some that are not: misused, garbage, or of another tenant."""
    good = keys[-1]
    garbage = ("", "password", good["key"][:-1], good["key"].swapcase())
    return [
        *({"key": key["key"], "branch_id": key["branch_id"], "scopes": ["passengers:read"]} for key in keys),
        {"key": good["key"], "scopes": ["passengers:write"]},
        {"key": good["key"], "branch_id": keys[0]["branch_id"]},
        *({"key": text} for text in garbage),
        {"key": platform_key},
    ]


def run(url: str, platform_key: str, airports: Sequence[dict[str, str]]) -> None:
    started = time.monotonic()
    with connect(url, platform_key) as platform:
        admin = admin_key(platform)
    with connect(url, admin["key"]) as api:
        provision(api, airports)
        keys = issue(api, airports)
        change(api, keys)
        asked = questions(keys, platform_key)
        verdicts = each("verify", asked, lambda question: call(api, "POST", "/v1/keys/verify", question))
        call(api, "POST", f"{TENANT}/apps/identity/keys/{admin['id']}/revoke", {"reason": "the run is over"})
    seconds = time.monotonic() - started
    made = {"branches": len(airports), "users": len(USERS), "keys": len(keys)}
    show(f"airports, in {seconds:.1f} s", made, Counter(verdict["code"] for verdict in verdicts))


def show(title: str, made: dict[str, int], verdicts: Counter[str]) -> None:
    table = Table(title, "", min_width=32)
    table.columns[1].justify = "right"
    for name, count in made.items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    for code, count in verdicts.most_common():
        table.add_row(f"verified: {code}", str(count))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Provision 3,376 airports, and verify their keys.")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="where the service listens")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N airports")
    options = parser.parse_args()
    with Path(__file__).with_name("airports.csv").open(newline="") as file:
        airports = list(csv.DictReader(file))[: options.limit or None]
    try:
        key = os.environ.get("IDENTITY_KEY") or Path(".identity/admin_key").read_text().strip()
        run(options.url, key, airports)
    except FileNotFoundError:
        sys.exit("Set IDENTITY_KEY to the platform's key, or start this where .identity/admin_key lies.")
    except httpx2.ConnectError:
        sys.exit(f"Nothing listens on {options.url}: start the service with `make run`.")


if __name__ == "__main__":
    main()
