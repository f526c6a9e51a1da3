"""Rows of edge values of SQL: as texts for Spark, and as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tests.parity.sql_generator import EDGES

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.expressions import Compiler
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.parser import Parser
from hydro_runtimes.spark.sql.resolution import Scope
from hydro_runtimes.spark.sql.typenames import parse_ddl
from hydro_runtimes.spark.sql.values import Rows, Value, value_of

COLUMNS: Mapping[str, tuple[str, Sequence[str]]] = {
    "x": (
        "double",
        [
            "1.5D",
            "-2.5D",
            "cast('NaN' as double)",
            "null",
            "cast('Infinity' as double)",
            "0.0D",
            "-0.0D",
            "1e300D",
            "123456.789D",
            "0.1D",
        ],
    ),
    "y": (
        "double",
        [
            "2.0D",
            "0.0D",
            "3.0D",
            "1.0D",
            "-1.0D",
            "null",
            "7.25D",
            "2.0D",
            "-3.5D",
            "0.2D",
        ],
    ),
    "f": (
        "float",
        [
            "cast(0.1 as float)",
            "cast(1.5 as float)",
            "cast('NaN' as float)",
            "null",
            "cast(16777216 as float)",
            "cast(-0.5 as float)",
            "cast(3 as float)",
            "cast(1e-5 as float)",
            "cast(2.675 as float)",
            "cast(7 as float)",
        ],
    ),
    "i": (
        "int",
        [
            "1",
            "-7",
            "0",
            "null",
            "2147483647",
            "-2147483648",
            "3",
            "42",
            "100",
            "5",
        ],
    ),
    "j": (
        "int",
        [
            "3",
            "2",
            "0",
            "1",
            "null",
            "-1",
            "7",
            "2147483647",
            "-3",
            "5",
        ],
    ),
    "l": (
        "bigint",
        [
            "1L",
            "-7L",
            "0L",
            "null",
            "9223372036854775807L",
            "5L",
            "3L",
            "42L",
            "1580871845L",
            "2L",
        ],
    ),
    "b": (
        "boolean",
        [
            "true",
            "false",
            "null",
            "true",
            "false",
            "true",
            "false",
            "true",
            "null",
            "false",
        ],
    ),
    "t": (
        "string",
        [
            "'abc'",
            "''",
            "null",
            "'Hello World'",
            "'a,b,c'",
            "' ünï é '",
            "'35'",
            "'-1.5'",
            "'2020-02-29'",
            '\'{"a":1,"b":[1,2]}\'',
        ],
    ),
    "u": (
        "string",
        [
            "'b'",
            "'a'",
            "'x'",
            "null",
            "','",
            "'é'",
            "'35'",
            "'1e2'",
            "'true'",
            "'$.a'",
        ],
    ),
    "dc": (
        "decimal(10,2)",
        [
            "cast(1.25 as decimal(10,2))",
            "cast(-3.50 as decimal(10,2))",
            "null",
            "cast(0 as decimal(10,2))",
            "cast(99999999.99 as decimal(10,2))",
            "cast(2 as decimal(10,2))",
            "cast(0.01 as decimal(10,2))",
            "cast(-0.05 as decimal(10,2))",
            "cast(10 as decimal(10,2))",
            "cast(7.77 as decimal(10,2))",
        ],
    ),
    "d": (
        "date",
        [
            "date'2020-02-29'",
            "date'1969-12-31'",
            "null",
            "date'2021-01-03'",
            "date'0001-01-01'",
            "date'9999-12-31'",
            "date'2020-12-31'",
            "date'2000-01-31'",
            "date'1582-10-15'",
            "date'2024-03-31'",
        ],
    ),
    "e": (
        "date",
        [
            "date'2020-01-31'",
            "date'2020-02-29'",
            "date'2020-01-01'",
            "null",
            "date'1999-12-31'",
            "date'2020-06-15'",
            "date'2019-02-28'",
            "date'2000-02-29'",
            "date'2021-05-05'",
            "date'2023-03-26'",
        ],
    ),
    "ts": (
        "timestamp",
        [
            "timestamp'2020-02-29 10:11:12.123456'",
            "timestamp'1969-12-31 23:59:59.5'",
            "null",
            "timestamp'2021-03-28 01:30:00'",
            "timestamp'2020-10-25 01:30:00'",
            "timestamp'2000-01-01 00:00:00'",
            "timestamp'1900-01-01 00:00:00'",
            "timestamp'2030-07-04 12:00:00'",
            "timestamp'2020-12-31 23:59:59.999999'",
            "timestamp'2016-02-29 08:00:00'",
        ],
    ),
    "ws": (
        "array<string>",
        [
            "array('a','bcd')",
            "array()",
            "null",
            "array('x',null,'a')",
            "array('a','a','b')",
            "array('')",
            "array('é','z')",
            "array('1','2','3')",
            "array('b')",
            "array(cast(null as string))",
        ],
    ),
    "vs": (
        "array<string>",
        [
            "array('a')",
            "array('q')",
            "array('x')",
            "null",
            "array('b','a')",
            "array()",
            "array('z',null)",
            "array('3')",
            "array('b','b')",
            "array('n')",
        ],
    ),
    "ns": (
        "array<int>",
        [
            "array(1,2,3)",
            "array()",
            "null",
            "array(3,null,1)",
            "array(2,2)",
            "array(-1)",
            "array(5,4)",
            "array(10)",
            "array(0,0,1)",
            "array(cast(null as int))",
        ],
    ),
    "m": (
        "map<string,int>",
        [
            "map('a',1)",
            "map()",
            "null",
            "map('a',null,'b',2)",
            "map('x',5)",
            "map('é',1)",
            "map('a',7,'c',9)",
            "map('k',0)",
            "map('b',1)",
            "map('a',-1)",
        ],
    ),
    "s": (
        "struct<a:int,b:string>",
        [
            "named_struct('a',1,'b','z')",
            "named_struct('a',null,'b','y')",
            "null",
            "named_struct('a',5,'b',null)",
            "named_struct('a',2,'b','q')",
            "named_struct('a',2,'b','q')",
            "named_struct('a',2,'b','q')",
            "named_struct('a',2,'b','q')",
            "named_struct('a',2,'b','q')",
            "named_struct('a',2,'b','q')",
        ],
    ),
}
"""By name: the type, and the expression of each row's value."""
TABLES = {"plain": COLUMNS, "edges": EDGES}


def row_count(table: str) -> int:
    return len(next(iter(TABLES[table].values()))[1])


def select_rows(table: str) -> str:
    """The query of the rows of a table."""
    selects = []
    for row in range(row_count(table)):
        cells = TABLES[table].items()
        values = [f"cast({given[row]} as {kind}) {name}" for name, (kind, given) in cells]
        selects.append(f"select {row} rid, {', '.join(values)}")
    return " union all ".join(selects)


@cache
def column_values(zone: str, table: str) -> Mapping[str, Value]:
    """The rows as values, made from the same expressions."""
    compiler = Compiler(Mode(True, zones.zone_of(zone)))
    made: dict[str, Value] = {}
    for name, (kind, given) in TABLES[table].items():
        found: list[Any] = []
        for text in given:
            node = Parser(f"cast({text} as {kind})").parse_expression()
            rows = Rows.from_columns({}, 1)
            found += compiler.compile(node, Scope([])).evaluate(rows).to_list()
            assert not rows.errors, text
        made[name] = value_of(parse_ddl(kind), found)
    return made
