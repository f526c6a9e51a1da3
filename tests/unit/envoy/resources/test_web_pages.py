"""Which hosts and origins are of this machine alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_envoy.address import Address, is_loopback
from hydro_envoy.resources.web_pages import LOOPBACK, LOOPBACK_ORIGIN

ports = st.integers(0, 65535)


def is_taken(host: str) -> bool:
    return re.fullmatch(LOOPBACK, host) is not None


@given(st.ip_addresses(v=4) | st.ip_addresses(v=4, network="127.0.0.0/8"), ports)
def test_of_ipv4_those_that_no_other_machine_reaches(ip: object, port: int) -> None:
    assert is_taken(str(ip)) == is_taken(f"{ip}:{port}") == is_loopback(str(ip))


@given(st.ip_addresses(v=6), ports)
def test_of_ipv6_the_one(ip: object, port: int) -> None:
    assert is_taken(str(Address(str(ip), port))) == (str(ip) == "::1")


@given(st.text(alphabet="0127.:[]localhstLOCALHST%@/\\ \r\n", max_size=20))
def test_what_is_taken_is_of_this_machine(host: str) -> None:
    if is_taken(host):
        name = host if host.endswith("]") else re.sub(r":\d+$", "", host)
        assert is_loopback(name.strip("[]"))


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("localhost", True),
        ("LocalHost:80", True),
        ("localhost.:80", True),
        ("127.1.2.3:1", True),
        ("[::1]:8080", True),
        ("", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.256", False),
        ("127.0.0.1:80:80", False),
        ("0.0.0.0:80", False),
        ("10.0.0.1", False),
        ("[::]", False),
        ("::1", False),
    ],
)
def test_the_host_of_a_request(host: str, taken: bool) -> None:
    assert is_taken(host) == taken


@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:1", True),
        ("null", False),
        ("", False),
        ("http://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost,http://evil.example", False),
        ("chrome-extension://abc", False),
        ("file://", False),
    ],
)
def test_the_origin_of_a_request(origin: str, taken: bool) -> None:
    assert bool(re.fullmatch(LOOPBACK_ORIGIN, origin)) == taken
