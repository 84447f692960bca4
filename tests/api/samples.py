"""For every route of the API a request that it should answer well: the tests of the whole table are made from these."""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_hex
from typing import Any

import httpx2
import pytest

from identity.api import ROUTES
from identity.api.routes import ANY_KEY, PUBLIC, Route
from identity.key_text import compose, new_secret
from identity.token_text import new_token
from tests.conftest import PASSWORD, Api, Organisation

GUARDED = [route for route in ROUTES if route.scope != PUBLIC]
SCOPED = [route for route in GUARDED if route.scope != ANY_KEY]
OF_A_TENANT = [route for route in GUARDED if "tenant_id" in route.params]
WITH_BODY = [route for route in ROUTES if route.takes is not None and not route.form]
FORMS = [route for route in ROUTES if route.form]
QUERIED = [route for route in ROUTES if route.where is not None]
LISTS = [route for route in QUERIED if route.is_list]

REFUSED_AS_IT_IS = {f"purge_{noun}": 409 for noun in ("tenant", "app", "branch", "user")} | {
    "top_up_key": 409,
    "confirm_factor": 403,
}
"""What lives cannot be purged, what takes no credits is not topped up, and nobody guesses a code."""

ADDRESS = {"street": "Gran Vía 1", "city": "Madrid", "country": "ES", "latitude": 40.42, "longitude": -3.7}
OTHER_PASSWORD = "seven blue kites over Ghent"
NOBODYS_RESET = new_token("irs", "000000")
NOBODYS_CHALLENGE = new_token("imt", "000000")
NOBODYS_INVITATION = new_token("iit", "000000")
NOBODYS_KEY = compose("isk", "live", "0" * 22, new_secret())
BRANCH = {"code": "MAD", "name": "Madrid", "type": "store", "address": ADDRESS, "contact": {"email": "mad@example.com"}}
LIMITS = {
    "rate_limits": [{"name": "minute", "limit": 60, "window_s": 60}],
    "allowed_ips": ["192.0.2.0/24", "2001:db8::1"],
    "allowed_routes": [{"methods": ["GET"], "path": "/orders/*"}, {"path": "/stock/**"}],
}


def path_of(route: Route, org: Organisation, **other: str) -> str:
    """The route's path with the ids of this organisation, but for those given."""
    ids = {"tenant_id": org.id, "app_id": "shop", "branch_id": "mad", "user_id": "ana", "key_id": org.key.id}
    ids |= {"session_id": org.signed_in.session.session_id, "factor_id": org.factor_id}
    ids |= {"invitation_id": org.invitation.id}
    return route.path.format(**ids | other)


def bodies(org: Organisation) -> dict[str, dict[str, Any]]:
    """By the route's name. A new tenant's id begins as the organisation's does, so that its rows are found with it."""
    return {
        "create_a_tenant": {"id": f"{org.id}-new", "name": "New", "db_dsn": "host=db.example.com", "db_schema": "new"},
        "put_tenant": {"name": "Acme", "settings": {"timezone": "Europe/Madrid"}, "metadata": {"plan": "gold"}},
        "update_tenant": {"name": "Acme", "settings": {"require_mfa": True}, "metadata": {"plan": None}},
        "create_app": {"id": "desk", "name": "Desk", "type": "desktop", "settings": {"key_prefix": "desk"}},
        "put_app": {"name": "Shop", "type": "api", "settings": {"features": {"returns": True}}, "metadata": {"n": 1}},
        "update_app": {"name": "Shop", "type": "web", "settings": {"access_token_s": None}, "metadata": {"n": 1.5}},
        "create_branch": {**BRANCH, "code": "BCN", "settings": {"business_hours": {"mon": [["09:00", "24:00"]]}}},
        "put_branch": BRANCH,
        "update_branch": {"address": {"city": None}, "contact": {"phone": "+34 1"}, "settings": {"currency": "EUR"}},
        "create_user": {"username": "Bob", "email": "bob@example.com", "full_name": "Bob", "metadata": {"a": [1, {}]}},
        "put_user": {"username": "Ana", "email": None},
        "update_user": {"username": "ana", "email": "ana@example.com", "full_name": None},
        "grant_access": {"scopes": ["orders:read"]},
        "put_password": {"password": OTHER_PASSWORD},
        "change_password": {"old_password": PASSWORD, "password": OTHER_PASSWORD},
        "reset_password": {"by_email": True},
        "redeem_reset": {"token": NOBODYS_RESET, "password": OTHER_PASSWORD},
        "sign_in": {"login": "ana", "password": PASSWORD, "app_id": "shop", "scope": "orders:read"},
        "confirm_factor": {"totp": "000000"},
        "remove_factor": {},
        "answer_challenge": {"mfa_token": NOBODYS_CHALLENGE, "totp": "000000"},
        "enrol_at_sign_in": {"mfa_token": NOBODYS_CHALLENGE},
        "create_invitation": {"email": "cy@example.com", "app_ids": ["shop"], "scopes": ["orders:read"]},
        "resend_invitation": {"expires_in_s": 3600},
        "accept_invitation": {"token": NOBODYS_INVITATION, "username": "cy", "password": OTHER_PASSWORD},
        "accept_as_user": {"token": org.invitation.token},
        "issue_key": {
            "name": "till-7",
            "branch_id": "mad",
            "user_id": "ana",
            "expires_at": "2099-01-01T00:00:00Z",
            **LIMITS,
            "credits": {"remaining": 10, "refill_amount": 5, "refill_interval_s": 60},
        },
        "update_key": {
            "name": "till-8",
            "scopes": ["orders:read"],
            "metadata": {"till": 8},
            "expires_at": None,
            **LIMITS,
            "credits": {"remaining": 20},
        },
        "top_up_key": {"add": 5},
        "rotate_key": {"grace_s": 60},
        "revoke_key": {"reason": "left the company"},
        "import_keys": {"keys": [{"name": "till-1", "hash": token_hex(32), "algorithm": "sha256-hex"}]},
        "report_leak": {"key": NOBODYS_KEY, "source": "code search", "url": "https://code.example.com/till.py"},
        "verify_keys": {"keys": [{"key": org.key.key, "scopes": ["orders:read"]}, {"key": "none"}]},
        "verify_key": {"key": org.key.key, "scopes": ["orders:read"], "app_id": "shop", "branch_id": "mad"},
    }


def forms(org: Organisation) -> dict[str, dict[str, str]]:
    """Of routes that take a form."""
    client = {"client_id": f"{org.id}/identity", "client_secret": org.admin_key.key}
    return {
        "get_token": {"grant_type": "client_credentials", "scope": "users:read keys:verify", **client},
        "introspect": {"token": org.key.key, "token_type_hint": "access_token"},
        "revoke_token": {"token": "none", **client},
    }


def status_of(route: Route) -> int:
    return REFUSED_AS_IT_IS.get(route.name, route.status)


async def send(caller: Api, route: Route, org: Organisation, path: str | None = None, **more: Any) -> httpx2.Response:
    """The route's sample; other paths, bodies and headers where they are given."""
    if route.takes is not None and not {"json", "data", "content"} & more.keys():
        more |= {"data": forms(org)[route.name]} if route.form else {"json": bodies(org)[route.name]}
    return await caller(route.method, path or path_of(route, org), **more)


def each(routes: Iterable[Route]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", routes, ids=lambda route: route.name)


def one(name: str) -> Route:
    return next(route for route in ROUTES if route.name == name)
