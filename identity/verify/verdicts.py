"""What is asked of a key, and what is answered."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from identity.fields import Metadata, Scopes


class Verification(BaseModel):
    """What is asked of a key. Its text may be any string: that it is none of ours is an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    scopes: Scopes = ()
    """All of these."""
    app_id: str | None = None
    branch_id: str | None = None
    environment: str | None = None
    ip: str | None = None


class Verdict(BaseModel):
    """Whether it is good, the first link of the chain that fails, and whose it is. Of a key that is not known, or
    whose secret is wrong, nothing else is told."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    code: str
    tenant_id: str | None = None
    app_id: str | None = None
    branch_id: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    name: str | None = None
    type: str | None = None
    environment: str | None = None
    scopes: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    expires_at: datetime | None = None

    def but(self, code: str) -> Verdict:
        return self.model_copy(update={"valid": False, "code": code})


MALFORMED = Verdict(valid=False, code="malformed")
NOT_FOUND = Verdict(valid=False, code="not_found")


def covers(granted: tuple[str, ...], scope: str) -> bool:
    """Exactly, or by a granted `*` or `orders:*`. (The database's identity.covers is the same rule.)"""
    return any(each in ("*", scope) or (each.endswith(":*") and scope.startswith(each[:-1])) for each in granted)


def for_this(verdict: Verdict, asked: Verification) -> Verdict:
    if asked.environment not in (None, verdict.environment):
        return verdict.but("wrong_environment")
    if asked.app_id not in (None, verdict.app_id):
        return verdict.but("wrong_app")
    if asked.branch_id is not None and verdict.branch_id not in (None, asked.branch_id):
        return verdict.but("wrong_branch")
    if not all(covers(verdict.scopes or (), scope) for scope in asked.scopes):
        return verdict.but("insufficient_scope")
    return verdict
