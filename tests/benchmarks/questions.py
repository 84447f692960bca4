"""The bytes of what is asked, without end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from urllib.parse import urlencode

from tests.benchmarks.order import Order

PASSWORD = "seven green bottles sing"
JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"
GOOD = {
    "verify": b'"valid":true',
    "introspect": b'"active":true',
    "sign-in": b'"access_token"',
    "refresh": b'"access_token"',
}
"""What stands in the answer that is wanted."""
ANSWERED = re.compile(rb'"refresh_token":"([^"]+)"')
ASKED = re.compile(rb"irt_[0-9A-Za-z]+")


def questions(order: Order) -> Iterator[bytes]:
    """Requests without end, of keys drawn at random; or of each key once."""
    if order.ask == "sign-in":
        return sign_ins(_lines(order.keys))
    if order.ask == "refresh":
        return refreshes(Path(order.keys), order.connections)
    keys, callers = _lines(order.keys), _lines(order.callers)
    if order.once:
        return (_single(callers[n * len(callers) // len(keys)], key) for n, key in enumerate(keys))
    return _batches(keys, callers[0], order.batch) if order.batch else _singles(keys, callers, order.ask)


def sign_ins(people: list[bytes]) -> Iterator[bytes]:
    """Of people, each a tenant and a login, drawn at random."""
    draw: Callable[[], float] = Random().random
    while True:
        tenant_id, login = people[int(draw() * len(people))].decode().split(":")
        body = json.dumps({"login": login, "password": PASSWORD, "app_id": "shop"}).encode()
        yield _request(f"/v1/tenants/{tenant_id}/sessions".encode(), None, body)


def refreshes(tokens: Path, connections: int) -> Iterator[bytes]:
    """One for each connection, of tokens that nobody has used; it goes on with what it is answered."""
    lines = _lines(tokens)
    tokens.write_bytes(b"\n".join(lines[connections:]))
    for line in lines[:connections]:
        tenant_id, token = line.decode().split(":")
        form = {"grant_type": "refresh_token", "client_id": f"{tenant_id}/shop", "refresh_token": token}
        yield _request(b"/oauth/token", None, urlencode(form).encode(), FORM)


def next_refresh(asked: bytes, answer: bytes) -> bytes:
    """With the successor, where there is one; it is as long."""
    found = ANSWERED.search(answer)
    return ASKED.sub(found[1], asked) if found else asked


def _lines(name: str | Path) -> list[bytes]:
    return Path(name).read_bytes().split()


def _batches(keys: list[bytes], caller: bytes, count: int) -> Iterator[bytes]:
    draw: Callable[[], float] = Random().random
    while True:
        yield _batch(caller, [keys[int(draw() * len(keys))] for _ in range(count)])


def _singles(keys: list[bytes], callers: list[bytes], ask: str) -> Iterator[bytes]:
    asking = _introspection if ask == "introspect" else _single
    heads = [asking(caller, keys[0]).rpartition(keys[0]) for caller in callers]
    draw: Callable[[], float] = Random().random
    count, share = len(keys), len(callers) / len(keys)
    while True:
        n = int(draw() * count)
        head, _, tail = heads[int(n * share)]
        yield head + keys[n] + tail


def _single(caller: bytes, key: bytes) -> bytes:
    return _request(b"/v1/keys/verify", caller, b'{"key":"%b"}' % key)


def _introspection(caller: bytes, key: bytes) -> bytes:
    return _request(b"/oauth/introspect", caller, b"token=%b" % key, FORM)


def _batch(caller: bytes, keys: list[bytes]) -> bytes:
    return _request(b"/v1/keys/verify-batch", caller, b'{"keys":[{"key":"%b"}]}' % b'"},{"key":"'.join(keys))


def _request(path: bytes, caller: bytes | None, body: bytes, type: bytes = JSON) -> bytes:
    credential = b"Authorization: Bearer %b\r\n" % caller if caller else b""
    return b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        path,
        credential,
        type,
        len(body),
        body,
    )
