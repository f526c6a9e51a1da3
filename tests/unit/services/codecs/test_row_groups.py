"""Groups of rows keep their order, and no frame of them is mostly empty."""

from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.evaluator import Failure
from hydro_services.codecs.json_rows import Row
from hydro_services.codecs.row_groups import MAX_COLUMNS, MAX_ROWS, split_rows

ROWS = st.lists(
    st.builds(Failure, st.just("ODD"), st.just("odd"))
    | st.dictionaries(st.integers(0, 30).map(str), st.just(1), max_size=30),
    max_size=60,
)


def names(group: list[Row | Failure]) -> set[str]:
    """The columns of a frame of these rows."""
    return {name for row in group if isinstance(row, dict) for name in row}


@given(ROWS)
def test_groups_are_all_rows_in_order(rows: list[dict[str, int] | Failure]) -> None:
    assert [row for group in split_rows(rows) for row in group] == rows


def test_rows_alike_go_together_up_to_a_limit() -> None:
    rows = [{"a": 1, "b": 2}] * (2 * MAX_ROWS + 1)
    assert [len(group) for group in split_rows(rows)] == [MAX_ROWS, MAX_ROWS, 1]


def test_a_few_absent_columns_part_nothing() -> None:
    rows = [{"a": 1, "b": 2} if i % 3 else {"a": 1} for i in range(MAX_ROWS)]
    assert len(list(split_rows(rows))) == 1


def test_rows_of_many_columns_take_no_places_in_all_others() -> None:
    wide = {str(i): 1 for i in range(MAX_COLUMNS)}
    rows: list[Row | Failure] = [wide, *[{"a": 1}] * 499, wide, *[{"a": 1}] * 499]
    places = sum(len(names(group)) * len(group) for group in split_rows(rows))
    assert places < 8 * (2 * MAX_COLUMNS + 2 * 499) + 20_000


def test_each_row_with_columns_of_its_own_is_parted_before_there_are_too_many() -> None:
    rows = [{f"{i}_{j}": 1 for j in range(1000)} for i in range(20)]
    assert max(len(names(group)) for group in split_rows(rows)) <= MAX_COLUMNS


def test_a_row_with_too_many_columns_is_a_failure_in_its_place() -> None:
    rows = [{"a": 1}, {str(i): 1 for i in range(MAX_COLUMNS + 1)}, {"a": 2}]
    first, failure, last = (row for group in split_rows(rows) for row in group)
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert isinstance(failure, Failure)
    assert failure.reason == "TOO_MANY_COLUMNS"
