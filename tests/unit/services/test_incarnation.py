from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from hydro_services import incarnation

NS = st.integers(0, 2**48 * 1_000_000 - 1)


@given(NS)
def test_a_name_tells_when_its_life_began_and_is_of_no_other(now_ns: int) -> None:
    names = {incarnation.new(now_ns) for _ in range(8)}
    assert len(names) == 8
    assert {incarnation.started_ms(name) for name in names} == {now_ns // 1_000_000}
    assert {(uuid.UUID(name).version, uuid.UUID(name).variant) for name in names} == {
        (7, uuid.RFC_4122)
    }


@given(st.one_of(st.text(), st.uuids(version=4).map(lambda each: each.hex)))
def test_what_tells_no_time_tells_none(name: str) -> None:
    assert incarnation.started_ms(name) == 0
