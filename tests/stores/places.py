"""The nouns as one table: how to make one of each, how to change it, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from identity.app_keys import AppKeyChanges, NewAppKey
from identity.apps import AppChanges, NewApp
from identity.branches import BranchChanges, NewBranch
from identity.errors import IdentityError
from identity.fields import Changes, Given
from identity.invitations import NewInvitation
from identity.stores import Stores
from identity.tenants import NewTenant, TenantChanges
from identity.users import NewUser, UserChanges


@dataclass(frozen=True)
class Noun:
    """What tells one store from another, so that one suite can speak of all."""

    store: str
    error: str
    """Names its errors: user_not_found."""
    keys_above: int
    """How many keys come before its id: tenant, app."""
    new: type[Given] = Given
    given: Callable[[str], dict[str, Any]] = lambda _: {}
    """The least that makes one of this name."""
    changes: type[Changes] = Changes
    change: dict[str, Any] = field(default_factory=dict)
    wrong: Callable[[str], dict[str, Any]] = lambda _: {}
    """What is refused where there is another of this name."""
    wrong_code: str = ""
    key: str = "id"
    verbs: dict[str, str] = field(default_factory=dict)
    of_tenant: frozenset[str] = frozenset()
    """Verbs that want the tenant alone."""


@dataclass(frozen=True)
class Place:
    """A noun's store in one organisation: its verbs, with all that comes before an id filled in."""

    noun: Noun
    stores: Stores
    org: str

    def name(self, short: str) -> str:
        return f"{self.org}-{short}"

    def new(self, short: str, **more: Any) -> Any:
        return self.noun.new.model_validate(self.noun.given(self.name(short)) | more)

    def wrong(self, short: str) -> dict[str, Any]:
        return self.noun.wrong(self.name(short))

    def changes(self, **given: Any) -> Any:
        return self.noun.changes.model_validate(given)

    def id(self, row: Any) -> str:
        id: str = getattr(row, self.noun.key)
        return id

    async def make(self, short: str, **more: Any) -> Any:
        if self.noun.store == "user_apps":
            await self.stores.users.create(self.org, NewUser(id=self.name(short), username=self.name(short)))
            row, _ = await self.stores.user_apps.grant(self.org, "shop", self.name(short))
            return row
        return await self.create(self.new(short, **more))

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        above = (self.org, "shop")[: 1 if verb in self.noun.of_tenant else self.noun.keys_above]
        return partial(getattr(getattr(self.stores, self.noun.store), self.noun.verbs.get(verb, verb)), *above)


@asynccontextmanager
async def refused(
    stores: Stores, error: type[IdentityError], code: str, ordinal: int | None = None
) -> AsyncIterator[None]:
    """What is inside fails so; and inside a transaction what came before it stays."""
    with pytest.raises(error) as caught:
        async with stores.session.savepoint():
            yield
    assert caught.value.code == code
    assert ordinal is None or caught.value.ordinal == ordinal


@asynccontextmanager
async def undone(stores: Stores) -> AsyncIterator[Stores]:
    """A transaction that fails at its end."""
    with suppress(LookupError):
        async with stores.transaction() as tx:
            yield tx
            raise LookupError


TENANTS = Noun(
    store="tenants",
    error="tenant",
    keys_above=0,
    new=NewTenant,
    given=lambda name: {"id": name, "name": name, "domain": f"{name}.example.com"},
    changes=TenantChanges,
    change={"name": "Another name"},
    wrong=lambda name: {"domain": f"{name}.example.com"},
    wrong_code="domain_taken",
)
APPS = Noun(
    store="apps",
    error="app",
    keys_above=1,
    new=NewApp,
    given=lambda name: {"id": name, "name": name, "type": "api"},
    changes=AppChanges,
    change={"type": "mobile"},
    wrong=lambda name: {"name": name},
    wrong_code="app_name_taken",
)
BRANCHES = Noun(
    store="branches",
    error="branch",
    keys_above=2,
    new=NewBranch,
    given=lambda name: {"id": name, "code": name.upper(), "name": name, "type": "store"},
    changes=BranchChanges,
    change={"name": "Another name"},
    wrong=lambda name: {"code": name.upper()},
    wrong_code="branch_code_taken",
)
USERS = Noun(
    store="users",
    error="user",
    keys_above=1,
    new=NewUser,
    given=lambda name: {"id": name, "username": name, "email": f"{name}@example.com"},
    changes=UserChanges,
    change={"full_name": "Another name"},
    wrong=lambda name: {"username": name.upper()},
    wrong_code="username_taken",
)
APP_KEYS = Noun(
    store="app_keys",
    error="key",
    keys_above=2,
    new=NewAppKey,
    given=lambda name: {"name": name, "type": "public", "scopes": ("orders:read",)},
    changes=AppKeyChanges,
    change={"name": "Another name"},
    wrong=lambda _: {"scopes": ("*",)},
    wrong_code="public_key_too_broad",
    verbs={"create": "issue", "create_many": "issue_many"},
    of_tenant=frozenset({"get_many", "list"}),
)
INVITATIONS = Noun(
    store="invitations",
    error="invitation",
    keys_above=1,
    new=NewInvitation,
    given=lambda name: {"email": f"{name}@example.com", "app_ids": ("shop",)},
)
USER_APPS = Noun(
    store="user_apps",
    error="access",
    keys_above=2,
    key="user_id",
    verbs={"list": "list_of_app"},
)


def places(*nouns: Noun) -> pytest.MarkDecorator:
    """Once for each noun, over a pool and inside a transaction."""
    return pytest.mark.parametrize("here", nouns, indirect=True, ids=[noun.store for noun in nouns])


WITH_TOMBSTONES = (TENANTS, APPS, BRANCHES, USERS)
WITH_CHANGES = (*WITH_TOMBSTONES, APP_KEYS)
EVERY = (*WITH_CHANGES, USER_APPS, INVITATIONS)
