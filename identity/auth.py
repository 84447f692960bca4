"""Who is calling, and may they: an ordered list of methods, the scopes over this service, and the rule of rank."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from identity.apps import IDENTITY
from identity.errors import Forbidden, NotFound, Unauthenticated
from identity.sessions import LiveSession, SessionStore
from identity.stores import LIFETIMES, Stores
from identity.tenants import PLATFORM
from identity.tokens import Claims, Tokens
from identity.verify import Known, Usage, Verifier, look_up_id
from identity.verify import covers as covers_business

NOUNS = ("tenants", "apps", "branches", "users", "keys", "audit")
SCOPES = (
    "*",
    *(f"{noun}:{verb}" for noun in NOUNS for verb in ("read", "write")),
    "keys:verify",
    "scim:write",
)
"""What keys of the app `identity` may carry, besides keys:verify/{app_id}."""
VERIFY_APP = "keys:verify/"
AT_THE_MACHINE = "cli"
"""How the names begin under which somebody at the machine acts."""


class Principal(NamedTuple):
    """Who calls: a key, and what it may do here. Keys of other apps manage nothing, whatever they say."""

    tenant_id: str
    app_id: str
    key_id: str | None
    scopes: tuple[str, ...]
    known: Known | None
    actor: str
    user_id: str | None = None
    """Whose access token it is; of a key none, whoever owns it."""
    claims: Claims | None = None
    """What it says, where it calls with an access token."""

    @property
    def is_platform(self) -> bool:
        return self.tenant_id == PLATFORM and self.app_id == IDENTITY

    def may(self, scope: str) -> bool:
        return any(covers(granted, scope) for granted in self.scopes)

    def is_user(self, tenant_id: str, user_id: str) -> bool:
        """Whether it is they themselves who call. An id is a tenant's: the platform's own users may share it."""
        return (self.tenant_id, self.user_id) == (tenant_id, user_id)

    def may_verify(self, known: Known) -> bool:
        """Whether that key is this caller's to see."""
        return self.may_see(known.tenant_id, known.app_id)

    def may_see(self, tenant_id: str, app_id: str) -> bool:
        """Whether keys and tokens of that app are this caller's to see."""
        if not self.is_platform and tenant_id != self.tenant_id:
            return False
        return self.verifies is None or app_id in self.verifies

    @property
    def verifies(self) -> frozenset[str] | None:
        """The apps whose keys it may verify; None: all."""
        return _verifies(self.scopes)

    @property
    def may_verify_some(self) -> bool:
        return _verifies(self.scopes) != frozenset()


@lru_cache(10_000)
def _verifies(scopes: tuple[str, ...]) -> frozenset[str] | None:
    """Remembered, since it is asked at each verification."""
    if any(covers(granted, "keys:verify") for granted in scopes):
        return None
    return frozenset(scope.removeprefix(VERIFY_APP) for scope in scopes if scope.startswith(VERIFY_APP))


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


def by_access_token(tokens: Tokens, verifier: Verifier, sessions: SessionStore) -> Method:
    """A token for the app `identity`. Its signature says who got it; what they may now, the database."""

    async def method(credential: str) -> Principal | None:
        claims = await tokens.read(credential, app_id=IDENTITY)
        if claims is None:
            return None
        if claims.user_id is not None:
            return _of_person(claims, await session_of(claims, sessions))
        known = await key_of(claims, verifier)
        if known is not None and known.code != "valid":
            raise Unauthenticated(known.code, f"This token's key is not good: {known.code.replace('_', ' ')}.")
        return None if known is None else _of_key(claims, known)

    return method


def _of_person(claims: Claims, live: LiveSession | None) -> Principal | None:
    if live is None:
        return None
    scopes, actor = held(claims.scopes, live.app_id, live.scopes), f"user:{live.user_id}"
    return Principal(live.tenant_id, live.app_id, None, scopes, None, actor, live.user_id, claims)


def _of_key(claims: Claims, known: Known) -> Principal:
    scopes, actor = held(claims.scopes, known.app_id, known.scopes), f"key:{known.key_id}"
    return Principal(known.tenant_id, known.app_id, known.key_id, scopes, known, actor, None, claims)


async def key_of(claims: Claims, verifier: Verifier) -> Known | None:
    """The key that got this token, as it is now; None where there is none, or none any more."""
    if claims.key_id is None:
        return None
    known = await look_up_id(verifier, claims.key_id)
    is_its = (known.tenant_id, known.app_id) == (claims.tenant_id, claims.app_id)
    return known if known.key_id and is_its else None


async def session_of(claims: Claims, sessions: SessionStore) -> LiveSession | None:
    """The session in which somebody got this token; None where it has ended, or they may not go on with it."""
    if claims.sid is None:
        return None
    live = await sessions.find_live(claims.tenant_id, claims.sid, LIFETIMES)
    if live is None or (live.app_id, live.user_id) != (claims.app_id, claims.user_id):
        return None
    return live


def held(scopes: tuple[str, ...], app_id: str, granted: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are granted now: what a token says was so when it was made."""
    if app_id == IDENTITY:
        return tuple(scope for scope in scopes if any(covers(each, scope) for each in granted))
    return tuple(scope for scope in scopes if covers_business(granted, scope))


async def scopes_of(actor: str, tenant_id: str, verifier: Verifier, stores: Stores) -> tuple[str, ...]:
    """What whoever acted under that name holds over this service now: nothing where they are not, or not awake."""
    kind, _, id = actor.partition(":")
    if kind == "key":
        known = await look_up_id(verifier, id)
        return known.scopes if known.code == "valid" and known.app_id == IDENTITY else ()
    if kind == "user" and await stores.user_apps.has_access(tenant_id, IDENTITY, id):
        access = await stores.user_apps.find(tenant_id, IDENTITY, id)
        return access.scopes if access else ()
    return ("*",) if kind == AT_THE_MACHINE else ()


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


def outranks(granted: Sequence[str], scopes: Iterable[str]) -> bool:
    """Whether these management scopes cover all of those."""
    return all(any(covers(each, scope) for each in granted) for scope in scopes)


def must_outrank(principal: Principal, scopes: Iterable[str]) -> None:
    """The rule of rank: whoever makes, changes, enables or receives a key of `identity` must hold all that it may do,
    or a key that may issue keys could issue itself everything."""
    missing = [scope for scope in scopes if not principal.may(scope)]
    if missing:
        raise Forbidden("insufficient_rank", f"You do not hold {', '.join(missing)} yourself.")
