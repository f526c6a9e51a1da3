"""The functions of SQL by name; each family is a module.

In these modules `_bind_...` binds the function of that name to its arguments, `..._function`
makes such a function, and any other computes the answer of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from hydro_runtimes.spark.sql.binding import Function
from hydro_runtimes.spark.sql.errors import NeedsOtherRows, StatementError, unknown_function
from hydro_runtimes.spark.sql.functions.aes import AES
from hydro_runtimes.spark.sql.functions.array_comparisons import ARRAY_COMPARISONS
from hydro_runtimes.spark.sql.functions.arrays import ARRAYS
from hydro_runtimes.spark.sql.functions.bits import BITS
from hydro_runtimes.spark.sql.functions.charsets import CHARSETS
from hydro_runtimes.spark.sql.functions.concat import CONCAT
from hydro_runtimes.spark.sql.functions.datetime_texts import DATETIME_TEXTS
from hydro_runtimes.spark.sql.functions.datetime_units import DATETIME_UNITS
from hydro_runtimes.spark.sql.functions.datetimes import DATETIMES
from hydro_runtimes.spark.sql.functions.digests import DIGESTS
from hydro_runtimes.spark.sql.functions.elements import ELEMENTS
from hydro_runtimes.spark.sql.functions.embeddings import VECTORS
from hydro_runtimes.spark.sql.functions.encodings import ENCODINGS
from hydro_runtimes.spark.sql.functions.from_json import FROM_JSON
from hydro_runtimes.spark.sql.functions.hashes import HASHES
from hydro_runtimes.spark.sql.functions.intervals import INTERVALS
from hydro_runtimes.spark.sql.functions.json import JSON
from hydro_runtimes.spark.sql.functions.json_schemas import JSON_SCHEMAS
from hydro_runtimes.spark.sql.functions.make_datetimes import MAKE_DATETIMES
from hydro_runtimes.spark.sql.functions.maps import MAPS
from hydro_runtimes.spark.sql.functions.maths import MATHS
from hydro_runtimes.spark.sql.functions.nulls import NULLS
from hydro_runtimes.spark.sql.functions.number_bases import NUMBER_BASES
from hydro_runtimes.spark.sql.functions.number_formats import NUMBER_FORMATS
from hydro_runtimes.spark.sql.functions.patterns import PATTERNS
from hydro_runtimes.spark.sql.functions.refused import NEEDS_MORE, REFUSED
from hydro_runtimes.spark.sql.functions.rounding import ROUNDING
from hydro_runtimes.spark.sql.functions.sequences import SEQUENCES
from hydro_runtimes.spark.sql.functions.similarity import SIMILARITY
from hydro_runtimes.spark.sql.functions.substrings import SUBSTRINGS
from hydro_runtimes.spark.sql.functions.texts import TEXTS
from hydro_runtimes.spark.sql.functions.to_json import TO_JSON
from hydro_runtimes.spark.sql.functions.urls import URLS

FUNCTIONS: Mapping[str, Function] = {
    **AES,
    **ARRAYS,
    **ARRAY_COMPARISONS,
    **BITS,
    **CHARSETS,
    **CONCAT,
    **DATETIMES,
    **DATETIME_TEXTS,
    **DATETIME_UNITS,
    **DIGESTS,
    **ELEMENTS,
    **ENCODINGS,
    **FROM_JSON,
    **HASHES,
    **INTERVALS,
    **JSON,
    **JSON_SCHEMAS,
    **MAKE_DATETIMES,
    **MAPS,
    **MATHS,
    **NULLS,
    **NUMBER_BASES,
    **NUMBER_FORMATS,
    **PATTERNS,
    **ROUNDING,
    **SEQUENCES,
    **SIMILARITY,
    **SUBSTRINGS,
    **TEXTS,
    **TO_JSON,
    **URLS,
    **VECTORS,
}
ALIASES: Mapping[str, str] = {
    "ceiling": "ceil",
    "char_length": "length",
    "character_length": "length",
    "chr": "char",
    "date_diff": "datediff",
    "dateadd": "date_add",
    "datepart": "date_part",
    "day": "dayofmonth",
    "getbit": "bit_get",
    "ifnull": "coalesce",
    "lcase": "lower",
    "len": "length",
    "negative": "negate",
    "nvl": "coalesce",
    "position": "locate",
    "power": "pow",
    "printf": "format_string",
    "reduce": "aggregate",
    "regexp": "rlike",
    "regexp_like": "rlike",
    "sha": "sha1",
    "shiftleft": "<<",
    "shiftright": ">>",
    "shiftrightunsigned": ">>>",
    "signum": "sign",
    "substr": "substring",
    "to_varchar": "to_char",
    "ucase": "upper",
}
"""Other names that Spark has for a function."""


def function_named(name: str, written: str) -> Function:
    """The function with a name.

    Args:
        name: in lower case.
        written: as the statement writes it.

    Raises:
        NeedsOtherRows: its answer depends on more than the row.
        StatementError: it is not supported.
    """
    function = FUNCTIONS.get(ALIASES.get(name, name))
    if function is not None:
        return function
    reason = REFUSED.get(name)
    if reason is not None:
        kind = NeedsOtherRows if reason in NEEDS_MORE else StatementError
        raise kind(f"{written}(...) {reason}")
    near = get_close_matches(name, [*FUNCTIONS, *ALIASES], 1)
    raise unknown_function(written, f"; did you mean {near[0]}?" if near else "")
