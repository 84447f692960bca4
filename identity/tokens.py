"""Access tokens: JWTs (RFC 9068) that whoever has our public keys can check without asking us."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterable
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry, extract_compact
from pydantic import BaseModel, ConfigDict, ValidationError

from identity.signing_keys import SealedKey, SigningKeyStore, new_signing_key

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
OURS = re.compile(r"[\w-]{1,300}\.[\w-]{1,32000}\.[\w-]{86}", re.ASCII)
"""Header, claims and an Ed25519 signature. Longer ones are not even decoded."""
UNREADABLE = (JoseError, ValidationError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""joserfc takes a header for an object, whatever JSON it is."""
HEADER = {"alg", "typ", "kid"}
"""All that a header of ours names: what else one may say of keys (jku, jwk, x5u), or ask for (crit), is refused."""
REMEMBERED_S = 10.0
"""For how long a worker does not ask whether there are other keys."""
CLOCKS_S = 10
"""By how much the clocks of two hosts may differ."""
KEY = "key:"
"""Before a subject that is an app key, not a user."""
OF_KEY = re.compile(r"key:([0-9A-Za-z]{22})")


class Claims(BaseModel):
    """What a token says, once its signature was found to be ours."""

    model_config = ConfigDict(frozen=True, strict=True)

    iss: str
    aud: str
    client_id: str
    sub: str
    scope: str
    jti: str
    iat: int
    exp: int
    nbf: int = 0
    sid: str | None = None
    branch_id: str | None = None
    environment: str | None = None

    @property
    def tenant_id(self) -> str:
        return self.aud.partition("/")[0]

    @property
    def app_id(self) -> str:
        return self.aud.partition("/")[2]

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.scope.split())

    @property
    def key_id(self) -> str | None:
        """Of the key that got it by client credentials."""
        match = OF_KEY.fullmatch(self.sub)
        return match[1] if match else None

    @property
    def user_id(self) -> str | None:
        return None if self.sub.startswith(KEY) else self.sub


class _Algorithms(JWSRegistry):
    """Ed25519 alone, by the name that every library knows. (RFC 9864 has a newer one, which few do.)"""

    def get_alg(self, name: str) -> Any:
        if name != ALGORITHM:
            raise UnsupportedAlgorithmError
        return self.algorithms[ALGORITHM]


_ALGORITHMS = _Algorithms()


class KeyRing:
    """The signing keys, as the database had them a moment ago."""

    def __init__(self, store: SigningKeyStore, secret_keys: tuple[bytes, ...]) -> None:
        self.store = store
        self.secret_keys = secret_keys
        self.keys: dict[str, SealedKey] = {}
        self._opened: dict[str, OKPKey] = {}
        self._read_s = float("-inf")
        self._reading = asyncio.Lock()

    async def signing(self) -> tuple[str, OKPKey]:
        """The last that has started; of those that all start later, the first."""
        await self._as_of(time.monotonic() - REMEMBERED_S)
        opened = [key for key in self.keys.values() if key.id in self._opened]
        started = [key for key in opened if key.starts_at.timestamp() <= time.time()]
        id = (started[0] if started else opened[-1]).id
        return id, self._opened[id]

    async def find(self, id: str) -> OKPKey | None:
        """The public key of that name. One that is newer than what is remembered is asked for."""
        now_s = time.monotonic()
        await self._as_of(now_s - REMEMBERED_S)
        if id not in self.keys:
            await self._as_of(now_s)
        return OKPKey.import_key(self.keys[id].public_key) if id in self.keys else None

    async def published(self) -> list[dict[str, Any]]:
        """All that are there, as a JSON Web Key Set has them (RFC 7517)."""
        await self._as_of(time.monotonic() - REMEMBERED_S)
        named = {"alg": ALGORITHM, "use": "sig"}
        return [{**key.public_key, **named, "kid": key.id} for key in self.keys.values()]

    async def _as_of(self, since_s: float) -> None:
        """What a statement read that was sent after that. Whoever waits meanwhile shares the next one."""
        async with self._reading:
            if self._read_s < since_s:
                sent_s = time.monotonic()
                await self._read()
                if not self._opened:
                    await self.store.make_first(new_signing_key(self.secret_keys), closed=list(self.keys))
                    await self._read()
                self._read_s = sent_s

    async def _read(self) -> None:
        self.keys = {key.id: key for key in await self.store.list()}
        opened = {id: key.open(self.secret_keys) for id, key in self.keys.items()}
        self._opened = {id: key for id, key in opened.items() if key is not None}


class Tokens:
    """Signs access tokens, and reads those that are ours."""

    def __init__(self, keys: KeyRing, base: str) -> None:
        self.keys = keys
        self.base = base

    def issuer(self, tenant_id: str) -> str:
        return f"{self.base}/v1/tenants/{tenant_id}"

    async def sign(
        self,
        tenant_id: str,
        app_id: str,
        subject: str,
        *,
        scopes: Iterable[str],
        lifetime_s: int,
        session_id: str | None = None,
        branch_id: str | None = None,
        environment: str | None = None,
    ) -> str:
        """A token for that app; the subject is a user's id, or `key:` and a key's."""
        id, key = await self.keys.signing()
        now_s, client = int(time.time()), f"{tenant_id}/{app_id}"
        more = {"sid": session_id, "branch_id": branch_id, "environment": environment}
        claims: dict[str, Any] = {
            "iss": self.issuer(tenant_id),
            "aud": client,
            "client_id": client,
            "sub": subject,
            "scope": " ".join(scopes),
            "jti": secrets.token_urlsafe(16),
            "iat": now_s,
            "exp": now_s + lifetime_s,
            **{name: value for name, value in more.items() if value is not None},
        }
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": id}, claims, key, registry=_ALGORITHMS)

    async def read(self, text: str, *, app_id: str | None = None) -> Claims | None:
        """What it says; None where it is none of ours, not of now, or not for that app. Whether its session or its key
        still lives is another question."""
        if not OURS.fullmatch(text):
            return None
        try:
            header = extract_compact(text.encode(), registry=_ALGORITHMS).headers()
            if header.keys() != HEADER or header["typ"] != TYPE or not isinstance(header["kid"], str):
                return None
            key = await self.keys.find(header["kid"])
            if key is None:
                return None
            claims = Claims.model_validate(jwt.decode(text, key, registry=_ALGORITHMS).claims)
        except UNREADABLE:
            return None
        return claims if self._is_good(claims) and app_id in (None, claims.app_id) else None

    def _is_good(self, claims: Claims) -> bool:
        now_s = time.time()
        is_of_now = max(claims.iat, claims.nbf) <= now_s + CLOCKS_S and now_s < claims.exp
        return is_of_now and claims.iss == self.issuer(claims.tenant_id) and claims.client_id == claims.aud
