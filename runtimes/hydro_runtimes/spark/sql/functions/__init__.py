"""The functions of SQL by their names, each family in a module of its own."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from hydro_runtimes.spark.sql.binding import Function
from hydro_runtimes.spark.sql.errors import NeedsOtherRows, StatementError
from hydro_runtimes.spark.sql.functions.arrays import ARRAYS
from hydro_runtimes.spark.sql.functions.datetimes import DATETIMES
from hydro_runtimes.spark.sql.functions.hashes import HASHES
from hydro_runtimes.spark.sql.functions.intervals import INTERVALS
from hydro_runtimes.spark.sql.functions.json import JSON
from hydro_runtimes.spark.sql.functions.maps import MAPS
from hydro_runtimes.spark.sql.functions.maths import MATHS
from hydro_runtimes.spark.sql.functions.nulls import NULLS
from hydro_runtimes.spark.sql.functions.patterns import PATTERNS
from hydro_runtimes.spark.sql.functions.texts import TEXTS

FUNCTIONS: Mapping[str, Function] = {
    **ARRAYS,
    **DATETIMES,
    **HASHES,
    **INTERVALS,
    **JSON,
    **MAPS,
    **MATHS,
    **NULLS,
    **PATTERNS,
    **TEXTS,
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
"""Names that Spark has for the same function."""
_OTHER_ROWS = frozenset(
    [
        "any",
        "any_value",
        "approx_count_distinct",
        "approx_percentile",
        "array_agg",
        "avg",
        "bit_and",
        "bit_or",
        "bit_xor",
        "bool_and",
        "bool_or",
        "collect_list",
        "collect_set",
        "corr",
        "count",
        "count_if",
        "count_min_sketch",
        "covar_pop",
        "covar_samp",
        "cume_dist",
        "dense_rank",
        "every",
        "first",
        "first_value",
        "grouping",
        "grouping_id",
        "histogram_numeric",
        "kurtosis",
        "lag",
        "last",
        "last_value",
        "lead",
        "listagg",
        "max",
        "max_by",
        "mean",
        "median",
        "min",
        "min_by",
        "mode",
        "nth_value",
        "ntile",
        "percent_rank",
        "percentile",
        "percentile_approx",
        "percentile_cont",
        "percentile_disc",
        "product",
        "rank",
        "regr_avgx",
        "regr_avgy",
        "regr_count",
        "regr_intercept",
        "regr_r2",
        "regr_slope",
        "regr_sxx",
        "regr_sxy",
        "regr_syy",
        "row_number",
        "skewness",
        "some",
        "std",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "string_agg",
        "sum",
        "try_avg",
        "try_sum",
        "var_pop",
        "var_samp",
        "variance",
    ]
)
_SEVERAL_ROWS = frozenset(
    [
        "explode",
        "explode_outer",
        "inline",
        "inline_outer",
        "json_tuple",
        "posexplode",
        "posexplode_outer",
        "stack",
    ]
)
_CHANCE = frozenset(["rand", "randn", "random", "randstr", "shuffle", "uniform", "uuid"])
_SESSION = frozenset(
    [
        "current_catalog",
        "current_database",
        "current_date",
        "current_schema",
        "current_timestamp",
        "current_timezone",
        "current_user",
        "curdate",
        "input_file_block_length",
        "input_file_block_start",
        "input_file_name",
        "localtimestamp",
        "monotonically_increasing_id",
        "now",
        "session_user",
        "spark_partition_id",
        "user",
        "version",
    ]
)


def function_named(name: str, written: str) -> Function:
    """The function of a name.

    Args:
        name: in lower case.
        written: as the statement has it.

    Raises:
        NeedsOtherRows: its answer depends on more than the row.
        StatementError: there is none here.
    """
    function = FUNCTIONS.get(ALIASES.get(name, name))
    if function is not None:
        return function
    if name in _OTHER_ROWS:
        raise NeedsOtherRows(f"{written}(...) needs other rows, and here a row is answered alone")
    if name in _SEVERAL_ROWS:
        raise NeedsOtherRows(f"{written}(...) makes several rows of one")
    if name in _CHANCE:
        raise NeedsOtherRows(f"{written}() answers by chance")
    if name in _SESSION:
        raise NeedsOtherRows(f"{written}() depends on the session and its time, not on the row")
    near = get_close_matches(name, [*FUNCTIONS, *ALIASES], 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise StatementError(f"the function '{written}' is not supported{hint}")
