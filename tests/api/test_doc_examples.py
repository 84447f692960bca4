"""The examples of the OpenAPI document are true: what is sent is taken, and what is answered is what it says."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pyotp

from identity.api import ROUTES
from identity.api.openapi.examples import (
    ADDRESS,
    ADMIN_KEY,
    EXAMPLES,
    FACTOR_ID,
    INVITATION_ID,
    INVITATION_TOKEN,
    JWT,
    KEY,
    KEY_ID,
    MADE,
    MFA_TOKEN,
    SESSION_ID,
    TOTP,
)
from identity.api.routes import PUBLIC, Route
from identity.key_usage import UsageFilter
from tests.api.json_schema import accepts
from tests.api.samples import each, one
from tests.api.test_openapi import DOCUMENT, operation_of
from tests.conftest import Api, unique
from tests.server import Database, execute

SETUP = [
    *("create_a_tenant", "create_app", "create_branch", "create_user", "grant_access", "issue_key"),
    *("put_password", "sign_in", "reset_password", "enrol_factor", "create_invitation"),
]
FIRST = {
    **{f"{verb}_factor": "confirm_factor" for verb in ("get", "remove")},
    **{f"{verb}_factors": "confirm_factor" for verb in ("list", "reset")},
    "activate_tenant": "suspend_tenant",
    "enable_app": "disable_app",
    "enable_branch": "disable_branch",
    "enable_key": "disable_key",
    "activate_user": "suspend_user",
    "unlock_user": "lock_user",
    **{f"restore_{noun}": f"delete_{noun}" for noun in ("tenant", "app", "branch", "user")},
}
"""What must have been done before it has something to do."""
AS_ADMIN = ("whoami", "list_tenants")
USED = """
INSERT INTO identity.key_usage (tenant_id, key_id, hour, code, count)
VALUES (%s, %s, date_trunc('hour', now()), 'valid', 1)
"""
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DESCRIBED = [route for route in ROUTES if route.name in EXAMPLES and EXAMPLES[route.name].answer is not None]


class Story:
    """The examples' organisation, under an id that no other test has."""

    def __init__(self, platform: Api) -> None:
        self.platform = platform
        self.said = {"acme": unique("org")}
        """What stands in the examples, and what it is here."""

    def told(self, text: str) -> str:
        for example, real in self.said.items():
            text = text.replace(example, real)
        return text

    async def send(self, route: Route) -> httpx2.Response:
        ids = {name: DOCUMENT["components"]["parameters"][name]["example"] for name in route.params}
        more: dict[str, Any] = {"headers": {"Prefer": "return=representation", "User-Agent": "Mozilla/5.0"}}
        if route.takes is not None:
            more["data" if route.form else "json"] = json.loads(self.told(json.dumps(EXAMPLES[route.name].request)))
        key = self.said[ADMIN_KEY] if route.name in AS_ADMIN else self.platform.key
        caller = Api(self.platform.client, None if route.tells_oauth else key)
        answer = await caller(route.method, self.told(route.path.format(**ids)), **more)
        assert answer.status_code < 400, answer.text
        return answer

    async def begin(self, *, until: str) -> None:
        for name in SETUP:
            if name == until:
                return
            made = (await self.send(one(name))).json()
            if name == "create_a_tenant":
                self.said[ADMIN_KEY] = made["admin_key"]["key"]
            if name == "issue_key":
                self.said |= {KEY: made["key"], KEY_ID: made["id"]}
            if name == "sign_in":
                self.said |= {SESSION_ID: made["session_id"]}
            if name == "create_invitation":
                self.said |= {INVITATION_ID: made["id"], INVITATION_TOKEN: made["token"]}
            if name == "enrol_factor":
                self.said |= {FACTOR_ID: made["id"], TOTP: pyotp.TOTP(made["secret"]).now()}

    async def be_challenged(self) -> None:
        """Ana signs in where a second factor must be, and has none."""
        self.said = {name: real for name, real in self.said.items() if name not in (SESSION_ID, FACTOR_ID)}
        await self.platform.patch(f"/v1/tenants/{self.said['acme']}", {"settings": {"require_mfa": True}})
        given = json.loads(self.told(json.dumps(EXAMPLES["sign_in"].request)))
        asked = await self.platform.post(f"/v1/tenants/{self.said['acme']}/sessions", given)
        self.said |= {MFA_TOKEN: asked.json()["mfa_token"]}
        enrolled = (await self.send(one("enrol_at_sign_in"))).json()
        self.said |= {TOTP: pyotp.TOTP(enrolled["secret"]).now()}


def same(example: Any, real: Any) -> bool:
    """But for instants, how long is left, and what the service makes up."""
    if isinstance(example, dict) and isinstance(real, dict):
        names = example.keys() - {"reset_s"}
        return example.keys() == real.keys() and all(same(example[name], real[name]) for name in names)
    if isinstance(example, list) and isinstance(real, list):
        return len(example) == len(real) and all(map(same, example, real))
    if isinstance(example, str) and INSTANT.fullmatch(example):
        return isinstance(real, str) and INSTANT.fullmatch(real) is not None
    return (
        bool(example == real)
        or example in (ADDRESS, JWT)
        or (example in MADE and isinstance(real, str) and len(real) == len(example))
    )


@each(ROUTES)
def test_every_operation_has_one(route: Route) -> None:
    assert route.name in EXAMPLES or route.name in ("openapi_json", "docs", "metrics") or route.status == 204
    if route.takes is not None:
        assert EXAMPLES[route.name].request
        for media in operation_of(route)["requestBody"]["content"].values():
            assert accepts(DOCUMENT, media["schema"], media["example"])
    else:
        assert route.name not in EXAMPLES or EXAMPLES[route.name].request is None


@each(DESCRIBED)
def test_what_it_answers_is_of_the_answers_schema(route: Route) -> None:
    answers = [
        media for answer in operation_of(route)["responses"].values() for media in answer.get("content", {}).items()
    ]
    shown = [media for name, media in answers if name == "application/json"]
    assert shown
    for media in shown:
        assert accepts(DOCUMENT, media["schema"], media["example"])


@each(DESCRIBED)
async def test_the_service_answers_as_the_example_says(route: Route, platform: Api, database: Database) -> None:
    story = Story(platform)
    await story.begin(until=route.name)
    if route.where is UsageFilter:
        execute(database.admin_url, USED, story.said["acme"], story.said[KEY_ID])
    if route.name in ("enrol_at_sign_in", "answer_challenge"):
        await story.be_challenged()
    if route.name in FIRST:
        await story.send(one(FIRST[route.name]))
    real = (await story.send(route)).json()
    if "next" in real:
        real["items"].sort(key=lambda item: str(item.get("name")))
    assert same(json.loads(story.told(json.dumps(EXAMPLES[route.name].answer))), real), real


def test_a_public_operation_needs_no_key() -> None:
    oauth = ["get_token", "revoke_token", "get_metadata", "get_public_keys"]
    assert [route.name for route in DESCRIBED if route.scope == PUBLIC] == [
        *(
            "sign_in",
            "answer_challenge",
            "enrol_at_sign_in",
            "accept_invitation",
            "report_leak",
            *oauth,
            "healthz",
            "readyz",
        ),
    ]
