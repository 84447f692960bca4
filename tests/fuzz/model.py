"""The service as it should be, in plain Python: what there is, and what verdicts follow."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Fields = dict[str, Any]

PAST = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
"""Not so long ago that a key which expired then would be swept away meanwhile."""
FUTURE = "2100-01-01T00:00:00Z"


class _Something:
    """Equal to whatever is there: an instant that the service chooses."""

    def __eq__(self, other: object) -> bool:
        return other is not None

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "something"


SOME = _Something()


class Refused(Exception):
    """What the service should answer instead of doing it; where several things are wrong, any of them."""

    def __init__(self, status: int, *codes: str) -> None:
        super().__init__(f"{status} {' or '.join(sorted(codes))}")
        self.status = status
        self.codes = codes


@dataclass
class Record:
    """One thing: its fields as a reader should see them, and the ETags by which it was known."""

    fields: Fields
    etag: str | None = None
    former_etags: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.fields["id"])

    @property
    def is_deleted(self) -> bool:
        return self.fields.get("deleted_at") is not None

    @property
    def status(self) -> str:
        return str(self.fields["status"])

    def known_by(self, etag: str | None) -> None:
        if self.etag is not None and self.etag != etag:
            self.former_etags.append(self.etag)
        self.etag = etag

    def agrees_with(self, shown: Fields) -> bool:
        """Settings show their defaults too, of which only some are known here."""
        settings = self.fields.get("settings", {})
        return all(shown[name] == value for name, value in self.fields.items() if name != "settings") and all(
            shown["settings"][name] == value for name, value in settings.items()
        )


@dataclass(eq=False)
class Session:
    """Somebody who signed in, and all that they were given by it, the latest last."""

    id: str
    tenant_id: str
    app_id: str
    user_id: str
    refresh_tokens: list[str]
    access_tokens: list[str]
    refreshed_at_s: float = 0.0

    def successors(self, refresh_token: str) -> list[str]:
        return self.refresh_tokens[self.refresh_tokens.index(refresh_token) + 1 :]


@dataclass
class App(Record):
    branches: dict[str, Record] = field(default_factory=dict)
    access: dict[str, Record] = field(default_factory=dict)
    """By user, granted or revoked."""
    sessions: dict[str, Session] = field(default_factory=dict)
    """Those that have not ended."""


@dataclass
class Key(Record):
    text: str = ""

    @property
    def tenant_id(self) -> str:
        return str(self.fields["tenant_id"])

    @property
    def app_id(self) -> str:
        return str(self.fields["app_id"])

    @property
    def scopes(self) -> list[str]:
        return list(self.fields["scopes"])

    @property
    def is_live(self) -> bool:
        fields = self.fields
        return fields["revoked_at"] is None and fields["disabled_at"] is None and not has_passed(fields["expires_at"])


@dataclass
class Failures:
    """In a row, of one user, by one who has a credential or by one who has none."""

    n: int
    failed_at_s: float
    paused_until_s: float

    @property
    def last_s(self) -> float:
        return max(self.failed_at_s, self.paused_until_s)


@dataclass
class Tenant(Record):
    apps: dict[str, App] = field(default_factory=dict)
    users: dict[str, Record] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    """By user, as are resets."""
    resets: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Failures] = field(default_factory=dict)
    """By user, and by user with a credential."""
    skipped_s: float = 0.0

    @property
    def now_s(self) -> float:
        """With the time that was skipped here."""
        return time.monotonic() + self.skipped_s

    def quota(self, plural: str) -> int | None:
        limit: int | None = self.fields["settings"][f"max_{plural}"]
        return limit


@dataclass
class World:
    """All tenants, tombstones too, and every key that was ever issued, with who it was that held it."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    issued: list[Key] = field(default_factory=list)

    def verdict(self, key: Key, asked: Mapping[str, Any]) -> str:
        """The first link of the chain that fails."""
        tenant = self.tenants.get(key.tenant_id)
        if tenant is None or tenant.keys.get(key.id) is not key:
            return "not_found"
        links = (*_chain(tenant, key), *_asked(key, asked))
        return next((code for code, fails in links if fails), "valid")


def _chain(tenant: Tenant, key: Key) -> Iterable[tuple[str, bool]]:
    app, fields = tenant.apps[key.app_id], key.fields
    yield "revoked", fields["revoked_at"] is not None
    yield "disabled", fields["disabled_at"] is not None
    yield "expired", has_passed(fields["expires_at"])
    yield "tenant_deleted", tenant.is_deleted
    yield "tenant_suspended", tenant.status == "suspended"
    yield "app_deleted", app.is_deleted
    yield "app_disabled", app.status == "disabled"
    if fields["branch_id"]:
        branch = app.branches[fields["branch_id"]]
        yield "branch_deleted", branch.is_deleted
        yield "branch_disabled", branch.status == "disabled"
    if fields["user_id"]:
        user, access = tenant.users[fields["user_id"]], app.access.get(fields["user_id"])
        yield "user_deleted", user.is_deleted
        yield "user_suspended", user.status == "suspended"
        yield "user_locked", user.status == "locked"
        yield "access_revoked", access is None or access.status == "revoked"


def _asked(key: Key, asked: Mapping[str, Any]) -> Iterable[tuple[str, bool]]:
    yield "wrong_environment", asked.get("environment") not in (None, key.fields["environment"])
    yield "wrong_app", asked.get("app_id") not in (None, key.app_id)
    yield (
        "wrong_branch",
        key.fields["branch_id"] is not None
        and asked.get("branch_id")
        not in (
            None,
            key.fields["branch_id"],
        ),
    )
    yield "insufficient_scope", not all(covered(key.scopes, scope) for scope in asked.get("scopes", ()))


def has_passed(at: str | None) -> bool:
    return at is not None and datetime.fromisoformat(at) <= datetime.now(UTC)


def covered(granted: Iterable[str], scope: str) -> bool:
    return any(each in ("*", scope) or (each.endswith(":*") and scope.startswith(each[:-1])) for each in granted)


def may_manage(held: Iterable[str], scope: str) -> bool:
    """Write includes read, and all apps one."""
    return bool({"*", scope, scope.replace(":read", ":write"), scope.partition("/")[0]} & set(held))


def living(records: Mapping[str, Record], id: str) -> Record | None:
    found = records.get(id)
    return None if found is None or found.is_deleted else found


def folded(text: str) -> str:
    """In whichever spelling."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def merged(target: Fields, patch: Fields | None) -> Fields:
    """RFC 7396, for an object that null empties."""
    if patch is None:
        return {}
    result = dict(target)
    for name, each in patch.items():
        result.pop(name, None)
        if isinstance(each, dict):
            below = target.get(name)
            result[name] = merged(below if isinstance(below, dict) else {}, each)
        elif each is not None:
            result[name] = each
    return result
