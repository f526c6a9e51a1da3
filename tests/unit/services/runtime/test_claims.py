"""Sparse vectors claim any size by a few bytes: what a model makes of them is bounded."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Columns, DataType, Sparse
from hydro_runtimes.columns import sparse as sparse_columns
from hydro_runtimes.evaluator import Field, Signature
from hydro_runtimes.python import PythonEvaluator
from hydro_services.runtime import evaluation, offload
from hydro_services.runtime.evaluation import answer_bytes, evaluate
from hydro_services.runtime.offload import split_portions
from hydro_services.runtime.stage import FrameInStage


class Echo:
    def evaluate(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": columns["x"]}


ECHO = PythonEvaluator(
    Signature((Field("x", DataType.FLOAT64, (-1,)),), (Field("y", DataType.FLOAT64, (-1,)),)),
    Echo(),
)


def sparse(rows: int, size: int) -> Columns:
    """Vectors of ones and zeros, of which nothing but the first element is stored."""
    ones = np.ones(rows)
    return Columns({"x": Sparse(size, np.arange(rows + 1), np.zeros(rows, np.int32), ones)})


@given(rows=st.integers(1, 40), size=st.integers(2, 64), most=st.integers(1, 64))
def test_answers_to_vectors_that_are_written_out_are_bounded(
    rows: int, size: int, most: int
) -> None:
    at_once, together = 64 * 8 * most, 4 * 64 * 8 * most
    with (
        patch.object(sparse_columns, "MAX_DENSE_BYTES", at_once),
        patch.object(evaluation, "MAX_PARTS_BYTES", together),
    ):
        (found,) = evaluate(ECHO, [sparse(rows, size)])
    well = rows - len(found.failures)
    assert answer_bytes([found]) <= together + at_once + 8 * (rows + 1)
    assert {each.reason for each in found.failures.values()} <= {"TOO_LARGE"}
    assert found.failures.keys() == set(range(well, rows)), "the first are answered"
    assert well == rows or rows * size * 8 > together


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 64)), max_size=30))
def test_a_portion_claims_no_more_than_may_be_written_out_at_once(
    sizes: list[tuple[int, int]],
) -> None:
    frames = [FrameInStage(pb.Frame(table=pb.Table(rows=n)), sparse(n, size)) for n, size in sizes]
    with patch.object(offload, "MAX_DENSE_BYTES", 4096):
        found = list(split_portions(iter(frames)))
    assert [each for portion in found for each in portion] == frames
    for portion in found:
        claims = [each.inputs["x"].dense_bytes for each in portion[:-1]]  # type: ignore[union-attr]
        assert sum(claims) <= 4096
