"""Stores: all of them over a pool or over one transaction; and what needs two nouns at once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from identity.app_keys import AppKeyStore, IssuedKey, NewAppKey
from identity.apps import IDENTITY, AppSettings, AppStore
from identity.branches import BranchStore
from identity.db import Pool, PoolSession, Scope, Session, check_login, checkout, open_pool
from identity.errors import Conflict, StartError, Unavailable
from identity.factors import FactorStore
from identity.idempotency import IdempotencyStore
from identity.invitations import InvitationStore
from identity.key_credits import KeyCredits
from identity.key_imports import KeyImports
from identity.key_leaks import KeyLeakStore
from identity.key_rotations import KeyRotations
from identity.key_text import REF_CHARS, KeyText
from identity.key_usage import KeyUsageStore
from identity.passwords import PasswordStore
from identity.sessions import Lifetimes, SessionStore
from identity.settings import Settings
from identity.sign_in_challenges import ChallengeStore
from identity.sign_ins import SignInStore
from identity.signing_keys import SigningKeyStore
from identity.tenants import PLATFORM, NewTenant, Tenant, TenantSettings, TenantStore
from identity.user_apps import UserAppStore
from identity.users import UserStore

log = logging.getLogger("identity")

LIFETIMES = Lifetimes(
    idle_s=TenantSettings().session_idle_s,
    absolute_s=TenantSettings().session_absolute_s,
    access_token_s=AppSettings().access_token_s,
    refresh_token_s=AppSettings().refresh_token_s,
)
"""How long sessions and tokens live where neither tenant nor app says so."""


class Stores:
    """All stores over one session: a pool, or the transaction that `transaction()` opens."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.tenants = TenantStore(session)
        self.apps = AppStore(session)
        self.branches = BranchStore(session)
        self.users = UserStore(session)
        self.user_apps = UserAppStore(session)
        self.app_keys = AppKeyStore(session)
        self.key_rotations = KeyRotations(session)
        self.key_credits = KeyCredits(session)
        self.key_imports = KeyImports(session)
        self.key_leaks = KeyLeakStore(session)
        self.key_usage = KeyUsageStore(session)
        self.idempotency = IdempotencyStore(session)
        self.signing_keys = SigningKeyStore(session)
        self.passwords = PasswordStore(session)
        self.sessions = SessionStore(session)
        self.sign_ins = SignInStore(session)
        self.factors = FactorStore(session)
        self.challenges = ChallengeStore(session)
        self.invitations = InvitationStore(session)

    def acting_as(self, scope: Scope) -> Stores:
        """The same stores for one caller, whom the database is told with each statement."""
        return Stores(self.session.acting_as(scope))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Stores]:
        """All or nothing; inside a transaction, a savepoint. Over the pool nothing of it is tried again."""
        async with self.session.transaction() as session:
            yield Stores(session)


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores over a pool of their own. StartError where the login could step over row-level security."""
    async with open_service_pool(settings) as pool:
        try:
            async with checkout(pool) as connection:
                warning = await check_login(connection, single_login=settings.single_login)
        except Unavailable:
            raise StartError(
                "The database does not answer: check that it runs and that IDENTITY_DATABASE_URL names it."
            ) from None
        if warning:
            log.warning(warning)
        yield Stores(PoolSession(pool, settings.statement_timeout_s))


@asynccontextmanager
async def open_service_pool(settings: Settings) -> AsyncIterator[Pool]:
    async with open_pool(
        settings.main_url,
        min_size=settings.pool_min,
        max_size=settings.pool_max,
        checkout_timeout_s=settings.checkout_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
        lock_timeout_s=settings.lock_timeout_s,
        idle_timeout_s=settings.idle_in_transaction_timeout_s,
    ) as pool:
        yield pool


async def create_tenant(stores: Stores, new: NewTenant, *, admin_key: bool = False) -> tuple[Tenant, IssuedKey | None]:
    """A tenant with its app `identity` and, if asked, a first key of it that may do everything there."""
    async with stores.transaction() as tx:
        tenant = await tx.tenants.create(new)
        key = await issue_admin_key(tx, tenant.id) if admin_key else None
    return tenant, key


async def issue_admin_key(stores: Stores, tenant_id: str) -> IssuedKey:
    return await stores.app_keys.issue(tenant_id, IDENTITY, NewAppKey(name="admin", scopes=("*",)))


async def report_leak(stores: Stores, key: KeyText, source: str, url: str | None) -> None:
    """Whichever tenant's it is. The same statements where there is none such: the time does not tell either."""
    tenant_id = await stores.tenants.find_by_ref(key.id[:REF_CHARS])
    await stores.key_leaks.report(tenant_id or "", key, source, url)


async def create_platform(stores: Stores) -> IssuedKey | None:
    """The tenant of those who operate all others, with its first key; None where it is there already."""
    try:
        _, key = await create_tenant(stores, NewTenant(id=PLATFORM, name="Platform"), admin_key=True)
    except Conflict:
        return None
    return key
