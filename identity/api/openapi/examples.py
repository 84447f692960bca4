"""An example of each operation: what is sent, and what is answered to it in a tenant `acme` with one of everything.
Each is tested against the service."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel

from identity.api.challenges import SignedInByFactor
from identity.api.health import Health, Readiness
from identity.api.introspection import Introspection
from identity.api.key_leaks import Received
from identity.api.oauth import IssuedToken
from identity.api.sign_in import SignedIn
from identity.api.well_known import Metadata, PublicKey, PublicKeys
from identity.app_keys import AppKey, IssuedKey
from identity.apps import App, AppSettings
from identity.branches import Address, Branch, BranchSettings, Contact
from identity.exports import UserExport
from identity.factors import Confirmed, Enrolled, Factor, FactorsReset
from identity.invitations import Invitation, SentInvitation
from identity.key_imports import ImportVerdict, ImportVerdicts
from identity.key_limits import AllowedRoute, Credits, RateLimit
from identity.key_text import compose
from identity.key_usage import UsageCount, UsageCounts
from identity.leaving import Receipt
from identity.passwords import PasswordChange, Reset
from identity.sessions import Session, SessionsEnded
from identity.tenants import Tenant, TenantSettings
from identity.user_apps import RevokedUserApp, UserApp
from identity.users import LeavingUser, User
from identity.verify import MALFORMED, Verdict, verdict
from identity.verify.verdicts import RateLimitLeft


class Example(NamedTuple):
    """None where nothing is sent, or nothing answered."""

    request: Any
    answer: Any


AT = datetime.fromisoformat("2026-01-05T09:00:00Z")
LATER = datetime.fromisoformat("2026-01-05T09:30:00Z")
REF = "4fR9aK"
KEY_ID, NEXT_KEY_ID, ADMIN_KEY_ID = (
    REF + rest for rest in ("1mQ7xZb3TnW8yLc2", "9sVd5HjE0pGu6CkY", "7rNf2XwB4tMz8QaJ")
)
KEY, NEXT_KEY, ADMIN_KEY = (compose("isk", "live", id, "0" * 43) for id in (KEY_ID, NEXT_KEY_ID, ADMIN_KEY_ID))
KID, PUBLIC_X = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
SESSION_ID = "0198a7c4-3f2e-7b1d-9c5a-6e8f0d2b4a17"
FACTOR_ID = "0198a7c4-5d1b-7e3a-8f60-2c4b6a8d0e19"
INVITATION_ID, BENS_ID = "0198a7c4-6a2f-7c4b-9071-3d5c7b9e1f2a", "0198a7c4-7b3a-7d5c-8182-4e6d8caf203b"
REFRESH_TOKEN, RESET_TOKEN, MFA_TOKEN, INVITATION_TOKEN = (
    f"{kind}_{REF}{'0' * 43}{'1' * 6}" for kind in ("irt", "irs", "imt", "iit")
)
NEXT_INVITATION_TOKEN = f"iit_{REF}{'2' * 43}{'1' * 6}"
TOTP_SECRET, TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "492039"
OTPAUTH = f"otpauth://totp/Acme:ana?secret={TOTP_SECRET}&issuer=Acme"
RECOVERY_CODES = tuple(f"{char * 5}-k3pxp-jbswy-3dpeh" for char in "abcdefghij")
ADDRESS = "192.0.2.7"
PHRASE = "correct horse battery staple"
JWT = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl"
MADE = (
    *(REF, KEY_ID, NEXT_KEY_ID, ADMIN_KEY_ID, f"key:{ADMIN_KEY_ID}", KEY, NEXT_KEY, ADMIN_KEY),
    *(SESSION_ID, REFRESH_TOKEN, RESET_TOKEN, JWT, KID, PUBLIC_X),
    *(INVITATION_ID, BENS_ID, INVITATION_TOKEN, NEXT_INVITATION_TOKEN),
    *(FACTOR_ID, MFA_TOKEN, TOTP_SECRET, OTPAUTH, *RECOVERY_CODES),
)
"""What the service makes up: in each answer another."""

_TIMES: dict[str, Any] = {"created_at": AT, "updated_at": AT}
_SCOPES = ("orders:read", "orders:write")
_ADDRESS = Address(street="Gran Vía 1", city="Madrid", country="ES", latitude=40.42, longitude=-3.7)
_HOURS = {"mon": (("09:00", "14:00"), ("16:00", "20:00"))}

_TENANT = Tenant(
    id="acme",
    ref=REF,
    name="Acme",
    domain="acme.example.com",
    status="active",
    db_dsn=None,
    db_schema=None,
    settings=TenantSettings(timezone="Europe/Madrid"),
    metadata={"plan": "gold"},
    deleted_at=None,
    **_TIMES,
)
_APP = App(
    tenant_id="acme",
    id="shop",
    name="Shop",
    type="web",
    status="active",
    settings=AppSettings(allowed_scopes=("orders:*",)),
    metadata={},
    deleted_at=None,
    **_TIMES,
)
_IDENTITY = _APP.model_copy(update={"id": "identity", "name": "Identity", "type": "service", "settings": AppSettings()})
_BRANCH = Branch(
    tenant_id="acme",
    app_id="shop",
    id="mad",
    code="MAD",
    name="Madrid",
    type="store",
    status="active",
    address=_ADDRESS,
    contact=Contact(email="mad@example.com"),
    settings=BranchSettings.model_validate({"currency": "EUR", "business_hours": _HOURS}),
    metadata={},
    deleted_at=None,
    **_TIMES,
)
_USER = User(
    tenant_id="acme",
    id="ana",
    username="ana",
    email="ana@example.com",
    full_name="Ana García",
    status="active",
    metadata={},
    email_verified_at=None,
    last_login_at=AT,
    deleted_at=None,
    **_TIMES,
)
_ACCESS = UserApp(
    tenant_id="acme",
    app_id="shop",
    user_id="ana",
    status="active",
    scopes=("orders:read",),
    granted_at=AT,
    revoked_at=None,
    **_TIMES,
)
_SESSION = Session(
    tenant_id="acme",
    id=SESSION_ID,
    app_id="shop",
    user_id="ana",
    scopes=("orders:read",),
    address=ADDRESS,
    user_agent="Mozilla/5.0",
    last_used_at=AT,
    expires_at=datetime.fromisoformat("2099-01-01T00:00:00Z"),
    ends_at=datetime.fromisoformat("2099-01-01T00:00:00Z"),
    **_TIMES,
)
_RECEIPT = Receipt(
    sessions_ended=(SESSION_ID,), refresh_tokens_ended=1, keys_stopped=(KEY_ID,), access_stopped=("shop",)
)
_LEAVING = LeavingUser(**dict(_USER), receipt=_RECEIPT)
_FACTOR = Factor(tenant_id="acme", id=FACTOR_ID, user_id="ana", confirmed_at=LATER, recovery_codes_left=10, **_TIMES)
_ENROLLED = Enrolled(
    **_FACTOR.model_dump() | {"confirmed_at": None, "recovery_codes_left": 0}, secret=TOTP_SECRET, otpauth_uri=OTPAUTH
)
_INVITATION = Invitation(
    tenant_id="acme",
    id=INVITATION_ID,
    email="ben@example.com",
    app_ids=("shop",),
    scopes=("orders:read",),
    invited_by=f"key:{ADMIN_KEY_ID}",
    expires_at=datetime.fromisoformat("2026-01-12T09:00:00Z"),
    accepted_at=None,
    accepted_by=None,
    withdrawn_at=None,
    **_TIMES,
)
_SENT, _SENT_AGAIN = (
    SentInvitation(**_INVITATION.model_dump(), token=token) for token in (INVITATION_TOKEN, NEXT_INVITATION_TOKEN)
)
_PASSWORD_CHANGE = PasswordChange(user_id="ana", changed_at=LATER, sessions_ended=1)
_KEY = AppKey(
    tenant_id="acme",
    id=KEY_ID,
    app_id="shop",
    branch_id="mad",
    user_id="ana",
    prefix="isk",
    type="secret",
    environment="live",
    name="till-7",
    scopes=_SCOPES,
    metadata={"till": 7},
    expires_at=datetime.fromisoformat("2099-01-01T00:00:00Z"),
    disabled_at=None,
    revoked_at=None,
    revoke_reason=None,
    algorithm=None,
    prefix_shown=None,
    rotated_from=None,
    credits=Credits(remaining=1000, refill_amount=100, refill_interval_s=3600),
    rate_limits=(RateLimit(name="minute", limit=60, window_s=60),),
    allowed_ips=("192.0.2.0/24",),
    allowed_routes=(AllowedRoute(methods=("GET",), path="/orders/**"),),
    rotated_to=None,
    last_used_at=None,
    leaks=(),
    **_TIMES,
)
_ADMIN_KEY = _KEY.model_copy(
    update={
        "id": ADMIN_KEY_ID,
        "app_id": "identity",
        "branch_id": None,
        "user_id": None,
        "name": "admin",
        "scopes": ("*",),
        "metadata": {},
        "expires_at": None,
        "credits": None,
        "rate_limits": (),
        "allowed_ips": (),
        "allowed_routes": (),
    }
)
_TOLD = set(Verdict.model_fields) - {"credits", "rate_limits"}
_VERDICT = Verdict(
    valid=True,
    code="valid",
    key_id=KEY_ID,
    **_KEY.model_dump(include=_TOLD),
    credits=999,
    rate_limits=(RateLimitLeft(name="minute", limit=60, remaining=59, reset_s=63),),
)
_ADMIN_VERDICT = Verdict(valid=True, code="valid", key_id=ADMIN_KEY_ID, **_ADMIN_KEY.model_dump(include=_TOLD))


def _shown(row: BaseModel, **changed: Any) -> dict[str, Any]:
    return row.model_copy(update=changed).model_dump(mode="json")


def _given(row: BaseModel, *names: str, **more: Any) -> dict[str, Any]:
    """Of a record what somebody gave."""
    return row.model_dump(mode="json", include=set(names), exclude_unset=True) | more


def _page(*rows: BaseModel) -> Example:
    return Example(None, {"items": [_shown(row) for row in rows], "next": None})


def _answered(row: BaseModel, **changed: Any) -> Example:
    return Example(None, _shown(row, **changed))


def _of_life(noun: str, row: BaseModel, *, off: str, off_status: str, on: str) -> dict[str, Example]:
    """The verbs that most nouns have, none of which takes a body."""
    return {
        f"get_{noun}": _answered(row),
        f"delete_{noun}": _answered(row, deleted_at=LATER),
        f"{off}_{noun}": _answered(row, status=off_status),
        f"{on}_{noun}": _answered(row),
        f"restore_{noun}": _answered(row),
    }


_BASE = "http://identity.example.com"
_WANTED = "users:read keys:verify"
_CLIENT = {"client_id": "acme/identity", "client_secret": ADMIN_KEY}
_USAGE = _answered(UsageCounts(items=[UsageCount(at=AT, code="valid", count=1)]))
_ISSUED = IssuedKey(**_KEY.model_dump(), key=KEY)
_ROTATED = _shown(_KEY, id=NEXT_KEY_ID, rotated_from=KEY_ID) | {"key": NEXT_KEY}
_TENANT_GIVEN = _given(_TENANT, "id", "name", "domain", "settings", "metadata")
_APP_GIVEN = _given(_APP, "id", "name", "type", "settings")
_BRANCH_GIVEN = _given(_BRANCH, "id", "code", "name", "type", "address", "contact", "settings")
_USER_GIVEN = _given(_USER, "id", "username", "email", "full_name")
_USE = {"ip": ADDRESS, "method": "GET", "path": "/orders/7"}
_LIMITS = ("credits", "rate_limits", "allowed_ips", "allowed_routes")
_KEY_GIVEN = _given(_KEY, "name", "branch_id", "user_id", "scopes", "metadata", "expires_at", *_LIMITS)


def _without_id(given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "id"} | more


EXAMPLES: dict[str, Example] = {
    **_of_life("tenant", _TENANT, off="suspend", off_status="suspended", on="activate"),
    **_of_life("app", _APP, off="disable", off_status="disabled", on="enable"),
    **_of_life("branch", _BRANCH, off="disable", off_status="disabled", on="enable"),
    **_of_life("user", _USER, off="suspend", off_status="suspended", on="activate"),
    "list_tenants": _page(_TENANT),
    "create_a_tenant": Example(
        _TENANT_GIVEN | {"admin_key": True},
        _shown(_TENANT) | {"admin_key": _shown(_ADMIN_KEY) | {"key": ADMIN_KEY}},
    ),
    "put_tenant": Example(_without_id(_TENANT_GIVEN, name="Acme Inc."), _shown(_TENANT, name="Acme Inc.")),
    "update_tenant": Example(
        {"name": "Acme Inc.", "metadata": {"plan": None, "since": 2026}},
        _shown(_TENANT, name="Acme Inc.", metadata={"since": 2026}),
    ),
    "list_apps": _page(_IDENTITY, _APP),
    "create_app": Example(_APP_GIVEN, _shown(_APP)),
    "put_app": Example(_without_id(_APP_GIVEN, name="Web shop"), _shown(_APP, name="Web shop")),
    "update_app": Example({"name": "Web shop"}, _shown(_APP, name="Web shop")),
    "list_branches": _page(_BRANCH),
    "create_branch": Example(_BRANCH_GIVEN, _shown(_BRANCH)),
    "put_branch": Example(_without_id(_BRANCH_GIVEN, name="Gran Vía"), _shown(_BRANCH, name="Gran Vía")),
    "update_branch": Example(
        {"address": {"street": None}, "metadata": {"floor": 1}},
        _shown(_BRANCH, address=_ADDRESS.model_copy(update={"street": None}), metadata={"floor": 1}),
    ),
    "delete_user": _answered(_LEAVING, deleted_at=LATER),
    "suspend_user": _answered(_LEAVING, status="suspended"),
    "export_user": _answered(
        UserExport(
            exported_at=AT,
            user=_USER,
            password_changed_at=AT,
            failures=None,
            known_failures=None,
            access=(_ACCESS,),
            keys=(_KEY,),
            sessions=(_SESSION,),
            factors=(_FACTOR.model_copy(update={"confirmed_at": None, "recovery_codes_left": 0}),),
            invitations=(),
            usage=(),
        )
    ),
    "list_users": _page(_USER),
    "create_user": Example(_USER_GIVEN, _shown(_USER, last_login_at=None)),
    "put_user": Example(_without_id(_USER_GIVEN, full_name="Ana Ruiz"), _shown(_USER, full_name="Ana Ruiz")),
    "update_user": Example({"full_name": "Ana Ruiz"}, _shown(_USER, full_name="Ana Ruiz")),
    "lock_user": _answered(_USER, status="locked"),
    "unlock_user": _answered(_USER),
    "list_users_of_app": _page(_ACCESS),
    "list_apps_of_user": _page(_ACCESS),
    "get_access": _answered(_ACCESS),
    "grant_access": Example({"scopes": ["orders:read"]}, _shown(_ACCESS)),
    "put_password": Example({"password": PHRASE}, _shown(_PASSWORD_CHANGE, sessions_ended=0)),
    "change_password": Example(
        {"old_password": PHRASE, "password": "seven blue kites over Ghent"}, _shown(_PASSWORD_CHANGE)
    ),
    "reset_password": Example({"by_email": True}, _shown(Reset(user_id="ana", token=RESET_TOKEN, expires_at=LATER))),
    "redeem_reset": Example({"token": RESET_TOKEN, "password": "seven blue kites over Ghent"}, None),
    "sign_in": Example(
        {"login": "ana@example.com", "password": PHRASE, "app_id": "shop", "scope": "orders:read"},
        SignedIn(
            access_token=JWT,
            expires_in=300,
            refresh_token=REFRESH_TOKEN,
            session_id=SESSION_ID,
            scope="orders:read",
        ).model_dump(mode="json"),
    ),
    "list_sessions": _page(_SESSION),
    "get_session": _answered(_SESSION),
    "end_session": _answered(_SESSION),
    "end_sessions": _answered(SessionsEnded(sessions_ended=(SESSION_ID,), refresh_tokens_ended=1)),
    "revoke_access": _answered(RevokedUserApp(**dict(_ACCESS), receipt=_RECEIPT), status="revoked", revoked_at=LATER),
    "list_factors": _page(_FACTOR),
    "get_factor": _answered(_FACTOR),
    "enrol_factor": _answered(_ENROLLED),
    "confirm_factor": Example({"totp": TOTP}, _shown(Confirmed(**_FACTOR.model_dump(), recovery_codes=RECOVERY_CODES))),
    "remove_factor": Example({"totp": TOTP}, _shown(_FACTOR)),
    "reset_factors": _answered(FactorsReset(user_id="ana", factors_removed=1, challenges_ended=0)),
    "enrol_at_sign_in": Example({"mfa_token": MFA_TOKEN}, _shown(_ENROLLED)),
    "answer_challenge": Example(
        {"mfa_token": MFA_TOKEN, "totp": TOTP},
        SignedInByFactor(
            access_token=JWT,
            expires_in=300,
            refresh_token=REFRESH_TOKEN,
            session_id=SESSION_ID,
            scope="orders:read",
            recovery_codes=RECOVERY_CODES,
        ).model_dump(mode="json"),
    ),
    "list_invitations": _page(_INVITATION),
    "create_invitation": Example(
        {"email": "ben@example.com", "app_ids": ["shop"], "scopes": ["orders:read"]}, _shown(_SENT)
    ),
    "get_invitation": _answered(_INVITATION),
    "resend_invitation": Example({"expires_in_s": 86400}, _shown(_SENT_AGAIN)),
    "withdraw_invitation": _answered(_INVITATION, withdrawn_at=LATER),
    "accept_invitation": Example(
        {"token": INVITATION_TOKEN, "username": "ben", "password": PHRASE, "full_name": "Ben Okafor"},
        _shown(
            _USER,
            id=BENS_ID,
            username="ben",
            email="ben@example.com",
            full_name="Ben Okafor",
            email_verified_at=LATER,
            last_login_at=None,
        ),
    ),
    "accept_as_user": Example({"token": INVITATION_TOKEN}, _shown(_INVITATION, accepted_at=LATER, accepted_by="ana")),
    "list_keys_of_tenant": _page(_ADMIN_KEY, _KEY),
    "list_keys_of_app": _page(_KEY),
    "issue_key": Example(_KEY_GIVEN, _shown(_ISSUED)),
    "import_keys": Example(
        {
            "keys": [
                {"name": "till-1", "hash": "9f" * 32, "algorithm": "sha256-hex", "prefix_shown": "sk_live_4xF"},
                {"name": "till-2", "hash": "not a digest", "algorithm": "sha256-hex"},
            ]
        },
        ImportVerdicts(
            items=(
                ImportVerdict(ordinal=0, status="created", key_id=NEXT_KEY_ID),
                ImportVerdict(
                    ordinal=1,
                    status="invalid",
                    code="invalid_request",
                    detail="Not as it should be: hash must be a digest as sha256-hex writes it.",
                ),
            )
        ).model_dump(mode="json"),
    ),
    "get_key": _answered(_KEY),
    "update_key": Example(
        {"scopes": ["orders:read"], "expires_at": None}, _shown(_KEY, scopes=("orders:read",), expires_at=None)
    ),
    "delete_key": _answered(_KEY),
    "rotate_key": Example({"grace_s": 3600}, _ROTATED),
    "revoke_key": Example({"reason": "till stolen"}, _shown(_KEY, revoked_at=LATER, revoke_reason="till stolen")),
    "disable_key": _answered(_KEY, disabled_at=LATER),
    "enable_key": _answered(_KEY),
    "get_usage_of_tenant": _USAGE,
    "get_usage_of_app": _USAGE,
    "get_usage_of_key": _USAGE,
    "top_up_key": Example(
        {"add": 500}, _shown(_KEY, credits=Credits(remaining=1500, refill_amount=100, refill_interval_s=3600))
    ),
    "verify_keys": Example(
        {"keys": [{"key": KEY, "scopes": ["orders:read"], **_USE}, {"key": "no key of ours"}]},
        {"items": [_shown(_VERDICT), _shown(verdict(MALFORMED.answer))]},
    ),
    "verify_key": Example({"key": KEY, "scopes": ["orders:read"], "branch_id": "mad", **_USE}, _shown(_VERDICT)),
    "report_leak": Example(
        {"key": KEY, "source": "code search", "url": "https://code.example.com/acme/till/config.py#L7"},
        _shown(Received()),
    ),
    "get_token": Example(
        {"grant_type": "client_credentials", "scope": _WANTED, **_CLIENT},
        _shown(IssuedToken(access_token=JWT, expires_in=300, scope=_WANTED)),
    ),
    "introspect": Example(
        {"token": ADMIN_KEY},
        _shown(
            Introspection(
                active=True,
                scope="*",
                client_id=_CLIENT["client_id"],
                token_type="Bearer",  # noqa: S106
                sub=f"key:{ADMIN_KEY_ID}",
                aud=_CLIENT["client_id"],
                tenant_id="acme",
                app_id="identity",
                key_id=ADMIN_KEY_ID,
                environment="live",
            )
        ),
    ),
    "revoke_token": Example({"token": "one that has expired", **_CLIENT}, {}),
    "get_metadata": _answered(
        Metadata(
            issuer=f"{_BASE}/v1/tenants/acme",
            token_endpoint=f"{_BASE}/oauth/token",
            introspection_endpoint=f"{_BASE}/oauth/introspect",
            revocation_endpoint=f"{_BASE}/oauth/revoke",
            jwks_uri=f"{_BASE}/.well-known/jwks.json",
            service_documentation=f"{_BASE}/docs",
        )
    ),
    "get_public_keys": _answered(
        PublicKeys(keys=(PublicKey(kty="OKP", crv="Ed25519", x=PUBLIC_X, kid=KID, alg="EdDSA", use="sig"),))
    ),
    "whoami": _answered(_ADMIN_VERDICT),
    "healthz": _answered(Health()),
    "readyz": _answered(Readiness(status="ok", database="ok", migrations="ok", lanes="ok")),
}
