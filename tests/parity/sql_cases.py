"""Expressions of SQL over rows of edge values, worked out here and by Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.parity.sql_tables import column_values, row_count, select_rows

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.expressions import Compiler
from hydro_runtimes.spark.sql.functions.to_json import write_json
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.parser import Parser
from hydro_runtimes.spark.sql.resolution import Column, Scope
from hydro_runtimes.spark.sql.values import Rows

_FILES = {"plain": "sql", "edges": "sql_edges"}
HERE = Path(__file__).resolve().parent
RECORDED = {name: HERE / "fixtures" / f"{file}.json" for name, file in _FILES.items()}
MODES = ((True, "UTC"), (False, "UTC"), (True, "Europe/Berlin"))
"""ANSI or not, and the session's time zone."""
ERROR = "error"


def read_expressions(table: str = "plain") -> list[str]:
    """Those that are compared over a table, one a line of a file."""
    name = "sql_expressions.txt" if table == "plain" else f"sql_{table}.txt"
    lines = (HERE / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def answer_expression(
    expression: str, ansi: bool, zone: str, table: str = "plain"
) -> dict[str, Any] | None:
    """Name, type and rows (JSON, "error", or null) of an expression; None where it is refused."""
    given, mode = column_values(zone, table), Mode(ansi, zones.zone_of(zone))
    scope = Scope([Column(name, name, value.type, "__THIS__") for name, value in given.items()])
    try:
        parser = Parser(expression)
        node = parser.parse_named_expression()
        compiler = Compiler(mode)
        typed = compiler.compile(node, scope)
    except StatementError:
        return None
    rows = Rows.from_columns(given, row_count(table))
    with np.errstate(all="ignore"):
        values = typed.evaluate(rows).to_list()
    texts = [
        ERROR if row in rows.errors else None if one is None else write_json(typed.type, one, mode)
        for row, one in enumerate(values)
    ]
    return {"name": compiler.output_name(node), "type": str(typed.type), "rows": texts}


def spark_answers(
    spark: Any, given: Sequence[str], ansi: bool, zone: str, table: str = "plain"
) -> Iterator[dict[str, Any] | None]:
    """As `answered`, by Spark itself."""
    spark.conf.set("spark.sql.ansi.enabled", str(ansi).lower())
    spark.conf.set("spark.sql.session.timeZone", zone)
    rows = spark.sql(select_rows(table))._jdf
    # Over rows that the driver has, the optimizer itself evaluates a projection: no job is started.
    local = spark._jsparkSession.createDataFrame(rows.collectAsList(), rows.schema())
    local.createOrReplaceTempView("__THIS__")
    for expression in given:
        yield _of_spark(spark, expression, row_count(table))


def _of_spark(spark: Any, expression: str, count: int) -> dict[str, Any] | None:
    try:
        ((name, kind),) = spark.sql(f"select {expression} from __THIS__ limit 0").dtypes
    except Exception:
        return None
    try:
        rows = _spark_rows(spark, expression, "true")
    except Exception:
        rows = [_spark_row(spark, expression, row) for row in range(count)]
    return {"name": name, "type": kind, "rows": rows}


def _spark_row(spark: Any, expression: str, row: int) -> str | None:
    """A row in error fails all of its query: each by itself tells which."""
    try:
        (answer,) = _spark_rows(spark, expression, f"rid = {row}")
    except Exception:
        return ERROR
    return answer


def _spark_rows(spark: Any, expression: str, where: str) -> list[str | None]:
    value = f"to_json(named_struct('v', {expression}))"
    query = f"select {value} j from __THIS__ where {where}"
    texts = [row[0] for row in spark.sql(query).collect()]
    return [None if text == "{}" else text[5:-1] for text in texts]


def texts_agree(one: str | None, other: str | None) -> bool:
    """Texts of JSON of the same values; doubles may differ in their last digit."""
    if one == other or one is None or other is None or ERROR in (one, other):
        return one == other
    return _values_agree(json.loads(one), json.loads(other))


def _values_agree(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_values_agree, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_values_agree(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, int | float):
        return bool(abs(one - other) <= 1e-14 * max(abs(one), abs(other)))
    return type(one) is type(other) and bool(one == other)
