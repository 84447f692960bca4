"""The service over HTTP under the name that it gives itself, and tokens made with its own key."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import uvicorn
from joserfc.jwk import OKPKey

from identity.api import make_app
from identity.api.protocol import LimitedProtocol
from identity.app_keys import NewAppKey
from identity.apps import IDENTITY
from identity.settings import Settings
from identity.stores import Stores
from identity.tokens import KeyRing, Tokens
from tests.conftest import Organisation, make_organisation

Json = dict[str, Any]


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    found = "http://{}:{}".format(*listening.getsockname())
    app = make_app(settings.model_copy(update={"base_url": found}))
    config = uvicorn.Config(app, http=LimitedProtocol, ws="none", lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield found
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture(scope="session")
async def target(stores: Stores, client: httpx2.AsyncClient) -> Organisation:
    return await make_organisation(stores, client)


def segment(value: bytes | Json) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsegment(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class Forger:
    """Holds the key that signs, and a token that is good, and makes others of it."""

    key: OKPKey
    header: Json
    claims: Json

    def __call__(
        self, header: Json | None = None, claims: Json | None = None, *, sign: Callable[[bytes], bytes] | None = None
    ) -> str:
        """As the good one, but for what is given; a claim that is None is left out."""
        told = {name: value for name, value in (self.claims | (claims or {})).items() if value is not None}
        text = f"{segment(self.header | (header or {}))}.{segment(told)}"
        signed = (sign or self.key.private_key.sign)(text.encode())  # type: ignore[union-attr]
        return f"{text}.{segment(signed)}"


async def forger(stores: Stores, settings: Settings, text: str) -> Forger:
    _, key = await KeyRing(stores.signing_keys, settings.secret_keys).signing()
    header, claims, _ = text.split(".")
    return Forger(key, json.loads(unsegment(header)), json.loads(unsegment(claims)))


async def key_token(org: Organisation, settings: Settings, *scopes: str, app_id: str = IDENTITY) -> tuple[str, str]:
    """A key's id, and a token that it got."""
    key = await org.stores.app_keys.issue(org.id, app_id, NewAppKey(name="robot", scopes=scopes))
    form = {"grant_type": "client_credentials", "client_id": f"{org.id}/{app_id}", "client_secret": key.key}
    answer = await org.client.post("/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    return key.id, answer.json()["access_token"]


def tokens_of(stores: Stores, settings: Settings) -> Tokens:
    return Tokens(KeyRing(stores.signing_keys, settings.secret_keys), settings.base)
