"""Functions that tell how alike texts are or sound: levenshtein, soundex.

Source: org.apache.spark.sql.catalyst.expressions.stringExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydro_runtimes.spark.sql.binding import (
    Function,
    implicit_cast,
    row_function,
)
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.functions.texts import text_function
from hydro_runtimes.spark.sql.logic import case_when, is_null
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    INT,
    STRING,
)
from hydro_runtimes.spark.sql.values import (
    Typed,
    constant_value,
)

MAX_PAIRS = 1 << 24
"""The most pairs of characters that levenshtein compares, at 0.2 us each."""


def _levenshtein_distance(one: str, other: str, limit: int | None = None) -> int:
    if limit is not None and limit < 0:
        return -1
    if len(one) * len(other) > MAX_PAIRS:
        got = f"levenshtein of texts of {len(one)} and {len(other)} characters"
        raise RowError(f"{got} compares more than {MAX_PAIRS} pairs of them, the limit here")
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return -1 if limit is not None and row[-1] > limit else row[-1]


def _bind_levenshtein(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds levenshtein(one, other, limit); a limit that is null counts as 0."""
    given = list(arguments)
    if len(given) > 2:
        limit = implicit_cast(given[2], INT, mode)
        zero = Typed(INT, lambda rows: constant_value(INT, 0, rows.count), foldable=True)
        given[2] = case_when([is_null(limit, wanted=True)], [zero, limit], mode)
    return row_function(_levenshtein_distance, [STRING, STRING, INT], INT, least=2).bind(
        given, mode
    )


_SOUNDEX = dict(zip("AEIOUYHWBFPVCGJKQSXZDTLMNR", "00000077111122222222334556", strict=True))
"""7 stands for H and W: letters of one code on both sides of them count once."""


def _soundex_code(text: str) -> str:
    """The Soundex code of a text. Source: UTF8String.soundex, 4.3.0."""
    if not text or not (text[0].isascii() and text[0].isalpha()):
        return text
    code, last = text[0].upper(), _SOUNDEX[text[0].upper()]
    for char in text[1:]:
        upper = char.upper() if char.isascii() else ""
        digit = _SOUNDEX.get(upper)
        if digit is None:
            last = "0"
            continue
        if digit not in "07" and digit != last:
            code += digit
            if len(code) == 4:
                return code
        if digit != "7":
            last = digit
    return code.ljust(4, "0")


SIMILARITY: Mapping[str, Function] = {
    "levenshtein": text_function(_bind_levenshtein, 2, 3, INT),
    "soundex": row_function(_soundex_code, [STRING], STRING, exact=True),
}
"""By Spark's name."""
