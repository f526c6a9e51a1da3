"""Texts to lists of words, and lists of words to other lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hydro_runtimes.columns import Strings
from hydro_runtimes.spark.data import word_lists
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import TEXT, TEXTS
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import fail_nulls
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql.java_regex import compile_java, find_matches, split_text

_BLANKS = "\t\n\x0b\f\r"
_TO_SPACE = str.maketrans(_BLANKS, " " * len(_BLANKS))


@dataclass(frozen=True)
class Tokenizer:
    r"""Lower-cases, then splits at each `\s`; empty words stay, except at the end.

    Source: org.apache.spark.ml.feature.Tokenizer, 4.3.0.
    """

    input: InputColumn
    output: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Tokenizer:
        return cls(*_text_to_words(saved, schema))

    def transform(self, batch: Batch) -> Batch:
        batch, texts = _read_texts(batch, self.input)
        if any(blank in text for blank in _BLANKS for text in texts):
            texts = [text.translate(_TO_SPACE) for text in texts]
        rows = [_split_at_spaces(text.lower()) for text in texts]
        return batch.with_columns({self.output: word_lists.words_column(rows)})


@dataclass(frozen=True)
class RegexTokenizer:
    """Splits at the matches of a regular expression of Java (gaps), or returns the matches.

    Source: org.apache.spark.ml.feature.RegexTokenizer, 4.3.0.
    """

    input: InputColumn
    output: str
    pattern: Any
    gaps: bool
    lower: bool
    shortest: int

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> RegexTokenizer:
        try:
            pattern = compile_java(saved.text("pattern", r"\s+"))
        except ValueError as error:
            raise saved.invalid(f"param 'pattern': {error}") from error
        return cls(
            *_text_to_words(saved, schema),
            pattern,
            saved.flag("gaps", True),
            saved.flag("toLowercase", True),
            saved.integer("minTokenLength", 1),
        )

    def transform(self, batch: Batch) -> Batch:
        batch, texts = _read_texts(batch, self.input)
        rows = [self._find_tokens(text.lower() if self.lower else text) for text in texts]
        return batch.with_columns({self.output: word_lists.words_column(rows)})

    def _find_tokens(self, text: str) -> list[str]:
        if self.gaps:
            tokens = split_text(self.pattern, text)
        else:
            tokens = [match.group() for match in find_matches(self.pattern, text)]
        return [token for token in tokens if _java_length(token) >= self.shortest]


@dataclass(frozen=True)
class NGram:
    """All sequences of n words, joined by spaces.

    Source: org.apache.spark.ml.feature.NGram, 4.3.0.
    """

    input: InputColumn
    output: str
    n: int

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> NGram:
        source, output, n = (
            InputColumn(saved.uid, saved.text("inputCol")),
            saved.text("outputCol"),
            0,
        )
        schema.require(saved, source.name, TEXTS)
        schema.add_column(output, TEXTS)
        if (n := saved.integer("n", 2)) < 1:
            raise saved.invalid(f"param 'n' is {n}, want 1 or more")
        return cls(source, output, n)

    def transform(self, batch: Batch) -> Batch:
        batch, words = word_lists.read_words(batch, self.input)
        rows = [self._ngrams(row) for row in words.rows()]
        return batch.with_columns({self.output: word_lists.words_column(rows)})

    def _ngrams(self, row: Sequence[str | None]) -> list[str]:
        words = ["null" if word is None else word for word in row]
        return [" ".join(words[i : i + self.n]) for i in range(len(words) - self.n + 1)]


@dataclass(frozen=True)
class StopWordsRemover:
    """Removes the words of a list, compared as they are or in the lower case of a locale.

    Source: org.apache.spark.ml.feature.StopWordsRemover, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    stop: frozenset[str]
    fold: Callable[[str], str]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> StopWordsRemover:
        inputs = tuple(
            InputColumn(saved.uid, name) for name in saved.columns("inputCol", "inputCols")
        )
        outputs = saved.columns("outputCol", "outputCols")
        if len(inputs) != len(outputs):
            raise saved.invalid(f"has {len(inputs)} input and {len(outputs)} output columns")
        for source, output in zip(inputs, outputs, strict=True):
            schema.require(saved, source.name, TEXTS)
            schema.add_column(output, TEXTS)
        sensitive = saved.flag("caseSensitive", False)
        fold = str if sensitive else _lower_case_of(saved.text("locale", "en_US"))
        return cls(inputs, outputs, frozenset(map(fold, saved.texts("stopWords"))), fold)

    def transform(self, batch: Batch) -> Batch:
        for source, output in zip(self.inputs, self.outputs, strict=True):
            batch, words = word_lists.read_words(batch, source)
            rows = [
                [word for word in row if word is None or self.fold(word) not in self.stop]
                for row in words.rows()
            ]
            batch = batch.with_columns({output: word_lists.words_column(rows)})
        return batch


def _text_to_words(saved: Saved, schema: Schema) -> tuple[InputColumn, str]:
    source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
    schema.require(saved, source.name, TEXT)
    schema.add_column(output, TEXTS)
    return source, output


def _read_texts(batch: Batch, source: InputColumn) -> tuple[Batch, Sequence[str]]:
    batch = fail_nulls(batch, source)
    column = batch.columns[source.name]
    if not isinstance(column, Strings):
        raise source.wrong_column(column, "a text")
    return batch, column.values


def _split_at_spaces(text: str) -> list[str]:
    words = text.split(" ")
    if len(words) > 1:
        while words and not words[-1]:
            words.pop()
    return words


def _java_length(text: str) -> int:
    """String.length of Java: a character outside of the Basic Multilingual Plane counts as two."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def _lower_case_of(locale: str) -> Callable[[str], str]:
    if locale.partition("_")[0] in ("tr", "az"):
        return _lower_turkish
    return str.lower


def _lower_turkish(text: str) -> str:
    return text.replace("I\u0307", "i").replace("I", "\u0131").replace("\u0130", "i").lower()
