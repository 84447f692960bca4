"""Who is calling, and may they: an ordered list of methods, the scopes over this service, and the rule of rank."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from identity.apps import IDENTITY
from identity.errors import Forbidden, NotFound, Unauthenticated
from identity.tenants import PLATFORM
from identity.verify import Known, Usage, Verifier

NOUNS = ("tenants", "apps", "branches", "users", "keys", "audit")
SCOPES = (
    "*",
    *(f"{noun}:{verb}" for noun in NOUNS for verb in ("read", "write")),
    "keys:verify",
    "scim:write",
)
"""What keys of the app `identity` may carry, besides keys:verify/{app_id}."""
VERIFY_APP = "keys:verify/"


@dataclass(frozen=True)
class Principal:
    """Who calls: a key, and what it may do here. Keys of other apps manage nothing, whatever they say."""

    tenant_id: str
    app_id: str
    key_id: str | None
    scopes: tuple[str, ...]
    known: Known | None
    actor: str
    user_id: str | None = None
    """Whose access token it is; of a key none, whoever owns it."""

    @property
    def is_platform(self) -> bool:
        return self.tenant_id == PLATFORM and self.app_id == IDENTITY

    def may(self, scope: str) -> bool:
        return any(covers(granted, scope) for granted in self.scopes)

    def may_verify(self, known: Known) -> bool:
        """Whether that key is this caller's to see."""
        if not self.is_platform and known.tenant_id != self.tenant_id:
            return False
        return self.verifies is None or known.app_id in self.verifies

    @cached_property
    def verifies(self) -> frozenset[str] | None:
        """The apps whose keys it may verify; None: all."""
        if self.may("keys:verify"):
            return None
        return frozenset(scope.removeprefix(VERIFY_APP) for scope in self.scopes if scope.startswith(VERIFY_APP))

    @cached_property
    def may_verify_some(self) -> bool:
        return self.verifies is None or bool(self.verifies)


def covers(granted: str, scope: str) -> bool:
    """Whether one management scope includes another: `*` all, write its read, keys:verify that of each app."""
    if granted in ("*", scope):
        return True
    noun, _, verb = granted.partition(":")
    return (verb == "write" and scope == f"{noun}:read") or (
        granted == "keys:verify" and scope.startswith("keys:verify/")
    )


Method = Callable[[str], Awaitable[Principal | None]]
"""Takes the credential: None means it is not of this method's kind, an error that it is, and is not good."""


def by_app_key(verifier: Verifier, usage: Usage) -> Method:
    async def method(credential: str) -> Principal | None:
        known = await verifier.look_up(credential)
        if not known.key_id:
            return None
        if known.code != "valid":
            usage.count(known.tenant_id, known.key_id, known.code)
            raise Unauthenticated(known.code, f"This key is not good: {known.code.replace('_', ' ')}.")
        return whose(known)

    return method


def whose(known: Known) -> Principal:
    """Who calls with a key that is good; made once of what is remembered."""
    if known.caller is None:
        scopes = known.scopes if known.app_id == IDENTITY else ()
        known.caller = Principal(known.tenant_id, known.app_id, known.key_id, scopes, known, f"key:{known.key_id}")
    caller: Principal = known.caller
    return caller


def of_full_rank(actor: str) -> Principal:
    """Somebody at the machine, who has the database's login and so could do it all anyway."""
    return Principal(PLATFORM, IDENTITY, None, ("*",), None, actor)


async def authenticate(authorization: str | None, methods: Sequence[Method]) -> Principal:
    """Unauthenticated where there is no credential, or none of the methods knows it."""
    if authorization is None:
        raise Unauthenticated("invalid_token", "Send a key as Authorization: Bearer KEY.", presented=False)
    match = re.fullmatch(r"bearer +(\S+)", authorization, re.IGNORECASE)
    if match is None:
        raise Unauthenticated("invalid_token", "The Authorization header must be: Bearer KEY.")
    for method in methods:
        principal = await method(match[1])
        if principal is not None:
            return principal
    raise Unauthenticated("invalid_token", "This key is not known.")


def must_address(principal: Principal, tenant_id: str) -> None:
    """Every tenant but one's own looks as if there were none; the platform sees all."""
    if not principal.is_platform and principal.tenant_id != tenant_id:
        raise NotFound("tenant_not_found", "No such tenant.")


def must_hold(principal: Principal, scope: str) -> None:
    if not principal.may(scope):
        raise Forbidden("insufficient_scope", f"This needs a key of the app identity with the scope {scope}.")


def must_be_platform(principal: Principal) -> None:
    if not principal.is_platform:
        raise Forbidden("platform_only", "Only a key of the tenant platform may do this.")


def must_outrank(principal: Principal, scopes: Iterable[str]) -> None:
    """The rule of rank: whoever makes, changes, enables or receives a key of `identity` must hold all that it may do,
    or a key that may issue keys could issue itself everything."""
    missing = [scope for scope in scopes if not principal.may(scope)]
    if missing:
        raise Forbidden("insufficient_rank", f"You do not hold {', '.join(missing)} yourself.")
