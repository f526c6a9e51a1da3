"""What Spark does as Java does: texts of numbers, regular expressions, hashes."""

from __future__ import annotations

import numpy as np
import pytest

from hydro_runtimes.spark.sql.java_regex import compile_java, split_text
from hydro_runtimes.spark.sql.java_text import number_texts, sortable_bits
from hydro_runtimes.spark.stages.hashing import murmur3, murmur3_of_2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (-12.5, "-12.5"),
        (0.001, "0.001"),
        (9.999e-4, "9.999E-4"),
        (1e-5, "1.0E-5"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (123456789.25, "1.2345678925E8"),
        (1e300, "1.0E300"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_doubles_are_written_as_java_writes_them(value: float, text: str) -> None:
    assert number_texts(np.array([value])) == [text]


def test_floats_are_written_in_their_own_precision() -> None:
    assert number_texts(np.array([0.1, 16777216.0], dtype=np.float32)) == ["0.1", "1.6777216E7"]


def test_order_is_that_of_java() -> None:
    values = np.array([np.nan, np.inf, 1.0, 0.0, -0.0, -1.0, -np.inf])
    assert np.argsort(sortable_bits(values)).tolist() == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("pattern", "text", "parts"),
    [
        (r"\s", " a  b ", ["", "a", "", "b"]),
        (r"\s", "", [""]),
        (r"\W", "ä1", ["", "1"]),
        (r"[\w&&[^b]]", "xby", ["", "b"]),
        (r"\p{Punct}+", "a.,b", ["a", "b"]),
        (r"\p{Lu}", "aBcÄd", ["a", "c", "d"]),
        (r"\Q.\E", "a.b", ["a", "b"]),
        (r".", "\u2028", ["\u2028"]),
        (r"", "ab", ["a", "b"]),
        (r"(?i)X", "axbXc", ["a", "b", "c"]),
        (r"(?s)a.", "a\nb", ["", "b"]),
        (r"(?s:a.)|b.", "a\nb\n", ["", "b\n"]),
        (r"(?m)^", "a\nb", ["a\n", "b"]),
        (r"(?m)a$", "a\r\nba", ["", "\r\nb"]),
        (r"(?U)\W", "ä1", ["ä1"]),
        (r"(?<n>a)\k<n>", "aab", ["", "b"]),
        (r"\b", "i\u0307s t", ["i\u0307s", " ", "t"]),
        (r"|a", "a b", ["a", " ", "b"]),
        (r"\p{javaLetter}|\p{IsPunctuation}|\cI", "1a2.3\t4", ["1", "2", "3", "4"]),
    ],
)
def test_patterns_split_as_java_splits(pattern: str, text: str, parts: list[str]) -> None:
    assert split_text(compile_java(pattern), text) == parts


@pytest.mark.parametrize("pattern", ["(", "[", "\\", r"\p{Nonsense}", "a{2,1}"])
def test_patterns_that_are_none_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|cannot be used"):
        compile_java(pattern)


def test_the_hash_of_spark_2_is_that_of_later_ones_for_whole_words_only() -> None:
    assert murmur3_of_2("spark ml") == murmur3("spark ml")
    assert murmur3_of_2("spark") != murmur3("spark")


def test_the_least_numbers_have_two_digits() -> None:
    assert number_texts(np.array([5e-324, 1e-323, 1e-45])) == ["4.9E-324", "9.9E-324", "1.0E-45"]
    assert number_texts(np.array([1e-45, 0.1], dtype=np.float32)) == ["1.4E-45", "0.1"]
