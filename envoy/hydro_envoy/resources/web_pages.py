"""Keeps web pages away from a port that any program of this machine may use. Pure.

A page of any site can have its reader's browser send a form to 127.0.0.1, as Origin shows;
or it can let the name of its site point to 127.0.0.1 (DNS rebinding) and then even read answers,
which shows in `Host`. Where callers show a key nothing of this is needed: no page has it.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.rbac.v3 import (
    Permission,
    Policy,
    Principal,
    PrincipalSet,
    Rbac,
    RbacAction,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.google.protobuf import Any

FOREIGN_HOST, FOREIGN_ORIGIN = "foreign_host", "foreign_origin"
"""What Envoy's details of a refused request name."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
LOOPBACK = rf"(?i:localhost\.?|127(?:\.{_OCTET}){{3}}|\[::1\])(?::[0-9]{{1,5}})?"
"""The hosts of this machine alone, with any port; RE2."""
LOOPBACK_ORIGIN = rf"(?i:https?)://{LOOPBACK}"
"""Those of pages that a program of this machine serves."""


def foreign_pages_filter() -> HttpFilter:
    """Refuses, with 403, what a page of another machine has a browser send."""
    host = Principal(not_id=_header_matches(":authority", LOOPBACK))
    has_origin = Principal(header=HeaderMatcher(name="origin", present_match=True))
    is_foreign = Principal(not_id=_header_matches("origin", LOOPBACK_ORIGIN))
    origin = Principal(and_ids=PrincipalSet(ids=[has_origin, is_foreign]))
    anything = [Permission(any=True)]
    policies = {
        FOREIGN_HOST: Policy(permissions=anything, principals=[host]),
        FOREIGN_ORIGIN: Policy(permissions=anything, principals=[origin]),
    }
    rules = RbacFilter(rules=Rbac(action=RbacAction.DENY, policies=policies))
    return HttpFilter(name="web_pages", typed_config=Any.pack(rules))


def _header_matches(name: str, regex: str) -> Principal:
    matcher = StringMatcher(safe_regex=RegexMatcher(regex=regex))
    return Principal(header=HeaderMatcher(name=name, string_match=matcher))
