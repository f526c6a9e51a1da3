"""What the header fields of a request may be. Source: RFC 9113, sections 8.1.1, 8.2 and 8.3.

All names, and all values, are looked at as the lines of one text: a field at a time would cost more
than all the rest of a call. The names are the same in call after call, so what was found of them is
remembered.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from hydro_services.http2.fields import Field

_NOT_A_NAME = re.compile(r"[^a-z0-9!#$%&'*+.^_`|~:\n-]|[^\n]:|^$", re.MULTILINE)
_NOT_IN_VALUES = ("\0", "\r", "\n ", "\n\t", " \n", "\t\n")
_WANTED = frozenset((":method", ":path", ":scheme"))
_PSEUDO = _WANTED | {":authority"}
_OF_A_CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)
_REMEMBERED = 1_024
"""Characters of names that are worth remembering; longer ones would fill our memory."""


class Malformed(Exception):
    """The request is not HTTP; its stream ends with PROTOCOL_ERROR."""


def parse_request(found: Sequence[Field]) -> dict[str, str]:
    """The fields of a request by name, the last one of each name.

    Raises:
        Malformed: they are not those of a request.
    """
    # One search over all names instead of one for each: this runs for each call. A name that has a
    # line break itself changes the count of lines, by which it is found.
    names = "\n".join([name for name, _ in found])
    check = _are_of_a_request_cached if len(names) <= _REMEMBERED else _are_of_a_request
    if not check(names, len(found)) or not _are_values([value for _, value in found]):
        raise Malformed("the fields are not those of a request")
    metadata = dict(found)
    # RFC 9113, 8.3.1 and 8.2.2: the only hop-by-hop field of HTTP/1.1 that is left is te.
    if not metadata[":path"] or metadata.get("te", "trailers") != "trailers":
        raise Malformed(":path is empty, or te is not 'trailers'")
    return metadata


def check_trailers(found: Sequence[Field]) -> None:
    """Checks the fields after a body.

    Raises:
        Malformed: they are not those of trailers.
    """
    names = [name for name, _ in found]
    well = _are_names("\n".join(names), len(names)) and _are_values([value for _, value in found])
    if found and (not well or any(name[0] == ":" for name in names)):
        raise Malformed("the fields are not those of trailers")


def parse_length(metadata: dict[str, str]) -> int | None:
    """The bytes that the body is said to have.

    Raises:
        Malformed: it is no number.
    """
    text = metadata.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Malformed("content-length is no number")
    return int(text)


def _are_of_a_request(lines: str, count: int) -> bool:
    """Names, with each of the pseudo-header fields once, before the others."""
    if not _are_names(lines, count):
        return False
    names = lines.split("\n")
    pseudo = [name for name in names if name[0] == ":"]
    distinct = set(pseudo)
    # Order and number are what request smuggling plays with: RFC 9113, 8.3.
    in_order = names[: len(pseudo)] == pseudo and len(distinct) == len(pseudo)
    return in_order and _WANTED <= distinct <= _PSEUDO


_are_of_a_request_cached = functools.lru_cache(1_024)(_are_of_a_request)


def _are_names(lines: str, count: int) -> bool:
    if lines.count("\n") != count - 1 or _NOT_A_NAME.search(lines):
        return False
    return _OF_A_CONNECTION.isdisjoint(lines.split("\n"))


def _are_values(values: Sequence[str]) -> bool:
    lines = "\n".join(["", *values, ""])
    # Line breaks around the whole list, so that a blank at the beginning or the end of any value
    # stands beside one: RFC 9113, 8.2.1 allows neither.
    return lines.count("\n") == len(values) + 1 and not any(no in lines for no in _NOT_IN_VALUES)
