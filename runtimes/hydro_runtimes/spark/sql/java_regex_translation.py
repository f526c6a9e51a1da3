r"""The translation of regular expressions of Java to those of the module `regex`.

What differs is rewritten: in Java \w \d \s and the POSIX classes are ASCII, `.` stops at more line
ends, and sets may be nested and intersected, as in version 1 of `regex`.

Source: java.util.regex.Pattern, JDK 17.
"""

from __future__ import annotations

import regex

_LINE_ENDS = r"\n\r\x85\u2028\u2029"
"""Where `.` stops and `$` matches in Java; `regex` knows the newline only."""
_SETS = {
    "w": "a-zA-Z0-9_",
    "d": "0-9",
    "s": r" \t\n\x0B\f\r",
    "h": r" \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    "v": r"\n\x0B\f\r\x85\u2028\u2029",
}
"""By lower-case letter of the escape, the content of its set: ASCII, unless the flag U is on."""
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
"""By name in \\p{...}, the properties that `regex` lacks or knows otherwise."""
_WORD = r"[\p{L}\p{Nd}_]"
r"""A character of a word for \b in JDK 17, where it is Unicode although \w is ASCII; JDK 19 made \b
ASCII, too."""
_MARKED = r"[\p{L}\p{Nd}]\p{Mn}+"
"""A combining mark counts as a character of a word if it follows one."""
_BEFORE = f"{_WORD}|{_MARKED}"
_AFTER = rf"{_WORD}|\p{{Mn}}(?<={_MARKED})"
_BOUNDARY = f"(?:(?<={_BEFORE})(?!{_AFTER})|(?<!{_BEFORE})(?={_AFTER}))"
_INSIDE = f"(?:(?<={_BEFORE})(?={_AFTER})|(?<!{_BEFORE})(?!{_AFTER}))"
_UNICODE_SETS = {
    "w": r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}",
    "d": r"\p{Nd}",
    "s": r"\p{White_Space}",
}
"""As `_SETS`, with the flag U (UNICODE_CHARACTER_CLASS)."""
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


def translate_pattern(pattern: str) -> str:
    """A pattern of Java as one of `regex` in version 1.

    Raises:
        ValueError: an escape or a set is not complete.
    """
    # One pass over the characters. `depth` counts open sets, which may be nested; `scopes` has the
    # flags of each open group, for flags such as (?i) last to the end of their group.
    out: list[str] = []
    scopes = [frozenset[str]()]
    depth = at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            text, at = _translate_escape(pattern, at + 1, depth > 0, scopes[-1])
            out.append(text)
            continue
        # Flags change how later characters are translated. `regex` gets only those that it must
        # still apply itself.
        if not depth and (found := _FLAGS.match(pattern, at)) is not None:
            out.append(_translate_flags(scopes, *found.groups(default="")))
            at = found.end()
            continue
        at += 1
        if char == "[":
            depth += 1
            out.append("[")
            # A ] right after [ or [^ is a character of the set, and not its end.
            if pattern.startswith("^", at):
                out.append("^")
                at += 1
            if pattern.startswith("]", at):
                out.append(r"\]")
                at += 1
        elif char == "]" and depth:
            depth -= 1
            out.append("]")
        elif depth and char == ":":
            out.append(r"\:")  # [:alpha:] is a set of these six characters in Java
        elif depth and "i" in scopes[-1] and not _is_unicode(scopes[-1]):
            text, at = _both_cases_in_set(pattern, at - 1)
            out.append(text)
        elif depth:
            out.append(f"\\{char}" if _is_operator(pattern, at - 1) else char)
        else:
            if char == "(":
                # A group begins with the flags around it, and what it changes ends with it.
                scopes.append(scopes[-1])
            elif char == ")" and len(scopes) > 1:
                scopes.pop()
            out.append(_translate_outside_set(char, scopes[-1]))
    return "".join(out)


def _translate_flags(scopes: list[frozenset[str]], on: str, off: str, end: str) -> str:
    """Applies flags to the rest of the group or, as in (?i:...), to a new group.

    Returns:
        What stays in the pattern: x, and i where it is Unicode.
    """
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
        # Java folds letter by letter. Without f, `regex` does, too; with it, ß would match ss.
        added, taken = f"{added}i", f"{taken}f"
    elif "i" in before and _is_unicode(before):
        taken += "i"  # from here on, ASCII letters are written as sets of both cases
    if added or taken:
        return f"(?{added}{'-' if taken else ''}{taken}{end}"
    return "(?:" if end == ":" else ""


def _is_unicode(flags: frozenset[str]) -> bool:
    """Whether i folds all letters; without u or U, Java folds those of ASCII only."""
    return "u" in flags or "U" in flags


def _both_cases(char: str) -> str:
    return f"{char}{char.swapcase()}" if char.isascii() and char.isalpha() else char


def _both_cases_in_set(pattern: str, at: int) -> tuple[str, int]:
    """A character or range of a set in both cases of ASCII letters, and where to go on."""
    start, end = pattern[at], pattern[at + 2 : at + 3]
    if pattern[at + 1 : at + 2] != "-" or end in ("", "]", "[", "\\"):
        text = _both_cases(start)
        return f"\\{text}" if _is_operator(pattern, at) else text, at + 1
    # Of a range, the part that lies in a-z or A-Z is added in the other case.
    # `swapcase` of the ends alone would be wrong: A-z also has [ \ ] ^ _ and the backquote.
    parts = [f"{start}-{end}"]
    for first, last in (("a", "z"), ("A", "Z")):
        low, high = max(start, first), min(end, last)
        if low <= high:
            parts.append(f"{low.swapcase()}-{high.swapcase()}")
    return "".join(parts), at + 3


def _quote_char(char: str) -> str:
    both = _both_cases(char)
    return f"[{both}]" if len(both) > 1 else regex.escape(char, special_only=False)


def _is_operator(pattern: str, at: int) -> bool:
    """Whether `regex` would read the character as half of an operator of sets: ||, ~~ or --.

    Java has && only.
    """
    char = pattern[at]
    return char in "|~-" and char in (pattern[at + 1 : at + 2], pattern[at - 1 : at])


def _translate_outside_set(char: str, flags: frozenset[str]) -> str:
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


def _translate_escape(
    pattern: str, at: int, in_set: bool, flags: frozenset[str]
) -> tuple[str, int]:
    """The translation of the escape whose backslash is at `at - 1`, and where to go on."""
    char = pattern[at : at + 1]
    if not char:
        raise ValueError("pattern ends in a backslash")
    if char == "Q":  # up to \E or to the end, all characters stand for themselves
        end = pattern.find(r"\E", at)
        quoted = pattern[at + 1 : end if end >= 0 else len(pattern)]
        after = end + 2 if end >= 0 else len(pattern)
        if "i" in flags and not _is_unicode(flags) and not in_set:
            return "".join(map(_quote_char, quoted)), after
        return regex.escape(quoted, special_only=False), after
    # Written out: `regex` would take \w, \d and \s for Unicode's.
    if char.lower() in _SETS:
        sets = _SETS | _UNICODE_SETS if "U" in flags else _SETS
        return _character_set(sets[char.lower()], char.isupper(), in_set), at + 1
    if char == "c" and at + 1 < len(pattern):  # Java flips bit 64, for whatever character
        return f"\\x{ord(pattern[at + 1]) ^ 64:02X}", at + 2
    # `regex` reads \k<name> only in version 0 of its grammar.
    if char == "k" and pattern.startswith("<", at + 1):
        end = pattern.index(">", at)
        return f"(?P={pattern[at + 2 : end]})", end + 1
    if char in "pP":
        return _translate_property(pattern, at, in_set)
    if char in _ESCAPES:
        return _ESCAPES[char], at + 1
    if char == "0":  # octal: \0n, \0nn or \0mnn with m up to 3
        # Java takes as many digits as stay below octal 400.
        digits = regex.match(r"[0-3]?[0-7]{1,2}", pattern[at + 1 :])
        if digits is None:
            raise ValueError(r"\0 needs octal digits")
        return f"\\x{int(digits.group(), 8):02X}", at + 1 + digits.end()
    if char == "x" and pattern.startswith("{", at + 1):
        end = pattern.index("}", at)
        return f"\\U{int(pattern[at + 2 : end], 16):08X}", end + 1
    return f"\\{char}", at + 1


def _translate_property(pattern: str, at: int, in_set: bool) -> tuple[str, int]:
    if pattern.startswith("{", at + 1):
        end = pattern.index("}", at)
        name, after = pattern[at + 2 : end], end + 1
    else:
        name, after = pattern[at + 1 : at + 2], at + 2
    negated = pattern[at] == "P"
    if name in _POSIX:
        return _character_set(_POSIX[name], negated, in_set), after
    return f"\\{pattern[at]}{{{name}}}", after


def _character_set(content: str, negated: bool, in_set: bool) -> str:
    if negated:
        return f"[^{content}]"
    # Within a set the content is enough, unless it subtracts (--), which binds as a set of its own.
    return content if in_set and "--" not in content else f"[{content}]"
