"""What becomes too large between two stages is parted, or an error in the place of the row."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Columns, Strings
from hydro_runtimes.evaluator import Failure
from hydro_services import errors
from hydro_services.codecs import proto_columns, proto_encoding
from hydro_services.runtime import row_errors
from hydro_services.runtime.frame_size import write_fitting
from hydro_services.runtime.wire_formats.frames import StageEncoder

LIMIT = 400
ROWS = st.lists(
    st.none() | st.sampled_from(["", "a", "b" * 60, "c" * 500]), min_size=1, max_size=40
)
"""Texts; None is a row that has failed before."""


def frame(rows: Sequence[str | None], encoding: pb.Encoding) -> pb.Frame:
    made = pb.Frame(encoding=encoding, final=True)
    well = [row for row in rows if row is not None]
    made.table.rows = len(well)
    proto_encoding.add_columns(Columns({"t": Strings(well)}, len(well)), {}, made.table)
    failures = {i: Failure("ODD", "odd", "t") for i, row in enumerate(rows) if row is None}
    made.errors.extend(row_errors.make_errors(failures, "s/m", encoding))
    return made


def answers(sent: Sequence[pb.Frame]) -> list[str]:
    """The text, or the reason, of each row."""
    found: list[str] = []
    for each in sent:
        column = proto_columns.decode_table(each.table).get("t")
        texts = iter(column.values if isinstance(column, Strings) else ())
        failed = {
            error.row + n: errors.row_json(error.status)["error"]["reason"]
            for error in each.errors
            for n in range(error.rows or 1)
        }
        count = each.table.rows + len(failed)
        found += [failed[i] if i in failed else next(texts) for i in range(count)]
    return found


@given(ROWS, st.sampled_from([pb.ENCODING_JSON_ARRAY, pb.ENCODING_NDJSON]))
def test_rows_of_json_go_on_in_frames_that_fit(
    rows: list[str | None], encoding: pb.Encoding
) -> None:
    messages = write_fitting(frame(rows, encoding), StageEncoder(), LIMIT, "s/m")
    sent = [pb.Frame.FromString(message) for message in messages]
    want = ["ODD" if row is None else "TOO_LARGE" if len(row) > LIMIT else row for row in rows]
    assert answers(sent) == want
    assert [each.final for each in sent] == [False] * (len(sent) - 1) + [True]
    # What tells of one row that does not fit is not cut again.
    assert all(len(m) <= LIMIT or f.errors for m, f in zip(messages, sent, strict=True))


def test_a_frame_of_a_client_is_refused_as_a_whole() -> None:
    with pytest.raises(errors.TooLarge, match=r"the frame is too large: .* want at most 400"):
        write_fitting(frame(["c" * 500], pb.ENCODING_RAW), StageEncoder(), LIMIT, "s/m")
