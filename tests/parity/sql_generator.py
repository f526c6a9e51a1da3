"""Random expressions over columns of every type, whose rows are edge values.

Each function and operator has arguments of the kinds that it is for, and sometimes of any other
kind, so that what Spark refuses is compared, too.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

EDGES: Mapping[str, tuple[str, Sequence[str]]] = {
    "by": ("tinyint", ["0", "1", "-1", "null", "127", "-128", "7", "12"]),
    "sh": ("smallint", ["3", "0", "-32768", "32767", "null", "2", "-5", "1"]),
    "i": ("int", ["1", "-7", "0", "null", "2147483647", "-2147483648", "3", "42"]),
    "j": ("int", ["3", "2", "0", "1", "-1", "null", "-3", "5"]),
    "l": (
        "bigint",
        ["1L", "-7L", "0L", "9223372036854775807L", "null", "5L"]
        + ["1580871845L", "cast('-9223372036854775808' as bigint)"],
    ),
    "f": ("float", ["0.1", "1.5", "'NaN'", "16777216", "null", "-0.5", "'-Infinity'", "1e-5"]),
    "x": ("double", ["1.5D", "-2.5D", "'NaN'", "null", "'Infinity'", "-0.0D", "1e300D", "0.1D"]),
    "y": (
        "double",
        ["2.0D", "0.0D", "123456.789D", "1.0D", "'-Infinity'", "7.25D"] + ["null", "1e-7D"],
    ),
    "dc": ("decimal(10,2)", ["1.25", "-3.50", "0", "99999999.99", "0.01", "null", "-0.05", "10"]),
    "dn": (
        "decimal(38,18)",
        ["0.000000000000000001", "12345678901234567890.5", "0", "-1.5"]
        + ["null", "99999999999999999999.999999999999999999", "2", "0.1"],
    ),
    "dw": ("decimal(5,0)", ["1", "-99999", "99999", "0", "null", "5", "15", "25"]),
    "t": (
        "string",
        ["'abc'", "''", "null", "'Hello World'", "'a,b,c'", "' ünï é '", "'ß😀x'", "'A1'"],
    ),
    "u": ("string", ["'b'", "'a'", "'x'", "','", "''", "'é'", "null", "'aB'"]),
    "tn": (
        "string",
        ["'35'", "'-1.5'", "' 7 '", "'1e2'", "'NaN'", "null", "'0x1F'", "'99999999999'"],
    ),
    "td": (
        "string",
        ["'2020-02-29'", "'2021-3-5 1:2:3.5'", "'1969-12-31T23:59:59Z'", "'nope'"]
        + ["null", "'2021-03-28 02:30:00'", "'9999-12-31'", "'12:00:01'"],
    ),
    "z": (
        "string",
        ["'UTC'", "'Europe/Berlin'", "'America/New_York'", "'+05:30'", "'Asia/Seoul'"]
        + ["null", "'GMT-3'", "'Nowhere/At'"],
    ),
    "js": (
        "string",
        ['\'{"a":1,"b":[1,2]}\'', "'[1,null,\"x\"]'", '\'{"a":{"c":1.50}}\'', "'{a:1}'"]
        + ["''", "null", "'\"q\"'", '\'{"a":null,"b":"é"}\''],
    ),
    "bi": (
        "binary",
        ["X''", "X'00FF'", "X'616263'", "null", "X'C3A9'", "X'01'", "X'80'", "X'7F41'"],
    ),
    "b": ("boolean", ["true", "false", "null", "true", "false", "null", "true", "false"]),
    "d": (
        "date",
        ["date'2020-02-29'", "date'1969-12-31'", "null", "date'2021-01-03'", "date'0001-01-01'"]
        + ["date'9999-12-31'", "date'1582-10-15'", "date'2024-03-31'"],
    ),
    "e": (
        "date",
        ["date'2020-01-31'", "date'2020-02-29'", "date'2019-12-30'", "null", "date'1999-12-31'"]
        + ["date'2020-06-15'", "date'2019-02-28'", "date'2023-03-26'"],
    ),
    "ts": (
        "timestamp",
        ["timestamp'2020-02-29 10:11:12.123456'", "timestamp'1969-12-31 23:59:59.5'"]
        + ["null", "timestamp'2021-03-28 01:30:00'", "timestamp'2020-10-25 01:30:00'"]
        + ["timestamp'1900-01-01 00:00:00'", "timestamp'2030-07-04 12:00:00'"]
        + ["timestamp'2016-02-29 23:59:59.999999'"],
    ),
    "tt": (
        "timestamp",
        ["timestamp'2020-03-01 00:00:00'", "timestamp'2021-10-31 02:30:00'", "null"]
        + ["timestamp'1970-01-01 00:00:00'", "timestamp'2000-12-31 23:59:59'"]
        + ["timestamp'1883-11-18 12:00:00'", "timestamp'2021-03-28 03:00:00'"]
        + ["timestamp'2020-06-15 06:07:08.009'"],
    ),
    "nt": (
        "timestamp_ntz",
        ["timestamp_ntz'2020-02-29 10:11:12.123456'", "null"]
        + ["timestamp_ntz'1969-12-31 23:59:59.5'", "timestamp_ntz'2021-03-28 02:30:00'"]
        + ["timestamp_ntz'2020-10-25 02:30:00'", "timestamp_ntz'0001-01-01 00:00:00'"]
        + ["timestamp_ntz'2030-07-04 12:00:00'", "timestamp_ntz'1999-12-31 23:59:59'"],
    ),
    "ws": (
        "array<string>",
        ["array('a','bcd')", "array()", "null", "array('x',null,'a')"]
        + ["array('a','a','b')", "array('')", "array('é','z')", "array(cast(null as string))"],
    ),
    "ns": (
        "array<int>",
        ["array(1,2,3)", "array()", "null", "array(3,null,1)", "array(2,2)"]
        + ["array(-1)", "array(5,4)", "array(0,2147483647)"],
    ),
    "xs": (
        "array<double>",
        ["array(1.5D)", "array(cast('NaN' as double),0D,-0D)", "array()", "null"]
        + ["array(2D,null,1D)", "array(1e300D,-1e300D)", "array(0.1D)", "array(3D,3D)"],
    ),
    "aa": (
        "array<array<int>>",
        ["array(array(1,2),array(3))", "array()", "null", "array(array(),null)"]
        + [
            "array(array(null))",
            "array(array(1),array(1))",
            "array(array(9,8,7))",
            "array(array(0))",
        ],
    ),
    "m": (
        "map<string,int>",
        ["map('a',1)", "map()", "null", "map('a',null,'b',2)", "map('x',5)"]
        + ["map('é',1)", "map('a',7,'c',9)", "map('k',0)"],
    ),
    "mi": (
        "map<int,string>",
        ["map(1,'a')", "map()", "null", "map(2,null,3,'b')", "map(0,'x')"]
        + ["map(-1,'é')", "map(7,'a',1,'c')", "map(42,'')"],
    ),
    "s": (
        "struct<a:int,b:string>",
        ["named_struct('a',1,'b','z')", "named_struct('a',null,'b','y')"]
        + ["null", "named_struct('a',5,'b',null)", "named_struct('a',2,'b','q')"]
        + [
            "named_struct('a',-1,'b','')",
            "named_struct('a',0,'b','é')",
            "named_struct('a',2,'b','q')",
        ],
    ),
    "ss": (
        "array<struct<k:int,v:string>>",
        ["array(named_struct('k',1,'v','a'))", "array()", "null"]
        + ["array(named_struct('k',2,'v',null),named_struct('k',1,'v','b'))", "array(null)"]
        + ["array(named_struct('k',3,'v','c'))", "array(named_struct('k',0,'v',''))"]
        + ["array(named_struct('k',1,'v','a'),named_struct('k',1,'v','b'))"],
    ),
    "ym": (
        "interval year to month",
        ["interval '1-2' year to month", "interval '0-0' year to month"]
        + ["interval '-3-11' year to month", "null", "interval '0-1' year to month"]
        + ["interval '100-0' year to month", "interval '-0-1' year to month"]
        + ["interval '2-0' year to month"],
    ),
    "dt": (
        "interval day to second",
        ["interval '1 02:03:04.5' day to second"]
        + ["interval '0 00:00:00' day to second", "interval '-1 00:00:01' day to second", "null"]
        + ["interval '40 00:00:00' day to second", "interval '0 00:00:00.000001' day to second"]
        + ["interval '-0 12:00:00' day to second", "interval '7 23:59:59.999' day to second"],
    ),
}
"""By name: the type of a column, and the expression of each row's value."""

ANY = [*EDGES, "null", "1", "'a'", "2.5", "true", "array()", "1.0D", "date'2020-01-01'"]


def _read_sections() -> dict[str, list[str]]:
    """The lines of sql_signatures.txt below each [title]."""
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "sql_signatures.txt").read_text().splitlines():
        if line.startswith("[") and line.endswith("]"):
            found[line[1:-1]] = lines = []
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


_SECTIONS = _read_sections()
OPERATORS, FUNCTIONS = _SECTIONS["operators"], _SECTIONS["functions"]
"""An operator with the kinds of its sides; a function, a colon, and the kinds of its arguments."""
TYPES, FORMS = _SECTIONS["types"], _SECTIONS["forms"]
"""Types to cast to; expressions in which {n} is an argument of the kind n."""
KINDS = {line[0]: line[4:].split(" ; ") for line in _SECTIONS["kinds"]}
"""Arguments of a kind."""


class Generator:
    """Expressions by chance, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def expression(self, depth: int = 1) -> str:
        """An operation, function, cast or form of the syntax."""
        pick = self._chance.random()
        if pick < 0.12:
            return self._operation(depth)
        if pick < 0.24:
            cast = self._chance.choice(["cast", "cast", "try_cast"])
            return f"{cast}({self._argument('*', depth)} as {self._chance.choice(TYPES)})"
        if pick < 0.38:
            return self._form(depth)
        name, _, kinds = self._chance.choice(FUNCTIONS).partition(":")
        return f"{name}({', '.join(self._argument(kind, depth) for kind in kinds)})"

    def _operation(self, depth: int) -> str:
        text = self._chance.choice(OPERATORS)
        kinds = (
            text[-2:]
            if text[0] not in "~" and not text.startswith("not") and len(text) > 2
            else text[-1]
        )
        operator = text.removesuffix(kinds)
        sides = [self._argument(kind, depth) for kind in kinds]
        return f"{sides[0]} {operator} {sides[1]}" if len(sides) == 2 else f"{operator} {sides[0]}"

    def _form(self, depth: int) -> str:
        made = ""
        rest = self._chance.choice(FORMS)
        while "{" in rest:
            before, _, after = rest.partition("{")
            kind, _, rest = after.partition("}")
            made += before + self._argument(kind, depth)
        return made + rest

    def _argument(self, kind: str, depth: int) -> str:
        pick = self._chance.random()
        if kind == "N":
            return self._chance.choice(TYPES)
        if depth and pick < 0.12:
            return f"({self.expression(depth - 1)})"
        if kind == "*" or pick < 0.2:
            return self._chance.choice(ANY)
        return self._chance.choice(KINDS[kind])
