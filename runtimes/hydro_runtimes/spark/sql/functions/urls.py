"""Functions of URLs: parse_url, url_encode, url_decode.

Source: org.apache.spark.sql.catalyst.expressions.urlExpressions, 4.3.0; java.net.URI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote_plus, unquote_to_bytes

from hydro_runtimes.spark.sql.binding import (
    Function,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import STRING
from hydro_runtimes.spark.sql.values import Typed

_OTHER = r"\x80-\x{10FFFF}".replace(r"\x{10FFFF}", "\U0010ffff").replace(r"\x80", "\xa0")
_MARKS = r"a-zA-Z0-9_\-!.~'()*,;:$&+=" + _OTHER
_ESCAPE = r"%[0-9a-fA-F]{2}"
_PATH = rf"(?:[{_MARKS}@/]|{_ESCAPE})*"
_QUERY = rf"(?:[{_MARKS}@/?\[\]]|{_ESCAPE})*"
_AUTHORITY = rf"(?:[{_MARKS}@\[\]]|{_ESCAPE})*"
_URI = re.compile(
    rf"(?:(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]*):)?"
    rf"(?:(?P<opaque>(?<=:)(?:[{_MARKS}?@]|{_ESCAPE})(?:[{_MARKS}?@/\[\]]|{_ESCAPE})*)"
    rf"|(?://(?P<authority>{_AUTHORITY}))?(?P<path>{_PATH})(?:\?(?P<query>{_QUERY}))?)"
    rf"(?:\#(?P<ref>{_QUERY}))?"
)
_SERVER = re.compile(
    rf"(?:(?P<userinfo>(?:[{_MARKS}]|{_ESCAPE})*)@)?"
    r"(?P<host>(?:[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?\.)*"
    r"[a-zA-Z](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?\.?|(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]+\])"
    r"(?::\d*)?"
)


def _parse_url_function(safe: bool) -> Function:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        given = [require_type(one, STRING, mode) for one in arguments]
        quiet = safe or not mode.ansi
        return row_by_row(lambda *parts: parse_url(*parts, quiet=quiet), given, STRING)

    def parse_url(url: str, part: str, key: str | None = None, *, quiet: bool) -> str | None:
        if key is not None and part != "QUERY":
            return None
        match = _URI.fullmatch(url)
        if match is None:
            if quiet:
                return None
            raise RowError(f"INVALID_URL: {url[:60]!r} is not a URL; use try_parse_url to get null")
        found = _url_part(match, part)
        if key is None or found is None:
            return found if key is None else None
        pair = re.search(rf"(?:&|^){re.escape(key)}=([^&]*)", found)
        return pair[1] if pair else None

    return Function(bind, 2, 3, STRING)


def _url_part(match: re.Match[str], part: str) -> str | None:
    is_opaque = match["opaque"] is not None
    authority = match["authority"] or None
    server = _SERVER.fullmatch(authority) if authority else None
    match part:
        case "HOST":
            return server["host"] if server else None
        case "USERINFO":
            return server["userinfo"] if server else None
        case "PATH":
            return None if is_opaque else match["path"]
        case "QUERY":
            return match["query"]
        case "REF":
            return match["ref"]
        case "PROTOCOL":
            return match["scheme"]
        case "AUTHORITY":
            return authority
        case "FILE":
            if is_opaque:
                return None
            return match["path"] + (f"?{match['query']}" if match["query"] is not None else "")
    return None


def _url_encode(text: str) -> str:
    """The encoding of java.net.URLEncoder: it keeps a star, and encodes a tilde."""
    return quote_plus(text, safe="*").replace("~", "%7E")


def _url_decode(safe: bool) -> Callable[[str], str | None]:
    def decode_url(text: str) -> str | None:
        if re.search(r"%(?![0-9a-fA-F]{2})", text):
            if safe:
                return None
            raise RowError(f"CANNOT_DECODE_URL: {text[:60]!r} has a % without two digits after it")
        return unquote_to_bytes(text.replace("+", " ")).decode(errors="replace")

    return decode_url


URLS: Mapping[str, Function] = {
    "parse_url": _parse_url_function(safe=False),
    "try_parse_url": _parse_url_function(safe=True),
    "try_url_decode": row_function(_url_decode(safe=True), [STRING], STRING),
    "url_decode": row_function(_url_decode(safe=False), [STRING], STRING),
    "url_encode": row_function(_url_encode, [STRING], STRING),
}
"""By Spark's name."""
