"""Tenants, apps, branches and users: how one differs from the others, and where one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.fuzz.callers import Target
from tests.fuzz.model import App, Fields, Refused, Tenant, World, living

Condition = Literal["none", "fresh", "stale", "any", "absent"]
"""No If-Match, the present ETag, one that no longer holds, `*`; or If-None-Match: * instead."""


@dataclass(frozen=True, eq=False, repr=False)
class Noun:
    """How one of them differs from the others."""

    name: str
    plural: str
    defaults: Fields
    settings: Fields
    unique: Mapping[str, str]
    """By field: the code where another has it."""
    moves: Mapping[str, tuple[set[str], str]]
    """By verb: from which statuses to which."""
    not_null: tuple[str, ...]

    def __repr__(self) -> str:
        return self.name.upper()


DISABLING = {"disable": ({"active"}, "disabled"), "enable": ({"disabled"}, "active")}
SUSPENDING = {"suspend": ({"active"}, "suspended"), "activate": ({"suspended"}, "active")}
LOCKING = {
    "suspend": ({"active", "locked"}, "suspended"),
    "lock": ({"active"}, "locked"),
    "unlock": ({"locked"}, "active"),
}

TENANT = Noun(
    "tenant",
    "tenants",
    {"domain": None, "db_schema": None, "metadata": {}},
    {"max_users": None, "max_apps": None, "timezone": "UTC"},
    {"domain": "domain_taken"},
    SUSPENDING,
    ("name",),
)
APP = Noun(
    "app",
    "apps",
    {"metadata": {}},
    {"key_prefix": None, "allowed_scopes": []},
    {"name": "app_name_taken"},
    DISABLING,
    ("name", "type"),
)
BRANCH = Noun(
    "branch",
    "branches",
    {"metadata": {}},
    {"currency": None},
    {"code": "branch_code_taken"},
    DISABLING,
    ("code", "name", "type"),
)
USER = Noun(
    "user",
    "users",
    {"email": None, "full_name": None, "metadata": {}},
    {},
    {"username": "username_taken", "email": "email_taken"},
    SUSPENDING | LOCKING,
    ("username",),
)
NOUNS = (TENANT, APP, BRANCH, USER)


@dataclass(frozen=True)
class Place:
    """Where one of them is, or might be."""

    noun: Noun
    tenant_id: str
    app_id: str
    """Of a branch; else of no meaning."""
    id: str

    @property
    def list_path(self) -> str:
        below = {"tenant": "", "app": "/apps", "branch": f"/apps/{self.app_id}/branches", "user": "/users"}
        path = f"/v1/tenants/{self.tenant_id}{below[self.noun.name]}"
        return "/v1/tenants" if self.noun is TENANT else path

    @property
    def path(self) -> str:
        return f"{self.list_path}/{self.id}"

    def target(self, verb: str, *, platform_only: bool = False, reaches_tombstone: bool = False) -> Target:
        return Target(
            f"{self.noun.plural}:{verb}",
            self.tenant_id,
            self.app_id if self.noun is BRANCH else None,
            platform_only and self.noun is TENANT,
            reaches_tombstone and self.noun is TENANT,
        )

    def siblings(self, world: World) -> Any:
        """Those among which it lies. (Any: each noun's own type of record.)"""
        if self.noun is TENANT:
            return world.tenants
        tenant = world.tenants.get(self.tenant_id, Tenant({}))
        if self.noun is BRANCH:
            return tenant.apps.get(self.app_id, App({})).branches
        return tenant.apps if self.noun is APP else tenant.users

    def find(self, world: World) -> Any:
        return self.siblings(world).get(self.id)

    def get(self, world: World) -> Any:
        """The living record."""
        record = living(self.siblings(world), self.id)
        if record is None:
            raise Refused(404, f"{self.noun.name}_not_found")
        return record
