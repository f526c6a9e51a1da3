"""Regular expressions of Java, evaluated by the module `regex` within a bounded time.

Source: java.util.regex.{Pattern, Matcher}, JDK 17.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.java_regex_translation import translate_pattern

MATCH_S = 2.0
CHARACTER_S = 2e-6
"""CPU time, in seconds, that the matches of a text may take: a constant, and for each character."""
_QUICK_S = 0.01
_TOO_LONG = (
    f"a regular expression takes more than {MATCH_S:g} s and {CHARACTER_S * 1e6:g} us a character, "
    "the limit here"
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern of Java, whose time for a text is bounded.

    All methods raise RowError if a match takes too long: there are patterns whose time doubles with
    each character of the text.
    """

    _compiled: Any
    groups: int

    def search(self, text: str, at: int = 0) -> Any:
        """The first match at or after a place; None if there is none."""
        return _search_bounded(text, lambda **told: self._compiled.search(text, at, **told))

    def fullmatch(self, text: str) -> Any:
        """The match of the whole text; None if it does not match."""
        return _search_bounded(text, lambda **told: self._compiled.fullmatch(text, **told))

    def finditer(self, text: str) -> Iterator[Any]:
        """The matches as `regex` finds them, up to and with the first empty one.

        After an empty match, Java and `regex` go on at different places: see `find_matches`.
        """
        at = 0  # where the second try, with the longer timeout, goes on
        for told in _timeouts(text):
            with contextlib.suppress(TimeoutError):
                for match in self._compiled.finditer(text, at, **told):
                    yield match
                    at = match.end()
                return
        raise RowError(_TOO_LONG)


def _search_bounded(text: str, find: Callable[..., Any]) -> Any:
    for told in _timeouts(text):
        with contextlib.suppress(TimeoutError):
            return find(**told)
    raise RowError(_TOO_LONG)


def _timeouts(text: str) -> Sequence[dict[str, Any]]:
    """The options of the first and the second try.

    The second releases the interpreter's lock, so that other threads run meanwhile. That costs a
    few microseconds for each match, which the first, short try saves for most texts.
    """
    limit = MATCH_S + CHARACTER_S * len(text)
    return ({"timeout": _QUICK_S}, {"timeout": limit, "concurrent": True})


def compile_java(pattern: str) -> Pattern:
    """Compiles a pattern of Java.

    Raises:
        ValueError: it is not a valid pattern, or uses what `regex` has no counterpart for.
    """
    try:
        compiled = regex.compile(translate_pattern(pattern), regex.VERSION1)
    except (regex.error, RecursionError, KeyError) as error:
        raise ValueError(f"'{pattern[:100]}' cannot be used: {error}") from error
    return Pattern(compiled, compiled.groups)


def find_matches(pattern: Pattern, text: str) -> Iterator[Any]:
    """The matches of a text, as Matcher.find: after an empty match it goes on one character later.

    Raises:
        RowError: they take too long.
    """
    at = 0
    for match in pattern.finditer(text):
        if match.end() == match.start():
            break
        yield match
        at = match.end()
    else:
        return
    while at <= len(text) and (match := pattern.search(text, at)) is not None:
        yield match
        at = match.end() + (match.end() == match.start())


def split_text(pattern: Pattern, text: str) -> list[str]:
    """The parts between matches, as Pattern.split: empty parts stay, except at the end.

    Raises:
        RowError: the matches take too long.
    """
    parts: list[str] = []
    start = 0
    for match in find_matches(pattern, text):
        if match.end() == 0:  # since JDK 8 an empty match at the start gives no empty part
            continue
        parts.append(text[start : match.start()])
        start = match.end()
    if not parts:
        return [text]
    parts.append(text[start:])
    while parts and not parts[-1]:
        parts.pop()
    return parts
