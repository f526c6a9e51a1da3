"""Records what Spark answers to the expressions of tests/parity: fixtures/sql.json, sql_edges.json.

PYTHONPATH=runtimes:. python scripts/record_sql.py
"""

from __future__ import annotations

import json
from typing import Any

from tests.parity.sql_cases import MODES, RECORDED, read_expressions, spark_answers
from tests.parity.sql_tables import TABLES
from tests.parity.test_fresh import start_spark


def main() -> None:
    spark = start_spark()
    for table in TABLES:
        given = read_expressions(table)
        recorded: dict[str, dict[str, Any]] = {}
        for ansi, zone in MODES:
            answers = spark_answers(spark, given, ansi, zone, table)
            recorded[f"{ansi} {zone}"] = dict(zip(given, answers, strict=True))
            RECORDED[table].write_text(written(recorded))
    spark.stop()


def written(recorded: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each expression."""
    modes = []
    for mode, answers in recorded.items():
        lines = (f"  {_text(one)}: {_text(answer)}" for one, answer in answers.items())
        modes.append(f" {json.dumps(mode)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(modes) + "\n}\n"


def _text(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False)


if __name__ == "__main__":
    main()
