"""One address and one path have many spellings: each is judged as what it is, or refused."""

from __future__ import annotations

import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from identity.app_keys import NewAppKey
from identity.key_limits import segments
from identity.verify.rules import ip_allowed, parse_ips, parse_routes, route_allowed

V4, V6 = st.ip_addresses(v=4), st.ip_addresses(v=6)


def from_where(ip: str | None, *allowed: str) -> bool:
    return ip_allowed(parse_ips(json.dumps(list(allowed)).encode()), ip)


def may(path: str | None, *patterns: str, method: str | None = "GET", methods: tuple[str, ...] = ()) -> bool:
    rules = [{"methods": list(methods), "path": each} for each in patterns]
    return route_allowed(parse_routes(json.dumps(rules).encode()), method, path)


@given(V4, st.integers(0, 32), V4)
def test_an_address_is_allowed_where_its_network_is(
    place: ipaddress.IPv4Address, bits: int, ip: ipaddress.IPv4Address
) -> None:
    network = ipaddress.ip_network((place, bits), strict=False)
    assert from_where(str(ip), str(network)) == (ip in network)
    assert from_where(str(network.broadcast_address), str(network))


@given(V4, st.integers(0, 32), V4)
def test_a_mapped_address_is_what_it_maps(place: ipaddress.IPv4Address, bits: int, ip: ipaddress.IPv4Address) -> None:
    network = ipaddress.IPv4Network((place, bits), strict=False)
    mapped = f"::ffff:{network.network_address}/{96 + bits}"
    spellings = (str(ip), f"::ffff:{ip}", ipaddress.ip_address(f"::ffff:{ip}").exploded, f"0:0:0:0:0:FFFF:{ip}")
    assert {from_where(each, allowed) for each in spellings for allowed in (str(network), mapped)} == {ip in network}


@given(V6, st.integers(0, 128))
def test_an_address_of_ipv6_is_one_in_every_spelling(ip: ipaddress.IPv6Address, bits: int) -> None:
    network = ipaddress.IPv6Network((ip, bits), strict=False)
    spellings = (ip.compressed, ip.exploded, ip.exploded.upper())
    assert {from_where(each, str(network)) for each in spellings} == {ip.ipv4_mapped is None or bits >= 96}


@given(V4)
def test_all_of_ipv6_is_nothing_of_ipv4(ip: ipaddress.IPv4Address) -> None:
    assert not from_where(f"::ffff:{ip}", "::/0")
    assert not from_where(str(ip), "::/0")
    assert from_where(f"::ffff:{ip}", "0.0.0.0/0")


@pytest.mark.parametrize(
    "ip",
    [
        *(None, "", " ", "localhost", "10.0.0.1 ", "10.0.0.1:80", "10.0.0.01", "0x0a.0.0.1", "167772161", "10.1"),
        *(
            "10.0.0.1/32",
            "[::1]",
            "fe80::1%eth0",
            "::1%",
            "::ffff:10.0.0.256",
            "10.0.0.\uff11",
            "1" * 10_000,
            "\x00",
            "\ud800",
        ),
    ],
)
def test_what_is_no_address_is_refused(ip: str | None) -> None:
    assert not from_where(ip, "0.0.0.0/0", "::/0")
    assert from_where(ip)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert from_where(text, "192.0.2.1") <= (text == "192.0.2.1" or ":" in text)
    assert may(text, "/a") <= (segments(text) == ("a",))
    assert may(text, "/**") == (segments(text) is not None)


@pytest.mark.parametrize(
    ("path", "pattern", "allowed"),
    [
        ("/", "/", True),
        ("/", "/**", True),
        ("/orders", "/orders", True),
        ("/orders", "/orders/**", True),
        ("/orders/", "/orders/**", True),
        ("/orders/7/lines", "/orders/**", True),
        ("/ordersx", "/orders/**", False),
        ("/orders/7", "/orders/*", True),
        ("/orders", "/orders/*", False),
        ("/orders/", "/orders/*", False),
        ("/orders/7/", "/orders/*", False),
        ("/orders/7/lines", "/orders/*", False),
        ("/orders/", "/orders", False),
        ("/orders", "/orders/", False),
        ("/Orders", "/orders", False),
        ("/orders/7/lines/1", "/orders/*/lines/*", True),
        ("/orders/7/lines", "/**/lines", True),
        ("/lines", "/**/lines", True),
        ("/orders/lines/7", "/**/lines", False),
        ("/a/b", "/a/**/b", True),
        ("/a/x/y/b", "/a/**/b", True),
        ("/a", "/a/**/a", False),
        ("/a.b", "/a*b", None),
        ("/orders/7;v=1", "/orders/*", True),
        ("/discount/100%25", "/discount/*", True),
        ("/Gran%20V%C3%ADa", "/Gran Vía", True),
    ],
)
def test_a_path_is_as_its_pattern(path: str, pattern: str, allowed: bool | None) -> None:
    if allowed is None:
        with pytest.raises(ValidationError):
            NewAppKey.model_validate({"name": "k", "allowed_routes": [{"path": pattern}]})
    else:
        assert may(path, pattern) is allowed


@pytest.mark.parametrize(
    "path",
    [
        *(None, "", "orders", "//", "/orders//7", "/./orders", "/orders/.", "/orders/..", "/../orders", "/a/../orders"),
        *("/%2e%2e/orders", "/orders/%2E", "/.%2e/orders", "/..;/orders", "/..;x=1/orders", "/;x/orders", "/orders/;x"),
        *(
            "/a%2forders",
            "/a%5corders",
            "/a\\orders",
            "/%252e%252e/orders",
            "/%2561",
            "/%",
            "/%zz",
            "/%4",
            "/%ff",
            "/%00",
        ),
        *("/orders?x=1", "/orders#x", "/orders\n", "/orders%0a", "/orders%0d%0a", "/\u2028", "/\ud800", "*"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(path: str | None) -> None:
    assert not may(path, "/**", "/*", "/orders")
    assert may(path)


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="/\\%?#;"), min_size=1)


@given(st.lists(NAMES.filter(str.isprintable), min_size=1, max_size=4))
def test_a_path_is_one_in_every_spelling(names: list[str]) -> None:
    encoded = "/".join("".join(f"%{byte:02X}" for byte in name.encode()) for name in names)
    spellings = [f"/{encoded}", f"/{encoded.lower()}", f"/{'/'.join(names)}"]
    expected = None if {".", ".."} & set(names) else tuple(names)
    assert [segments(each) for each in spellings] == [expected] * 3


def test_a_method_is_as_it_is_written() -> None:
    assert may("/a", "/a", methods=("GET", "PUT"))
    assert not may("/a", "/a", methods=("PUT",))
    assert not may("/a", "/a", methods=("GET",), method="get")
    assert may("/a", "/a", method="PURGE")
    assert not may("/a", "/a", method=None)
    assert not may("/a", "/a", method="")


@pytest.mark.parametrize(
    "limits",
    [
        {"allowed_ips": ["10.0.0.1/8"]},
        {"allowed_ips": ["10.0.0.0/33"]},
        {"allowed_ips": ["fe80::1%eth0"]},
        {"allowed_ips": ["::ffff:10.0.0.1/95"]},
        {"allowed_ips": [""]},
        {"allowed_ips": ["::1"] * 101},
        {"allowed_routes": [{"path": "orders"}]},
        {"allowed_routes": [{"path": "/a/../b"}]},
        {"allowed_routes": [{"path": "/a//b"}]},
        {"allowed_routes": [{"path": "/a%20b"}]},
        {"allowed_routes": [{"path": "/**/a/**"}]},
        {"allowed_routes": [{"path": "/***"}]},
        {"allowed_routes": [{"path": "/a", "methods": ["get"]}]},
        {"allowed_routes": [{"methods": ["GET"]}]},
        {"rate_limits": [{"name": "a", "limit": 1, "window_s": 1}] * 2},
        {"rate_limits": [{"name": str(n), "limit": 1, "window_s": 1} for n in range(6)]},
        {"rate_limits": [{"name": "A", "limit": 1, "window_s": 1}]},
        {"rate_limits": [{"name": "a", "limit": 0, "window_s": 1}]},
        {"rate_limits": [{"name": "a", "limit": 1, "window_s": 0}]},
        {"credits": {"remaining": -1}},
        {"credits": {"remaining": 1, "refill_amount": 0, "refill_interval_s": 1}},
        {"credits": {"remaining": 10**15 + 1}},
    ],
)
def test_what_could_not_be_judged_is_not_taken(limits: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NewAppKey.model_validate({"name": "k"} | limits)


@given(st.text(max_size=20))
def test_whatever_pattern_is_taken_matches_itself(text: str) -> None:
    try:
        NewAppKey.model_validate({"name": "k", "allowed_routes": [{"path": f"/{text}"}]})
    except ValidationError:
        return
    assert may(f"/{text}", f"/{text}")
