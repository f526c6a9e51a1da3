r"""Regular expressions of Java for the module `regex`.

What differs is rewritten: in Java \w \d \s and the POSIX classes are ASCII, `.` stops at more line
ends, and sets may be nested and intersected, as in version 1 of `regex`.

Source: java.util.regex.Pattern, JDK 17.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from hydro_runtimes.spark.sql.errors import RowError

MATCH_S = 2.0
CHARACTER_S = 2e-6
"""How long the matches of a text may take, of CPU time: so long, and for each character."""
_QUICK_S = 0.01
_TOO_LONG = (
    f"a regular expression takes more than {MATCH_S:g} s and {CHARACTER_S * 1e6:g} us a character, "
    "the limit here"
)
_LINE_ENDS = r"\n\r\x85\u2028\u2029"
_SETS = {
    "w": "a-zA-Z0-9_",
    "d": "0-9",
    "s": r" \t\n\x0B\f\r",
    "h": r" \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    "v": r"\n\x0B\f\r\x85\u2028\u2029",
}
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7F",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1F\x7F",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0B\f\r",
    "javaLowerCase": r"\p{Lowercase}",
    "javaUpperCase": r"\p{Uppercase}",
    "IsLetter": r"\p{L}",
    "IsDigit": r"\p{Nd}",
    "IsPunctuation": r"\p{P}",
    "IsControl": r"\p{Cc}",
    "IsTitlecase": r"\p{Lt}",
    "javaLetter": r"\p{L}",
    "javaLetterOrDigit": r"\p{L}\p{Nd}",
    "javaDigit": r"\p{Nd}",
    "javaAlphabetic": r"\p{Alphabetic}",
    "javaSpaceChar": r"\p{Z}",
    "javaTitleCase": r"\p{Lt}",
    "javaWhitespace": r"\p{Zs}\p{Zl}\p{Zp}\t\n\x0B\f\r\x1C-\x1F--[\xA0\u2007\u202F]",
}
_WORD = r"[\p{L}\p{Nd}_]"
"""What counts as a word beside `\b`, as in JDK 17; JDK 19 made it ASCII."""
_MARKED = r"[\p{L}\p{Nd}]\p{Mn}+"
"""A mark counts as a word where it stands on one."""
_BEFORE = f"{_WORD}|{_MARKED}"
_AFTER = rf"{_WORD}|\p{{Mn}}(?<={_MARKED})"
_BOUNDARY = f"(?:(?<={_BEFORE})(?!{_AFTER})|(?<!{_BEFORE})(?={_AFTER}))"
_INSIDE = f"(?:(?<={_BEFORE})(?={_AFTER})|(?<!{_BEFORE})(?!{_AFTER}))"
_UNICODE_SETS = {
    "w": r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}",
    "d": r"\p{Nd}",
    "s": r"\p{White_Space}",
}
"""With the flag U."""
_FLAGS = regex.compile(r"\(\?([idmsuxU]*)(?:-([idmsuxU]+))?([):])")
_LINE_START = r"(?:(?<![\s\S])|(?<=[\n\x85\u2028\u2029]|\r(?!\n)))(?=[\s\S])"
_LINE_END = r"(?:(?=[\r\x85\u2028\u2029])|(?<!\r)(?=\n)|\Z)"
_ESCAPES = {
    "b": _BOUNDARY,
    "B": _INSIDE,
    "R": rf"(?>\r\n|[{_LINE_ENDS}\x0B\f])",
    "z": r"\Z",
    "Z": rf"(?=(?:\r\n|[{_LINE_ENDS}])?\Z)",
    "e": r"\x1B",
    "a": r"\x07",
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern of Java, whose work on a text is bounded.

    All methods raise RowError where a match takes too long: patterns can take time that doubles
    with every character.
    """

    _compiled: Any
    groups: int

    def search(self, text: str, at: int = 0) -> Any:
        """The first match from a place, or None."""
        return _soon(text, lambda **told: self._compiled.search(text, at, **told))

    def fullmatch(self, text: str) -> Any:
        """The match of the whole text, or None."""
        return _soon(text, lambda **told: self._compiled.fullmatch(text, **told))

    def finditer(self, text: str) -> Iterator[Any]:
        """As `regex` finds them, up to the first one of nothing."""
        at = 0
        for told in _settings(text):
            with contextlib.suppress(TimeoutError):
                for match in self._compiled.finditer(text, at, **told):
                    yield match
                    at = match.end()
                return
        raise RowError(_TOO_LONG)


def _soon(text: str, find: Callable[..., Any]) -> Any:
    for told in _settings(text):
        with contextlib.suppress(TimeoutError):
            return find(**told)
    raise RowError(_TOO_LONG)


def _settings(text: str) -> Sequence[dict[str, Any]]:
    """What `regex` is told: first to be quick, then to let others run while it is at it."""
    limit = MATCH_S + CHARACTER_S * len(text)
    return ({"timeout": _QUICK_S}, {"timeout": limit, "concurrent": True})


def compile_java(pattern: str) -> Pattern:
    """A pattern of Java.

    Raises:
        ValueError: it is no valid pattern, or uses what has no counterpart.
    """
    try:
        compiled = regex.compile(_translate(pattern), regex.VERSION1)
    except (regex.error, RecursionError, KeyError) as error:
        raise ValueError(f"'{pattern[:100]}' cannot be used: {error}") from error
    return Pattern(compiled, compiled.groups)


def matches(pattern: Pattern, text: str) -> Iterator[Any]:
    """As Matcher.find of Java: after a match of nothing, the next one starts a character later."""
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


def split(pattern: Pattern, text: str) -> list[str]:
    """As Pattern.split: empty texts stay but for those at the end."""
    parts: list[str] = []
    start = 0
    for match in matches(pattern, text):
        if match.end() == 0:
            continue
        parts.append(text[start : match.start()])
        start = match.end()
    if not parts:
        return [text]
    parts.append(text[start:])
    while parts and not parts[-1]:
        parts.pop()
    return parts


def _translate(pattern: str) -> str:
    out: list[str] = []
    scopes = [frozenset[str]()]
    depth = at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            text, at = _escape(pattern, at + 1, depth > 0, scopes[-1])
            out.append(text)
            continue
        if not depth and (found := _FLAGS.match(pattern, at)) is not None:
            out.append(_scope(scopes, *found.groups(default="")))
            at = found.end()
            continue
        at += 1
        if char == "[":
            depth += 1
            out.append("[")
            if pattern.startswith("^", at):
                out.append("^")
                at += 1
            if pattern.startswith("]", at):
                out.append(r"\]")
                at += 1
        elif char == "]" and depth:
            depth -= 1
            out.append("]")
        elif depth and "i" in scopes[-1] and not _is_unicode(scopes[-1]):
            text, at = _both_cases_in_set(pattern, at - 1)
            out.append(text)
        elif depth:
            out.append(f"\\{char}" if _is_operator(pattern, at - 1) else char)
        else:
            if char == "(":
                scopes.append(scopes[-1])
            elif char == ")" and len(scopes) > 1:
                scopes.pop()
            out.append(_outside(char, scopes[-1]))
    return "".join(out)


def _scope(scopes: list[frozenset[str]], on: str, off: str, end: str) -> str:
    """Takes in flags, for the rest of the group or one of their own; x and i stay in the text."""
    before = scopes[-1]
    flags = (before | set(on)) - set(off)
    if end == ":":
        scopes.append(flags)
    else:
        scopes[-1] = flags
    added = "x" if "x" in on else ""
    taken = "x" if "x" in off else ""
    folds = "i" in flags and _is_unicode(flags)
    if folds:
        added, taken = f"{added}i", f"{taken}f"  # f: whole words, as ss for ß, which Java has not
    elif "i" in before and _is_unicode(before):
        taken += "i"  # ASCII alone is matched by both cases of each letter
    if added or taken:
        return f"(?{added}{'-' if taken else ''}{taken}{end}"
    return "(?:" if end == ":" else ""


def _is_unicode(flags: frozenset[str]) -> bool:
    """Case counts for all letters, not for those of ASCII alone."""
    return "u" in flags or "U" in flags


def _both_cases(char: str) -> str:
    return f"{char}{char.swapcase()}" if char.isascii() and char.isalpha() else char


def _both_cases_in_set(pattern: str, at: int) -> tuple[str, int]:
    """A character or range of a set in both cases of ASCII, and where to go on."""
    start, end = pattern[at], pattern[at + 2 : at + 3]
    if pattern[at + 1 : at + 2] != "-" or end in ("", "]", "[", "\\"):
        text = _both_cases(start)
        return f"\\{text}" if _is_operator(pattern, at) else text, at + 1
    parts = [f"{start}-{end}"]
    for first, last in (("a", "z"), ("A", "Z")):
        low, high = max(start, first), min(end, last)
        if low <= high:
            parts.append(f"{low.swapcase()}-{high.swapcase()}")
    return "".join(parts), at + 3


def _quoted(char: str) -> str:
    both = _both_cases(char)
    return f"[{both}]" if len(both) > 1 else regex.escape(char, special_only=False)


def _is_operator(pattern: str, at: int) -> bool:
    """Whether `regex` would read a doubled character in a set as an operator that Java lacks."""
    char = pattern[at]
    return char in "|~-" and char in (pattern[at + 1 : at + 2], pattern[at - 1 : at])


def _outside(char: str, flags: frozenset[str]) -> str:
    match char:
        case ".":
            return r"[\s\S]" if "s" in flags else r"[^\n]" if "d" in flags else f"[^{_LINE_ENDS}]"
        case "$":
            return _LINE_END if "m" in flags else _ESCAPES["Z"]
        case "^":
            return _LINE_START if "m" in flags else char
    if "i" in flags and not _is_unicode(flags) and char.isascii() and char.isalpha():
        return f"[{_both_cases(char)}]"
    return char


def _escape(pattern: str, at: int, in_set: bool, flags: frozenset[str]) -> tuple[str, int]:
    """What follows a backslash at `at - 1`: its translation, and where to go on."""
    char = pattern[at : at + 1]
    if not char:
        raise ValueError("pattern ends in a backslash")
    if char == "Q":
        end = pattern.find(r"\E", at)
        quoted = pattern[at + 1 : end if end >= 0 else len(pattern)]
        after = end + 2 if end >= 0 else len(pattern)
        if "i" in flags and not _is_unicode(flags) and not in_set:
            return "".join(map(_quoted, quoted)), after
        return regex.escape(quoted, special_only=False), after
    if char.lower() in _SETS:
        sets = _SETS | _UNICODE_SETS if "U" in flags else _SETS
        return _set(sets[char.lower()], char.isupper(), in_set), at + 1
    if char == "c" and at + 1 < len(pattern):
        return f"\\x{ord(pattern[at + 1]) ^ 64:02X}", at + 2
    if char == "k" and pattern.startswith("<", at + 1):
        end = pattern.index(">", at)
        return f"(?P={pattern[at + 2 : end]})", end + 1
    if char in "pP":
        return _property(pattern, at, in_set)
    if char in _ESCAPES:
        return _ESCAPES[char], at + 1
    if char == "0":
        digits = regex.match(r"[0-3]?[0-7]{1,2}", pattern[at + 1 :])
        if digits is None:
            raise ValueError(r"\0 needs octal digits")
        return f"\\x{int(digits.group(), 8):02X}", at + 1 + digits.end()
    if char == "x" and pattern.startswith("{", at + 1):
        end = pattern.index("}", at)
        return f"\\U{int(pattern[at + 2 : end], 16):08X}", end + 1
    return f"\\{char}", at + 1


def _property(pattern: str, at: int, in_set: bool) -> tuple[str, int]:
    if pattern.startswith("{", at + 1):
        end = pattern.index("}", at)
        name, after = pattern[at + 2 : end], end + 1
    else:
        name, after = pattern[at + 1 : at + 2], at + 2
    negated = pattern[at] == "P"
    if name in _POSIX:
        return _set(_POSIX[name], negated, in_set), after
    return f"\\{pattern[at]}{{{name}}}", after


def _set(content: str, negated: bool, in_set: bool) -> str:
    if negated:
        return f"[^{content}]"
    return content if in_set and "--" not in content else f"[{content}]"
