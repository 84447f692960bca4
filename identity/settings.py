"""One frozen Settings, read once from IDENTITY_* variables or .env, and passed down."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRET_KEY_BYTES = 32


def _conninfo(text: SecretStr) -> SecretStr:
    try:
        conninfo_to_dict(text.get_secret_value())
    except ProgrammingError:
        raise ValueError("must be a PostgreSQL URL or connection string") from None
    return text


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", text):
        raise ValueError("must be an http or https URL")
    return text.rstrip("/")


def _networks(given: tuple[str, ...]) -> tuple[str, ...]:
    for each in given:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            raise ValueError("must be a JSON list of addresses or networks") from None
    return given


def _key(text: SecretStr) -> SecretStr:
    decode_secret_key(text.get_secret_value())
    return text


def decode_secret_key(text: str) -> bytes:
    """The 32 bytes behind the base64 text; ValueError says what is wrong, without the text."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64") from None
    if len(key) != SECRET_KEY_BYTES:
        raise ValueError(f"must be {SECRET_KEY_BYTES} bytes in base64, not {len(key)}")
    return key


DatabaseUrl = Annotated[SecretStr, AfterValidator(_conninfo)]


class Settings(BaseSettings):
    """What an operator may set. URLs hold passwords, and so are secrets here too."""

    model_config = SettingsConfigDict(
        env_prefix="IDENTITY_", env_file=".env", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: DatabaseUrl | None = None
    """The service's login. Without it PostgreSQL is embedded in the data directory."""
    lanes_database_url: DatabaseUrl | None = None
    """The same login past a pooler; default: database_url."""
    migrate_database_url: DatabaseUrl | None = None
    """The login that may migrate; used by init and migrate alone."""
    data_dir: Path = Path(".identity")
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    base_url: Annotated[str, AfterValidator(_http_url)] | None = None
    """As the world sees us; default: http://{host}:{port}."""
    secret_key: Annotated[SecretStr, AfterValidator(_key)] | None = None
    """32 bytes in base64, equal on all hosts. Embedded: made in the data directory."""
    secret_key_previous: Annotated[SecretStr, AfterValidator(_key)] | None = None
    """Still accepted while secret_key changes."""
    single_login: bool = False
    """One login for everything: turns the refusal of a login that may SET ROLE to the owner into a warning."""

    pool_min: int = Field(default=1, ge=0, le=1000)
    pool_max: int = Field(default=8, ge=1, le=1000)
    verify_connections: int = Field(default=2, ge=1, le=100)
    """Connections a worker keeps for looking keys up, beside the pool."""
    remembered_keys: int = Field(default=200_000, ge=0, le=100_000_000)
    """Verdicts that a worker remembers, each proved anew before it is used; under 1 KiB each."""
    checkout_timeout_s: float = Field(default=0.8, gt=0, le=60)
    """How long a request waits for a connection before it is 503."""
    verify_timeout_s: float = Field(default=0.9, gt=0, le=60)
    """How long a look-up of a key may take before it is 503."""
    statement_timeout_s: float = Field(default=5.0, gt=0, le=3600)
    lock_timeout_s: float = Field(default=2.0, gt=0, le=3600)
    """How long a statement may wait for locks before it is 503: else one tenant's could hold all connections."""
    idle_in_transaction_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    purge_after_s: int = Field(default=30 * 24 * 3600, ge=0)
    """How long a tombstone is kept from purging."""
    receive_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    """How long a client may take to send one request."""
    password_threads: int = Field(default=2, ge=1, le=64)
    """In how many threads a worker hashes passwords; each takes 19 MiB while it does."""
    password_queue: int = Field(default=64, ge=0, le=10_000)
    """How many more passwords may wait for that before it is 503."""
    sign_ins_per_address: int = Field(default=60, ge=1, le=1_000_000)
    """How often a minute one address may try to sign in, and at once."""
    sign_ins_per_tenant: int = Field(default=1200, ge=1, le=1_000_000)
    """Likewise to one tenant, from anywhere."""
    refreshes_per_session: int = Field(default=60, ge=1, le=1_000_000)
    """How often a minute one session may be refreshed, and at once."""
    metrics_dir: Path | None = None
    """Where the workers of one start leave what they have seen for each other; `serve` makes one where there are
    several."""
    trusted_proxies: Annotated[tuple[str, ...], AfterValidator(_networks)] = ()
    """Addresses or networks whose X-Forwarded-For counts."""

    @model_validator(mode="after")
    def _pool_can_be(self) -> Self:
        if self.pool_min > self.pool_max:
            raise ValueError("IDENTITY_POOL_MIN must not be more than IDENTITY_POOL_MAX")
        return self

    @property
    def main_url(self) -> str:
        assert self.database_url is not None, "the embedded server's URL is filled in before the service starts"
        return self.database_url.get_secret_value()

    @property
    def lanes_url(self) -> str:
        return self.lanes_database_url.get_secret_value() if self.lanes_database_url else self.main_url

    @property
    def base(self) -> str:
        """Where the world finds us: what our tokens' issuers begin with."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.base_url or f"http://{host}:{self.port}"

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The present one, and the one before it while it changes."""
        given = [key for key in (self.secret_key, self.secret_key_previous) if key is not None]
        assert given, "serve refuses to start without a secret key"
        return tuple(decode_secret_key(key.get_secret_value()) for key in given)
