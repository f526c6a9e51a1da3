"""The words of a statement of Spark SQL.

Source: SqlBaseLexer.g4 of Spark 4.3.0; ParserUtils.unescapeSQLString.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hydro_runtimes.spark.sql.errors import StatementError

Kind: TypeAlias = Literal["word", "quoted", "text", "hex", "number", "symbol", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number, text or symbol, and where it stands."""

    kind: Kind
    text: str
    """As the statement has it; of quoted texts and names the unescaped inside."""
    start: int
    """The index of its first character in the statement."""
    end: int

    @property
    def upper(self) -> str:
        """The text in upper case, to compare with keywords; "" for quoted texts and names."""
        return self.text.upper() if self.kind in ("word", "symbol") else ""


_BLANK = re.compile(r"(?:\s+|--(?:\\\n|[^\n])*\n?|/\*(?!\+).*?\*/|/\*\+.*?\*/)+", re.DOTALL)
"""Blanks, comments and hints. A hint changes how Spark executes a statement, never its answer."""
_RAW = re.compile(r"""[rR](?:'([^']*)'|"([^"]*)")""")
_TEXT = re.compile(r"""'((?:[^'\\]|\\.|'')*)'|"((?:[^"\\]|\\.|"")*)\"""", re.DOTALL)
_HEX = re.compile(r"""[xX]'([^']*)'""")
_QUOTED = re.compile(r"`((?:[^`]|``)*)`")
_NUMBER = re.compile(
    r"(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?:BD|[LSYDF])?(?![\w.])", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d]\w*|\d+\w*[^\W\d]\w*|_\w*")
_SYMBOL = re.compile(
    r"<=>|>>>|!=|!>|!<|<>|<=|>=|==|=>|->|::|\|\||<<|>>|\|>|[-+*/%&|^~=<>!().,\[\]:?{};]"
)
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


def read_tokens(statement: str) -> list[Token]:
    """All words of a statement; after the last comes one of the kind "end".

    Raises:
        StatementError: a character is not of the grammar, or a quote is not closed.
    """
    found: list[Token] = []
    at = _skip_blanks(statement, 0)
    while at < len(statement):
        token = _read_token(statement, at)
        found.append(token)
        at = _skip_blanks(statement, token.end)
    found.append(Token("end", "", at, at))
    return found


def unescape_text(text: str, quote: str = "") -> str:
    r"""The text that the inside of quotes stands for: \n, \u0041 and \101 are one character each.

    A doubled quote is one quote. \% and \_ keep their backslash, because LIKE needs it.
    Source: ParserUtils.unescapeSQLString, 4.3.0.
    """
    return re.sub(rf"{_ESCAPE}|{quote * 2 or '$^'}", _unescape_match, text, flags=re.DOTALL)


_ESCAPE = r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)"


def _unescape_match(match: re.Match[str]) -> str:
    code = match[1]
    if code is None:
        return match[0][0]
    if len(code) == 1:
        return match[0] if code in "%_" else _ESCAPED.get(code, code)
    return chr(int(code, 8)) if code[0].isdigit() else chr(int(code[1:], 16))


def _skip_blanks(statement: str, at: int) -> int:
    blank = _BLANK.match(statement, at)
    return blank.end() if blank else at


def _read_token(statement: str, at: int) -> Token:
    if match := _RAW.match(statement, at):
        return Token("text", match[1] if match[1] is not None else match[2], at, match.end())
    if match := _HEX.match(statement, at):
        return Token("hex", match[1], at, match.end())
    if match := _TEXT.match(statement, at):
        inner = match[1] if match[1] is not None else match[2]
        return Token("text", unescape_text(inner, statement[at]), at, match.end())
    if match := _QUOTED.match(statement, at):
        return Token("quoted", match[1].replace("``", "`"), at, match.end())
    if match := _NUMBER.match(statement, at):
        return Token("number", match[0], at, match.end())
    if match := _WORD.match(statement, at):
        return Token("word", match[0], at, match.end())
    if match := _SYMBOL.match(statement, at):
        return Token("symbol", match[0], at, match.end())
    raise StatementError(f"cannot be read from character {at + 1}: {statement[at : at + 20]!r}")
