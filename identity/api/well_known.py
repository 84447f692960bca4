"""/.well-known: what a stranger needs to use our tokens, and to check them without asking us."""

from __future__ import annotations

import re

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from identity.api.call import Service
from identity.api.routes import PUBLIC, Table
from identity.errors import NotFound
from identity.fields import SLUG_PATTERN

table = Table("oauth")

ANYBODY = {"Access-Control-Allow-Origin": "*"}
"""It is the same for everybody, so any web page may read it."""


class Metadata(BaseModel):
    """What a client may do here, and where (RFC 8414)."""

    issuer: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    service_documentation: str
    response_types_supported: tuple[str, ...] = ()
    """None: there is no authorization endpoint."""
    grant_types_supported: tuple[str, ...] = ("client_credentials", "refresh_token")
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "none")
    introspection_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic", "Bearer")
    revocation_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "none")


class PublicKey(BaseModel):
    """A JSON Web Key (RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str
    alg: str
    use: str


class PublicKeys(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: tuple[PublicKey, ...]


@table.get(
    "/.well-known/oauth-authorization-server/v1/tenants/{tenant_id}",
    scope=PUBLIC,
    answers=Metadata,
    raises=("tenant_not_found", "route_not_found"),
)
async def get_metadata(service: Service, request: Request) -> Response:
    """Describe a tenant's issuer of tokens.

    As RFC 8414 says. It is the same for every id that a tenant could have: this tells nobody which there are.
    """
    tenant_id, base = request.path_params["tenant_id"], service.settings.base
    if not re.fullmatch(SLUG_PATTERN, tenant_id):
        raise NotFound("tenant_not_found", "No such tenant.")
    metadata = Metadata(
        issuer=service.tokens.issuer(tenant_id),
        token_endpoint=f"{base}/oauth/token",
        introspection_endpoint=f"{base}/oauth/introspect",
        revocation_endpoint=f"{base}/oauth/revoke",
        jwks_uri=f"{base}/.well-known/jwks.json",
        service_documentation=f"{base}/docs",
    )
    return Response(metadata.model_dump_json(), headers=ANYBODY, media_type="application/json")


@table.get("/.well-known/jwks.json", scope=PUBLIC, answers=PublicKeys, raises=("unavailable",))
async def get_public_keys(service: Service, request: Request) -> Response:
    """List the keys that sign tokens.

    Each is published an hour before it signs, and until no token of it can live. One that is not known yet is worth a
    look here; more often than every few seconds is not.
    """
    keys = PublicKeys.model_validate({"keys": await service.tokens.keys.published()})
    return Response(keys.model_dump_json(), headers=ANYBODY, media_type="application/json")
