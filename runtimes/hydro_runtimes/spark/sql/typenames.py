"""Names of types as statements and DDL write them: DECIMAL(10,2), ARRAY<STRING>, a INT, b STRING.

Source: SqlBaseParser.g4 of Spark 4.3.0, dataType and colTypeList.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.tokens import Token, read_tokens
from hydro_runtimes.spark.sql.types import (
    INTERVAL,
    MICRO_UNITS,
    MONTH_UNITS,
    SqlType,
    array_of,
    decimal_of,
    interval_of,
    map_of,
    named_type,
    struct_of,
)

_LENGTHS = ("varchar", "char", "character")


def parse_type(words: Sequence[Token], at: int) -> tuple[SqlType, int]:
    """The type that starts at a word, and the index of the word after it.

    Raises:
        StatementError: there is no such type.
    """
    reader = _TypeReader(words, at)
    return reader.read_type(), reader.at


def type_named(text: str) -> SqlType:
    """The type that a text is the name of.

    Raises:
        StatementError: it is none.
    """
    reader = _TypeReader(read_tokens(text), 0)
    kind = reader.read_type()
    if reader.word.kind != "end":
        raise StatementError(f"'{text[:80]}' is not a type")
    return kind


def parse_ddl(text: str) -> SqlType:
    """The type of a schema as from_json takes it: a type, or the fields of a struct.

    Raises:
        StatementError: it is neither of the two.
    """
    words = read_tokens(text)
    for read in (_TypeReader.read_fields, _TypeReader.read_type):
        reader = _TypeReader(words, 0)
        try:
            kind = read(reader)
        except StatementError:
            continue
        if reader.word.kind == "end":
            return kind
    raise StatementError(f"'{text[:80]}' is not a schema, want 'a INT, b STRING' or a type")


class _TypeReader:
    def __init__(self, words: Sequence[Token], at: int) -> None:
        self._words = words
        self.at = at

    @property
    def word(self) -> Token:
        return self._words[min(self.at, len(self._words) - 1)]

    def read_type(self) -> SqlType:
        name = self._take_word().lower()
        if name in ("array", "map", "struct"):
            return self._read_nested(name)
        if name in ("decimal", "dec", "numeric"):
            precision, scale = [*self._read_numbers(), 10, 0][:2] if self._is_next("(") else (10, 0)
            if not 0 <= scale <= precision <= 38:
                raise StatementError(
                    f"there is no DECIMAL({precision},{scale}), want up to 38 digits"
                )
            return decimal_of(precision, scale)
        if name == "interval":
            return self._read_interval()
        if name == "timestamp" and self._is_next("WITHOUT"):
            self.at += 3  # WITHOUT TIME ZONE
            name = "timestamp_ntz"
        if name in _LENGTHS and self._is_next("("):
            self._read_numbers()
        kind = named_type(name)
        if kind is None:
            raise StatementError(f"the type '{name}' is not supported")
        return kind

    def _read_interval(self) -> SqlType:
        first = self.word.text.lower() if self.word.kind == "word" else ""
        units = next((units for units in (MONTH_UNITS, MICRO_UNITS) if first in units), None)
        if units is None:
            return INTERVAL
        last = self._take_word().lower()
        if self._is_next("TO"):
            self.at += 1
            last = self._take_word().lower()
        if last not in units or units.index(last) < units.index(first):
            raise StatementError(f"there is no INTERVAL {first.upper()} TO {last.upper()}")
        return interval_of(first, last)

    def read_fields(self) -> SqlType:
        """Fields between commas, as in struct<...> or in a schema."""
        found: list[tuple[str, SqlType]] = []
        while True:
            name = self._take_word()
            if self._is_next(":"):
                self.at += 1
            found.append((name, self.read_type()))
            if self._is_next("NOT"):
                self.at += 2  # NOT NULL
            if self._is_next("COMMENT"):
                self.at += 2
            if not self._is_next(","):
                return struct_of(found)
            self.at += 1

    def _read_nested(self, name: str) -> SqlType:
        if self._is_next("<>"):
            self.at += 1
            return struct_of([])
        self._expect("<")
        if name == "struct":
            kind = struct_of([]) if self._is_next(">") else self.read_fields()
        elif name == "array":
            kind = array_of(self.read_type())
        else:
            key = self.read_type()
            self._expect(",")
            kind = map_of(key, self.read_type())
        self._take_closing_bracket()
        return kind

    def _take_closing_bracket(self) -> None:
        """Passes one >, which may be half of a >> (array<array<int>>)."""
        text = self.word.text
        if not text.startswith(">") or self.word.kind != "symbol":
            raise StatementError(f"got '{text}' within a type, want >")
        if len(text) == 1:
            self.at += 1
        else:
            token = self.word
            rest = Token("symbol", text[1:], token.start + 1, token.end)
            self._words = [*self._words[: self.at], rest, *self._words[self.at + 1 :]]

    def _read_numbers(self) -> list[int]:
        self._expect("(")
        numbers = [self._read_number()]
        while self._is_next(","):
            self.at += 1
            numbers.append(self._read_number())
        self._expect(")")
        return numbers

    def _read_number(self) -> int:
        text = self._take_word()
        if not text.isdecimal():
            raise StatementError(f"got '{text}' within a type, want a number")
        return int(text)

    def _is_next(self, word: str) -> bool:
        return self.word.upper == word

    def _expect(self, word: str) -> None:
        if not self._is_next(word):
            raise StatementError(f"got '{self.word.text}' within a type, want {word}")
        self.at += 1

    def _take_word(self) -> str:
        if self.word.kind not in ("word", "quoted", "number"):
            raise StatementError(f"got '{self.word.text or 'the end'}', want the name of a type")
        text = self.word.text
        self.at += 1
        return text
