"""LIKE, RLIKE, and functions of regular expressions.

Source: org.apache.spark.sql.catalyst.expressions.regexpExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

from hydro_runtimes.spark.sql import row_limits
from hydro_runtimes.spark.sql.binding import Function, constant_of, implicit_cast, row_function
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.java_regex import Pattern, compile_java, find_matches
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BOOLEAN, INT, STRING, array_of
from hydro_runtimes.spark.sql.values import Typed

_ANY = r"[\x{0}-\x{10FFFF}]"
_compiled = lru_cache(maxsize=512)(compile_java)


def bind_like(operator: str, sides: Sequence[Typed], escape: str, mode: Mode) -> Typed:
    """LIKE and ILIKE match the whole text, RLIKE a part of it.

    Raises:
        StatementError: a side is not a text.
    """
    test: Callable[[str, str], bool] = {
        "LIKE": lambda text, pattern: _compile_like(pattern, escape).fullmatch(text) is not None,
        "ILIKE": lambda text, pattern: (
            _compile_like(pattern.lower(), escape.lower()).fullmatch(text.lower()) is not None
        ),
        "RLIKE": lambda text, pattern: _compile_pattern(pattern).search(text) is not None,
    }[operator]
    return row_function(test, [STRING, STRING], BOOLEAN).bind(sides, mode)


@lru_cache(maxsize=512)
def _compile_like(pattern: str, escape: str) -> Pattern:
    parts, at = ["(?s)"], 0
    while at < len(pattern):
        char = pattern[at]
        if char == escape:
            at += 1
            after = pattern[at : at + 1]
            if not after or (after not in "_%" and after != escape):
                raise RowError(
                    f"INVALID_FORMAT: the pattern '{pattern[:60]}' has '{escape}' before "
                    f"'{after or 'its end'}', want it before _, % or itself"
                )
            parts.append(_quote_char(after))
        else:
            parts.append({"%": f"{_ANY}*", "_": _ANY}.get(char, _quote_char(char)))
        at += 1
    return compile_java("".join(parts))


def _quote_char(char: str) -> str:
    return "\\\\" if char == "\\" else f"\\Q{char}\\E"


def _compile_pattern(pattern: str) -> Pattern:
    try:
        return _compiled(pattern)
    except ValueError as error:
        raise RowError(f"INVALID_PARAMETER_VALUE.PATTERN: {error}") from None


def _check_group(pattern: Pattern, place: int) -> None:
    if not 0 <= place <= pattern.groups:
        raise RowError(
            f"INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX: got group {place}, "
            f"the pattern has {pattern.groups}"
        )


def _regexp_extract(text: str, pattern: str, place: int = 1) -> str:
    """A group of the first match; "" if there is none."""
    compiled = _compile_pattern(pattern)
    match = compiled.search(text)
    if match is None:
        return ""
    _check_group(compiled, place)
    return match[place] or ""


def _regexp_extract_all(text: str, pattern: str, place: int = 1) -> list[str]:
    compiled = _compile_pattern(pattern)
    found: list[str] = []
    for match in find_matches(compiled, text):
        _check_group(compiled, place)
        found.append(match[place] or "")
    return found


def _regexp_count(text: str, pattern: str) -> int:
    return sum(1 for _ in find_matches(_compile_pattern(pattern), text))


def _regexp_substr(text: str, pattern: str) -> str | None:
    match = _compile_pattern(pattern).search(text)
    return None if match is None or not match[0] else str(match[0])


def _regexp_instr(text: str, pattern: str, place: int = 0) -> int:
    match = _compile_pattern(pattern).search(text)
    return 0 if match is None else match.start() + 1


def _regexp_replace(text: str, pattern: str, replacement: str, position: int = 1) -> str:
    """Replaces all matches from a position; $1 is a group, a backslash escapes a character."""
    if position < 1:
        raise RowError(f"INVALID_PARAMETER_VALUE: the position is {position}, want 1 or more")
    compiled = _compile_pattern(pattern)
    if position > max(len(text), 1):
        return text
    # For the pattern, the text starts at the position, so that ^ matches there.
    before, text = text[: position - 1], text[position - 1 :]
    made, at, size = [before], 0, 0
    for match in find_matches(compiled, text):
        made.append(text[at : match.start()])
        parts = _parse_replacement(replacement, compiled.groups)  # Java reads it at a match
        put = "".join([part if isinstance(part, str) else match[part] or "" for part in parts])
        made.append(put)
        size += len(put)
        row_limits.check_size(size - len(text))
        at = match.end()
    return "".join(made) + text[at:]


def _bind_regexp_replace(arguments: Sequence[Typed], mode: Mode) -> Typed:
    if len(arguments) > 3:
        place = constant_of(implicit_cast(arguments[3], INT, mode), "the position")
        if place is not None and place < 1:
            raise StatementError(f"the position is {place}, want 1 or more")
    takes = [STRING, STRING, STRING, INT]
    return row_function(_regexp_replace, takes, STRING, least=3).bind(arguments, mode)


@lru_cache(maxsize=512)
def _parse_replacement(text: str, groups: int) -> tuple[str | int, ...]:
    """The parts of a replacement: texts, and numbers of groups.

    A number takes more digits only while there is such a group: $12 is group 1 and a 2 if there are
    fewer than 12 groups. Source: java.util.regex.Matcher.appendExpandedReplacement.
    """
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        char, after = text[at], text[at + 1 : at + 2]
        at += 1
        if char == "\\":
            if not after:
                raise RowError("INVALID_REGEXP_REPLACE: the replacement ends with a backslash")
            parts.append(after)
            at += 1
        elif char == "$":
            if not (after.isascii() and after.isdigit()) or int(after) > groups:
                raise RowError(f"INVALID_REGEXP_REPLACE: the replacement has no group ${after}")
            number = int(after)
            at += 1
            while text[at : at + 1].isdigit() and number * 10 + int(text[at]) <= groups:
                number = number * 10 + int(text[at])
                at += 1
            parts.append(number)
        else:
            parts.append(char)
    runs = [(is_text, list(run)) for is_text, run in groupby(parts, lambda one: type(one) is str)]
    return tuple(
        one for is_text, run in runs for one in (["".join(map(str, run))] if is_text else run)
    )


def split_text(text: str, pattern: str, limit: int = -1) -> list[str]:
    """The parts between matches, as String.split of Java, but a limit of 0 keeps empty parts, too.

    Source: UTF8String.split.
    """
    if not pattern and text:
        chars = list(text)
        return (
            chars if limit <= 0 or limit > len(chars) else [*chars[: limit - 1], text[limit - 1 :]]
        )
    parts: list[str] = []
    at = 0
    compiled = _compile_pattern(pattern)
    if not text:
        return [text]
    for match in find_matches(compiled, text):
        if 0 < limit <= len(parts) + 1:
            break
        if match.end() == 0:
            continue
        parts.append(text[at : match.start()])
        at = match.end()
    return [*parts, text[at:]]


def _bind_rlike(arguments: Sequence[Typed], mode: Mode) -> Typed:
    return bind_like("RLIKE", arguments, "\\", mode)


def _bind_like_with_escape(operator: str) -> Callable[[Sequence[Typed], Mode], Typed]:
    """Binds like(text, pattern, escape), the function."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        escape = constant_of(arguments[2], "the escape") if len(arguments) > 2 else "\\"
        return bind_like(
            operator, [implicit_cast(one, STRING, mode) for one in arguments[:2]], escape, mode
        )

    return bind


PATTERNS: Mapping[str, Function] = {
    "ilike": Function(_bind_like_with_escape("ILIKE"), 2, 3, BOOLEAN),
    "like": Function(_bind_like_with_escape("LIKE"), 2, 3, BOOLEAN),
    "regexp_count": row_function(_regexp_count, [STRING, STRING], INT),
    "regexp_extract": row_function(_regexp_extract, [STRING, STRING, INT], STRING, least=2),
    "regexp_extract_all": row_function(
        _regexp_extract_all, [STRING, STRING, INT], array_of(STRING), least=2
    ),
    "regexp_instr": row_function(_regexp_instr, [STRING, STRING, INT], INT, least=2),
    "regexp_replace": Function(_bind_regexp_replace, 3, 4, STRING),
    "regexp_substr": row_function(_regexp_substr, [STRING, STRING], STRING),
    "rlike": Function(_bind_rlike, 2, 2, BOOLEAN),
    "split": row_function(split_text, [STRING, STRING, INT], array_of(STRING), least=2),
}
"""By Spark's name."""
