"""Addresses are taken apart and written in one place."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_envoy.address import Address, bracketed, is_loopback, parse_host

ports = st.integers(0, 65535)
labels = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
hosts = st.ip_addresses().map(str) | names


@given(hosts, ports)
def test_an_address_is_read_as_it_is_written(host: str, port: int) -> None:
    address = Address(host, port)
    assert Address.parse(str(address)) == address


@given(hosts, ports, ports)
def test_a_port_may_be_left_out_where_it_has_a_default(host: str, port: int, usual: int) -> None:
    address = Address(host, port)
    assert Address.parse(str(address), usual) == address
    assert Address.parse(bracketed(host), usual) == Address(host, usual)


@given(st.ip_addresses(v=6), ports)
def test_all_ways_to_write_an_ip_are_one(ip: ipaddress.IPv6Address, port: int) -> None:
    written = {f"[{ip}]", f"[{ip.exploded}]", f"[{ip.exploded.upper()}]"}
    assert {Address.parse(f"{each}:{port}") for each in written} == {Address(str(ip), port)}
    assert {parse_host(each) for each in (*written, str(ip))} == {str(ip)}


@given(st.text(alphabet="0123456789abcdef.:[]%- /xé", max_size=24) | st.text(max_size=12))
def test_what_is_taken_is_written_as_what_is_taken_alike(text: str) -> None:
    try:
        found = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(found)) == found
    assert not set("[]/ ") & set(found.host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host:٣",
        "::1",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[127.0.0.1]:80",
        "[host]:80",
        "http://host:80",
        "10.0.0.256:80",
        "127.1:80",
        "ho st:80",
        "a..b:80",
        "-a:80",
        "fe80::1%a/b:80",
        "unix:/tmp/x",
        "*:80",
    ],
)
def test_what_is_malformed_is_told_with_what_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match=r"^got .*want (host:port, for example|an IP address)"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.9.8.7", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_only_what_no_other_machine_reaches_is_loopback(host: str, is_ours: bool) -> None:
    assert is_loopback(host) == is_ours


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "[::1]:1"),
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("a.b:1", "a.b:1"),
    ],
)
def test_what_listens_everywhere_is_reached_on_loopback(text: str, reached: str) -> None:
    assert str(Address.parse(text).reachable) == reached


def test_a_name_to_listen_at_becomes_an_address() -> None:
    assert Address.parse("localhost:80").resolved().is_loopback
    with pytest.raises(ValueError, match=r"the address of 'no\.such\.invalid' is not known"):
        Address.parse("no.such.invalid:80").resolved()
