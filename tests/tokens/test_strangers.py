"""Strangers know the issuer alone: metadata leads them to the keys, and these to what a token says."""

from __future__ import annotations

import time
from typing import Any

import jwt as pyjwt
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jws
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error

from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.settings import Settings
from tests.conftest import Organisation
from tests.tokens.conftest import forger
from tests.tokens.test_forgeries import FORGERIES

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@pytest.fixture
def metadata(url: str, org: Organisation) -> Any:
    issuer = f"{url}/v1/tenants/{org.id}"
    found = requests.get(f"{url}/.well-known/oauth-authorization-server/v1/tenants/{org.id}", timeout=10).json()
    assert found["issuer"] == issuer
    AuthorizationServerMetadata(found).validate_issuer()
    return found


@pytest.fixture
async def robot(org: Organisation) -> tuple[str, str]:
    """An app's id and secret: a key of the tenant's app `identity`."""
    new = NewAppKey(name="robot", scopes=("users:read", "keys:verify"))
    key = await org.stores.app_keys.issue(org.id, IDENTITY, new)
    return f"{org.id}/{IDENTITY}", key.key


def token_of(metadata: Any, robot: tuple[str, str]) -> str:
    form = {"grant_type": "client_credentials"}
    text: str = requests.post(metadata["token_endpoint"], data=form, auth=robot, timeout=10).json()["access_token"]
    return text


def by_pyjwt(text: str, metadata: Any, audience: str) -> Any:
    key = pyjwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(text)
    required = ["exp", "iat", "iss", "aud", "sub"]
    found = pyjwt.decode_complete(
        text,
        key.key,
        algorithms=["EdDSA"],
        audience=audience,
        issuer=metadata["issuer"],
        options={"require": required},
    )
    assert found["header"]["typ"] == "at+jwt"
    return found["payload"]


def by_joserfc(text: str, metadata: Any, audience: str) -> Any:
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    registry = jws.JWSRegistry(algorithms=["EdDSA"])
    token = joserfc_jwt.decode(text, keys, registry=registry)
    assert token.header["typ"] == "at+jwt"
    is_for: Any = {"essential": True, "value": audience}
    is_by: Any = {"essential": True, "value": metadata["issuer"]}
    joserfc_jwt.JWTClaimsRegistry(aud=is_for, iss=is_by, exp={"essential": True}).validate(token.claims)
    return token.claims


@pytest.mark.parametrize("read", [by_pyjwt, by_joserfc])
async def test_a_stranger_accepts_our_token_and_no_forgery(
    read: Any, metadata: Any, robot: tuple[str, str], org: Organisation, settings: Settings
) -> None:
    text = token_of(metadata, robot)
    claims = read(text, metadata, robot[0])
    assert (claims["client_id"], claims["scope"]) == (robot[0], "users:read keys:verify")
    assert claims["sub"].startswith("key:")
    assert 0 < claims["exp"] - time.time() <= 300
    good = await forger(org.stores, settings, text)
    for name in REFUSED_BY_ALL:
        made = FORGERIES[name](good)
        for forged in [made] if isinstance(made, str) else made:
            assert not accepts(read, forged, metadata, robot[0]), name


REFUSED_BY_ALL = [
    *("none", "none, with a signature", "the signature left out", "HS256 with the public key", "another signature"),
    *("another kid", "another kid, and its key", "another's jwk", "another's jku", "another's x5u", "crit"),
    *("another typ", "another aud", "another iss", "expired", "not yet valid"),
]
"""A jku or x5u beside our own signature does a stranger no harm, as long as nobody follows it: none of these does."""


def accepts(read: Any, text: str, metadata: Any, audience: str) -> bool:
    try:
        read(text, metadata, audience)
    except Exception:  # noqa: BLE001  (each library has a family of its own)
        return False
    return True


def test_authlibs_client_gets_introspects_and_revokes(metadata: Any, robot: tuple[str, str], org: Organisation) -> None:
    for method in ("client_secret_basic", "client_secret_post"):
        session = OAuth2Session(*robot, token_endpoint_auth_method=method, scope="keys:verify")
        token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
        assert (token["token_type"], token["scope"], token["expires_in"]) == ("Bearer", "keys:verify", 300)
        refusal = session.revoke_token(metadata["revocation_endpoint"], token["access_token"]).json()
        assert refusal["error"] == "unsupported_token_type"
        assert session.revoke_token(metadata["revocation_endpoint"], "long gone").status_code == 200
    session = OAuth2Session(*robot)
    for text in (token["access_token"], org.key.key):
        told = session.introspect_token(metadata["introspection_endpoint"], token=text).json()
        assert told["active"] is True
    assert session.introspect_token(metadata["introspection_endpoint"], token="x").json() == {"active": False}


def test_oauthlibs_client_gets_introspects_and_revokes(
    metadata: Any, robot: tuple[str, str], org: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    id, secret = robot
    stranger = BackendApplicationClient(id, scope=["keys:verify"])
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def post(url: str, body: str, headers: Any = form) -> requests.Response:
        return requests.post(url, data=body, headers={**form, **headers}, timeout=10)

    body = stranger.prepare_request_body(include_client_id=True, client_secret=secret)
    token = stranger.parse_request_body_response(post(metadata["token_endpoint"], body).text)
    assert (token["scope"], token["expires_in"]) == (["keys:verify"], 300)
    where, headers, body = stranger.add_token(metadata["introspection_endpoint"], "POST", body=f"token={org.key.key}")
    assert post(where, body, headers).json()["active"] is True
    where, headers, body = stranger.prepare_token_revocation_request(
        metadata["revocation_endpoint"], "long gone", client_id=id, client_secret=secret
    )
    assert post(where, body, headers).status_code == 200
    body = stranger.prepare_request_body(include_client_id=True, client_secret=secret[:-1])
    refusal = post(metadata["token_endpoint"], body).text
    with pytest.raises(OAuth2Error, match="invalid_client"):
        stranger.parse_request_body_response(refusal)
