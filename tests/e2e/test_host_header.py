"""Who asks a mesh without keys by a name that is not this machine's is refused, at every port."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S
from whole_mesh import WholeMesh

pytestmark = pytest.mark.e2e

PATHS = {
    "gateway": ("POST", "/api/v1/serve/no-such", "NOT_FOUND"),
    "manager": ("GET", "/api/v1/pipelines/no-such", "NOT_FOUND"),
    "repository": ("GET", "/metadata/no-such", "NOT_FOUND"),
}
NAMES = (
    *("localhost", "LocalHost", "localhost.", "127.0.0.1", "127.255.0.9", "[::1]"),
    *("127.1", "127.0.0.256", "127.0.0.1.", "0127.0.0.1", "0x7f.0.0.1", "2130706433", "0.0.0.0"),
    *("[::]", "::1", "[::1", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[fe80::1%25lo]"),
    *("example.org", "localhost.example.org", "evil.localhost", "127.0.0.1.example.org"),
    *(
        "user@localhost",
        "localhost@example.org",
        "localhost,example.org",
        "localhost/",
        "l\xf6calhost",
    ),
)
names = st.one_of(
    st.sampled_from(NAMES),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=4, network="127.0.0.0/8").map(str),
    st.from_regex(r"[a-zA-Z0-9.\-]{1,20}", fullmatch=True),
)
ports = st.sampled_from(["", "", "", ":80", ":65535", ":00080", ":", ":123456", ":x", ":80:80"])
hosts = st.builds("{}{}".format, names, ports)


def is_local(host: str) -> bool:
    """Whether a browser that goes there by this name reaches this machine, and no site owns it."""
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::[0-9]{1,5})?", host)
    name = found[1].lower() if found else ""
    if name in ("localhost", "localhost.", "[::1]"):
        return True
    try:
        return ipaddress.IPv4Address(name) in ipaddress.IPv4Network("127.0.0.0/8")
    except ValueError:
        return False


def statuses(mesh: WholeMesh, head: str, *fields: str) -> Iterator[tuple[str, str]]:
    """What each port answers: `OK`, or the status of the error in our form."""
    for port, (method, path, missing) in PATHS.items():
        body = "content-length: 2\r\ncontent-type: application/json" if method == "POST" else ""
        lines = [head.format(method=method, path=path), *fields, body, "connection: close"]
        request = "\r\n".join(filter(None, lines)) + "\r\n\r\n" + ("[]" if body else "")
        host, _, number = mesh.address(port).rpartition(":")
        with socket.create_connection((host, int(number)), PATIENCE_S) as connection:
            connection.sendall(request.encode("latin-1"))
            with http.client.HTTPResponse(connection, method=method) as answer:
                answer.begin()  # up to its length: Envoy closes a second later
                status = json.loads(answer.read())["status"]
        yield port, "OK" if status == missing else status


REFUSED = {"PERMISSION_DENIED", "INVALID_ARGUMENT"}


@settings(max_examples=80, deadline=None)
@given(hosts, st.sampled_from(["1.0", "1.1"]))
@example("localhost", "1.0")
@example("EXAMPLE.org:80", "1.1")
def test_only_names_of_this_machine_are_answered(mesh: WholeMesh, host: str, version: str) -> None:
    head = f"{{method}} {{path}} HTTP/{version}"
    for port, status in statuses(mesh, head, f"host: {host}"):
        assert (status == "OK") == is_local(host), (port, host, status)
        assert status in {"OK", *REFUSED}, (port, host)


@settings(max_examples=60, deadline=None)
@given(hosts, hosts)
@example("localhost", "example.org")
@example("example.org", "localhost")
def test_what_the_target_says_counts_before_the_header(
    mesh: WholeMesh, target: str, host: str
) -> None:
    head = f"{{method}} http://{target}{{path}} HTTP/1.1"
    for port, status in statuses(mesh, head, f"host: {host}"):
        if status == "OK":
            assert is_local(target.partition("/")[0]), (port, target, host)


@settings(max_examples=40, deadline=None)
@given(st.lists(hosts, min_size=2, max_size=3))
@example(["localhost", "localhost"])
@example(["localhost", "example.org"])
def test_two_hosts_are_refused(mesh: WholeMesh, several: list[str]) -> None:
    head = "{method} {path} HTTP/1.1"
    for port, status in statuses(mesh, head, *(f"host: {host}" for host in several)):
        assert status in REFUSED, (port, several, status)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["http", "https", "HTTP", "file", "chrome-extension", "ws"]),
    hosts,
)
@example("http", "localhost:3000")
def test_pages_of_other_machines_are_refused(mesh: WholeMesh, scheme: str, host: str) -> None:
    is_page_here = scheme.lower() in ("http", "https") and is_local(host)
    fields = ("host: localhost", f"origin: {scheme}://{host}")
    for port, status in statuses(mesh, "{method} {path} HTTP/1.1", *fields):
        assert (status == "OK") == is_page_here, (port, scheme, host, status)


@pytest.mark.parametrize("origin", ["null", "", "localhost", "http://localhost, http://localhost"])
def test_what_is_no_origin_is_refused(mesh: WholeMesh, origin: str) -> None:
    fields = ("host: localhost", f"origin: {origin}")
    for port, status in statuses(mesh, "{method} {path} HTTP/1.1", *fields):
        assert status == "PERMISSION_DENIED", (port, origin)
