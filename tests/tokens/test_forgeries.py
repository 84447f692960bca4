"""What is not exactly a token of ours, for us, and of now, opens nothing."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from functools import partial

import pytest
import requests
from joserfc.jwk import OKPKey

from identity.settings import Settings
from tests.conftest import Api, Organisation
from tests.tokens.conftest import Forger, forger, key_token, segment

NOW_S = int(time.time())
JKU = {"jku": "https://evil.example.com/jwks.json"}
X5U = {"x5u": "https://evil.example.com/x5u"}
OTHER = OKPKey.generate_key("Ed25519")


def by_another(text: bytes) -> bytes:
    signed: bytes = OTHER.private_key.sign(text)  # type: ignore[union-attr]
    return signed


def hmac_of(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, "sha256")


def with_public_key(good: Forger) -> list[str]:
    """As HMAC's secret, in each form in which a careless library would take it."""
    public = good.key.as_dict(private=False)
    raw = good.key.public_key.public_bytes_raw()
    secrets = [good.key.as_pem(private=False), str(public["x"]).encode(), raw]
    return [good({"alg": "HS256"}, sign=partial(hmac_of, secret)) for secret in secrets]


FORGERIES: dict[str, Callable[[Forger], str | list[str]]] = {
    "none": lambda good: [good({"alg": each}, sign=lambda _: b"") for each in ("none", "None", "NONE", "")],
    "none, with a signature": lambda good: good({"alg": "none"}),
    "a header that is no object": lambda good: [
        ".".join([segment(json.dumps(head).encode()), segment(b"{}"), "A" * 86])
        for head in (["alg"], "alg", ["alg", "b64"], 7, None, [], [["alg"]])
    ],
    "members that are no text": lambda good: [
        good({name: each}) for name in ("kid", "typ") for each in (["x"], {"x": 1}, 1)
    ],
    "the signature left out": lambda good: good().rpartition(".")[0] + ".",
    "HS256 with the public key": with_public_key,
    "another signature": lambda good: good(sign=by_another),
    "another algorithm's name": lambda good: good({"alg": "Ed25519"}),
    "another kid": lambda good: [good({"kid": each}) for each in ("another", OTHER.thumbprint(), "", 7, None, ["x"])],
    "another kid, and its key": lambda good: good(
        {"kid": OTHER.thumbprint(), "jwk": OTHER.as_dict(private=False)}, sign=by_another
    ),
    "jwk": lambda good: good({"jwk": OTHER.as_dict(private=False)}),
    "jku": lambda good: good(JKU),
    "x5u": lambda good: good(X5U),
    "another's jwk": lambda good: good({"jwk": OTHER.as_dict(private=False)}, sign=by_another),
    "another's jku": lambda good: good(JKU, sign=by_another),
    "another's x5u": lambda good: good(X5U, sign=by_another),
    "crit": lambda good: [good({"crit": ["exp"]}), good({"crit": ["urn:x"], "urn:x": True})],
    "crit, of what others know": lambda good: [good({"crit": ["b64"], "b64": True}), good({"crit": []})],
    "a header deep or not one": lambda good: [
        f"{segment(b'[' * 200)}.{segment({})}.{'A' * 86}",
        f"{segment(b'[1]')}.{segment({})}.{'A' * 86}",
        f"{segment(b'not json')}.{segment({})}.{'A' * 86}",
    ],
    "another typ": lambda good: [good({"typ": each}) for each in ("JWT", "jwt", None, "refresh+jwt")],
    "another aud": lambda good: [
        good({}, {"aud": each, "client_id": each})
        for each in (good.claims["aud"].replace("/identity", "/shop"), "identity", "", ["x"], "platform/identity")
    ],
    "aud and client_id apart": lambda good: good({}, {"client_id": "platform/identity"}),
    "another iss": lambda good: [
        good({}, {"iss": each})
        for each in (good.claims["iss"] + "x", "https://evil.example.com/v1/tenants/acme", "", None)
    ],
    "expired": lambda good: [good({}, {"exp": each}) for each in (NOW_S - 1, 0, -1, None)],
    "never expired": lambda good: [good({}, {"exp": each}) for each in ("never", 1e300, NOW_S + 60.5)],
    "not yet valid": lambda good: [good({}, {"nbf": NOW_S + 3600}), good({}, {"iat": NOW_S + 3600})],
    "another's key": lambda good: [
        good({}, {"sub": each}) for each in ("key:" + "0" * 22, "key:", 'key:"}', "ana", "")
    ],
    "1 MB": lambda good: [good({}, {"x": "x" * 2**20}), good({"kid": "x" * 2**20}), "A" * 2**20],
}
"""Where nothing else is said the signature is made with the very key that signs: only what is said is wrong."""


@pytest.fixture(scope="module")
async def good(target: Organisation, settings: Settings) -> Forger:
    _, text = await key_token(target, settings, "users:read", "keys:verify")
    return await forger(target.stores, settings, text)


async def test_the_good_one_is_good(good: Forger, target: Organisation) -> None:
    assert (await Api(target.client, good()).get(f"{target.path}/users")).status_code == 200
    assert (await target.admin("POST", "/oauth/introspect", data={"token": good()})).json()["active"] is True


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_no_forgery_is(forgery: str, good: Forger, target: Organisation) -> None:
    made = FORGERIES[forgery](good)
    for text in [made] if isinstance(made, str) else made:
        answer = await Api(target.client, text).get(f"{target.path}/users")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), text[:2000]
        told = await target.admin("POST", "/oauth/introspect", data={"token": text})
        is_of_shop = "aud" in forgery and "/shop" in text
        assert told.status_code == 413 or (told.json() == {"active": False}) is not is_of_shop


def test_one_of_1_mb_gets_no_further_than_the_head(url: str, good: Forger) -> None:
    headers = {"Authorization": f"Bearer {good({}, {'x': 'x' * 2**20})}"}
    assert requests.get(f"{url}/v1/keys/whoami", headers=headers, timeout=10).status_code == 431
