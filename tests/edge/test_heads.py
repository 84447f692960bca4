"""What comes before a body: what two parsers could read in two ways is refused, and nothing after it is served."""

from __future__ import annotations

import time

import pytest

from identity.api.timeouts import LINGER_S
from tests.edge.wire import VERIFY, Client, get, request, verify

WHOAMI = "GET /v1/keys/whoami HTTP/1.1"

NO_HTTP = {
    "a bare line feed": "GET /healthz HTTP/1.1\nHost: x\n\n",
    "a bare line feed after a header": "GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "a bare line feed at the end": "GET /healthz HTTP/1.1\r\nHost: x\r\n\n",
    "a bare carriage return": "GET /healthz HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "a folded header": request("X: y", " z"),
    "a folded first line": "GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n",
    "a NUL in a value": request("X: a\0b"),
    "a NUL in a name": request("X\0: a"),
    "a control character in a value": request("X: a\x01b"),
    "a delete character": request("X: a\x7fb"),
    "a space before the colon": request("X : y"),
    "a tab before the colon": request("X\t: y"),
    "no colon": request("X"),
    "no name": request(": y"),
    "a name of eight bits": request("X\xe9: y"),
    "a tab in the first line": request(line="GET\t/healthz HTTP/1.1"),
    "a space at the end of the first line": request(line="GET /healthz HTTP/1.1 "),
    "a space at its beginning": request(line=" GET /healthz HTTP/1.1"),
    "no slash before the version": request(line="GET /healthz HTTP1.1"),
    "a version in lower case": request(line="GET /healthz http/1.1"),
    "HTTP/1.2": request(line="GET /healthz HTTP/1.2"),
    "HTTP/3.0": request(line="GET /healthz HTTP/3.0"),
    "HTTP/2 with prior knowledge": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nonsense": "hello\r\n\r\n",
    "zeros": "\0" * 100,
}


@pytest.mark.parametrize("what", NO_HTTP)
async def test_what_is_no_http_is_refused_and_nothing_after_it_served(what: str, wire: Client) -> None:
    await wire.send(NO_HTTP[what] + request())
    assert (await wire.answer()).told == (400, "invalid_http")
    assert await wire.is_closed()


@pytest.mark.parametrize("line", ["GET /healthz", "GET /healthz HTTP/0.9", "GET /healthz HTTP/2.0"])
async def test_another_version_of_http_is_refused(line: str, wire: Client) -> None:
    await wire.send(request(line=line))
    assert (await wire.answer()).told == (505, "http_version_not_supported")
    assert await wire.is_closed()


TWO_ENDS = {
    "a length and chunks": ("Content-Length: 2", "Transfer-Encoding: chunked"),
    "chunks and a length": ("Transfer-Encoding: chunked", "Content-Length: 2"),
    "two lengths": ("Content-Length: 2", "Content-Length: 3"),
    "twice the same length": ("Content-Length: 2", "Content-Length: 2"),
    "a list of lengths": ("Content-Length: 5, 5",),
    "a plus": ("Content-Length: +5",),
    "a minus": ("Content-Length: -2",),
    "a space within": ("Content-Length: 5 5",),
    "no length": ("Content-Length:",),
    "hexadecimal": ("Content-Length: 0x2",),
    "an underscore": ("Content-Length: 2_0",),
    "a fraction": ("Content-Length: 2.0",),
    "more than fits": ("Content-Length: 18446744073709551618",),
    "a length with a space before its colon": ("Content-Length : 2",),
    "chunks with a space before their colon": ("Transfer-Encoding : chunked",),
    "identity": ("Transfer-Encoding: identity",),
    "xchunked": ("Transfer-Encoding: xchunked",),
    "chunks, then identity": ("Transfer-Encoding: chunked, identity",),
    "gzip, then chunks": ("Transfer-Encoding: gzip, chunked",),
    "chunked chunks": ("Transfer-Encoding: chunked, chunked",),
    "two encodings": ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
    "twice the same encoding": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "a vertical tab": ("Transfer-Encoding: \x0bchunked",),
    "quotes": ('Transfer-Encoding: "chunked"',),
    "a parameter": ("Transfer-Encoding: chunked;q=1",),
}


@pytest.mark.parametrize("what", TWO_ENDS)
async def test_a_body_with_two_ends_is_refused_and_nothing_in_it_served(what: str, wire: Client) -> None:
    await wire.send(request(*TWO_ENDS[what], line=VERIFY, body="0\r\n\r\n" + request()))
    assert (await wire.answer()).told == (400, "invalid_http")
    assert await wire.is_closed()


async def test_chunks_are_refused_in_http_1_0(wire: Client) -> None:
    await wire.send(request("Transfer-Encoding: chunked", line="POST /v1/keys/verify HTTP/1.0", body="0\r\n\r\n"))
    assert (await wire.answer()).told == (400, "invalid_http")
    assert await wire.is_closed()


@pytest.mark.parametrize("encoding", ["chunked", "Chunked", "  chunked "])
async def test_chunks_are_read(encoding: str, wire: Client, platform_key: str) -> None:
    for _ in range(2):
        body = 'b;ext="a;b"\r\n{"key":"x"}\r\n0\r\nX: y\r\n\r\n'
        await wire.send(verify(platform_key, body, f"Transfer-Encoding:{encoding}"))
        assert (await wire.answer()).told == (200, "malformed")


CHUNKS = {
    "too large a size": "fffffffffffffffff\r\nab\r\n0\r\n\r\n",
    "a minus": "-2\r\nab\r\n0\r\n\r\n",
    "a plus": "+2\r\nab\r\n0\r\n\r\n",
    "0x": "0x2\r\nab\r\n0\r\n\r\n",
    "a space": "2 \r\nab\r\n0\r\n\r\n",
    "no size": "\r\nab\r\n0\r\n\r\n",
    "too long a chunk": "2\r\nabXX0\r\n\r\n",
    "bare line feeds": "2\nab\n0\n\n",
    "a bare line feed in an extension": "2;\nxx\r\nab\r\n0\r\n\r\n",
    "letters": "zz\r\n",
}


@pytest.mark.parametrize("line", [VERIFY, "POST /nowhere HTTP/1.1"])
@pytest.mark.parametrize("what", CHUNKS)
async def test_chunks_that_are_none_are_refused_and_nothing_in_them_served(what: str, line: str, wire: Client) -> None:
    await wire.send(request("Transfer-Encoding: chunked", line=line, body=CHUNKS[what] + request()))
    assert (await wire.answer()).told == (400, "invalid_http")
    assert await wire.is_closed()


async def test_an_endless_extension_of_a_chunk_is_refused(wire: Client) -> None:
    await wire.send(request("Transfer-Encoding: chunked", line=VERIFY, body="2;"))
    await wire.send("x" * 2**20)
    assert (await wire.answer()).told == (431, "headers_too_large")
    assert await wire.is_closed()


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        (None, ()),
        ("Host: x", ("Host: y",)),
        ("Host: x", ("host: x",)),
        ("Host: a, b", ()),
        ("Host: a b", ()),
        ("Host: a/b", ()),
        ("Host: a@b", ()),
        ("Host: a?b", ()),
        ("Host: x", ("Authorization: Bearer a", "Authorization: Bearer b")),
        ("Host: x", ("Authorization: Bearer a", "authorization: Bearer a")),
    ],
)
async def test_a_head_that_can_be_read_in_two_ways_is_400(
    host: str | None, headers: tuple[str, ...], wire: Client
) -> None:
    await wire.send(request(*headers, line=WHOAMI, host=host))
    assert (await wire.answer()).told == (400, "invalid_request")


TOO_LARGE = {
    "65 headers": request(*(f"X-{n}: x" for n in range(64))),
    "17 kB of headers": request(*(f"X-{n}: {'x' * 1000}" for n in range(17))),
    "one header of 17 kB": request(f"X: {'x' * 17_000}"),
    "a name of 17 kB": request(f"{'x' * 17_000}: x"),
    "a path of 17 kB": get("/" + "x" * 17_000),
    "an Authorization of 1 MB": request("Authorization: Bearer " + "x" * 2**20, line=WHOAMI),
    "a header without end": request()[:-2] + "X: " + "x" * 2**20,
    "65 headers after a request": request() + request(*(f"X-{n}: x" for n in range(64))),
}


@pytest.mark.parametrize("what", TOO_LARGE)
async def test_more_than_a_head_may_hold_is_431(what: str, wire: Client) -> None:
    await wire.send(TOO_LARGE[what])
    if "after a request" in what:
        assert (await wire.answer()).status == 200
    answer = await wire.answer()
    assert answer.told == (431, "headers_too_large")
    assert "xxx" not in answer.body.decode()
    assert await wire.is_closed()


async def test_a_client_that_does_not_stop_sending_reads_its_431_and_loses_its_connection(wire: Client) -> None:
    async def send(times: int) -> None:
        for _ in range(times):
            await wire.send("x" * 2**16)

    await wire.send(request()[:-2] + "X: ")
    await send(40)
    assert (await wire.answer()).told == (431, "headers_too_large")
    started_s = time.monotonic()
    with pytest.raises(ConnectionError):
        await send(100_000)
    assert time.monotonic() - started_s < 2 * LINGER_S


@pytest.mark.parametrize(
    "value", ["Bearer \xe9\xff", "Bearer", "Basic YTpi", "\xff", "Bearer a b", "Bearer a, Bearer b"]
)
async def test_a_credential_that_is_none_is_401_and_not_quoted(value: str, wire: Client) -> None:
    await wire.send(request(f"Authorization: {value}", line=WHOAMI))
    answer = await wire.answer()
    assert answer.told == (401, "invalid_token")
    assert (answer.header("WWW-Authenticate") or "").startswith("Bearer")
    assert value.removeprefix("Bearer ") not in answer.content["detail"].replace("Bearer KEY", "")


@pytest.mark.parametrize(
    "name", ["X", "X-Request-Id", "User-Agent", "Content-Type", "If-Match", "If-None-Match", "Prefer"]
)
async def test_values_of_eight_bits_do_no_harm(name: str, wire: Client, platform_key: str) -> None:
    await wire.send(get("/v1/tenants/platform", f"Authorization: Bearer {platform_key}", f"{name}: \xe9\xff"))
    assert (await wire.answer()).status == 200


@pytest.mark.parametrize("id", ["isk_live_" + "a" * 22 + "_" + "b" * 49, "shop_test_" + "a" * 22])
async def test_a_key_is_not_repeated_as_a_requests_id(id: str, wire: Client) -> None:
    for path in ("/healthz", "/nowhere"):
        await wire.send(get(path, f"X-Request-Id: {id}"))
        answer = await wire.answer()
        assert id not in str(answer.headers) + answer.body.decode()
    await wire.send(get("/healthz", f"X-Request-Id: {id}", "Y: y", "X : y"))
    answer = await wire.answer()
    assert answer.status == 400
    assert id not in str(answer.headers) + answer.body.decode()


async def test_what_is_refused_keeps_its_id_too(wire: Client) -> None:
    await wire.send(request("X-Request-Id: seven", "Y: y", "X : y"))
    assert (await wire.answer()).header("X-Request-Id") == "seven"
