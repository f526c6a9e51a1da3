"""ONNX models: what onnx loads, sklearn-onnx and the like convert to, or a session of onnxruntime.

The example's columns are the graph's inputs of the same names; or together they are its one input.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hydro_models.answers import Answerer, Answerers
from hydro_models.column_kinds import object_array
from hydro_models.errors import CannotSave
from hydro_models.threads import thread_count

FILE = "model.onnx"
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""By type of an input, as onnxruntime names it."""


def matches(model: Any) -> bool:
    """As `kinds.KindModule.matches`."""
    kind = type(model)
    root = kind.__module__.partition(".")[0]
    return (root, kind.__name__) in (("onnx", "ModelProto"), ("onnxruntime", "InferenceSession"))


def answerers(model: Any) -> Answerers:
    """As `kinds.KindModule.answerers`."""
    session = open_session(model.SerializeToString()) if hasattr(model, "graph") else model
    return {
        output.name: Answerer(partial(_run, session, output.name))
        for output in session.get_outputs()
    }


def default_outputs(model: Any) -> Sequence[str]:
    """All."""
    return [*answerers(model)]


def write(model: Any, folder: Path) -> Path:
    """As `kinds.KindModule.write`."""
    if not hasattr(model, "graph"):
        raise CannotSave("a session of onnxruntime cannot be written: give what onnx.load gives")
    (folder / FILE).write_bytes(model.SerializeToString())
    return folder / FILE


def read(file: Path) -> Any:
    """As `kinds.KindModule.read`: a session."""
    return open_session(file)


def libraries(file: Path) -> Sequence[str]:
    """As `kinds.KindModule.libraries`."""
    return ["numpy", "onnxruntime"]


def open_session(model: Path | bytes) -> Any:
    """A session of onnxruntime on the CPU, with as many threads as `thread_count` says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: Any, output: str, rows: Any) -> Any:
    (answer,) = session.run([output], _feeds(session, rows))
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        return _vectors(answer)
    return answer


def _vectors(maps: list[dict[Any, float]]) -> Any:
    """Maps with the same keys as vectors; others as they are."""
    keys = list(maps[0])
    if any(list(each) != keys for each in maps):
        return object_array(maps)
    return np.array([list(each.values()) for each in maps], np.float32)


def _feeds(session: Any, rows: Any) -> dict[str, Any]:
    inputs = session.get_inputs()
    if hasattr(rows, "columns") and {str(name) for name in rows.columns} == {
        each.name for each in inputs
    }:
        return {each.name: _feed(each, rows[each.name].to_numpy()) for each in inputs}
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise ValueError(f"the graph has the inputs {names}: want a data frame with these columns")
    return {inputs[0].name: _feed(inputs[0], np.asarray(rows))}


def _feed(stated: Any, values: Any) -> Any:
    values = values.astype(_DTYPES.get(stated.type, values.dtype))
    return values.reshape(-1, 1) if values.ndim == 1 and len(stated.shape) == 2 else values
