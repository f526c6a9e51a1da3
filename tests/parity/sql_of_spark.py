"""Spark's answers to expressions, in a process of its own: PySpark changes Python's logging.

Reads JSON lists of expressions by table, writes lists of their answers for each of MODES[:2].
"""

from __future__ import annotations

import json
import sys

from tests.parity.sql_cases import MODES, spark_answers
from tests.parity.test_fresh import start_spark


def main() -> None:
    given = json.load(sys.stdin)
    spark = start_spark()
    # To compile an expression takes longer than to interpret it for a few rows.
    spark.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    spark.conf.set("spark.sql.codegen.wholeStage", "false")
    answers = {
        table: [list(spark_answers(spark, some, *mode, table)) for mode in MODES[:2]]
        for table, some in given.items()
    }
    spark.stop()
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
