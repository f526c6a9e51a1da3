"""Prometheus's text, read by us and by the parser of Prometheus's own client."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hydro_services.top.samples import parse_scrape

Samples = list[tuple[str, dict[str, str], float]]
VALUES = st.floats(allow_nan=False)


def by_prometheus(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return [(s.name, dict(s.labels), float(s.value)) for f in families for s in f.samples]


def by_us(text: str) -> Samples:
    scrape = parse_scrape(text, 0.0)
    return [
        (name, dict(labels), value)
        for name, samples in scrape.values.items()
        for labels, value in samples
    ]


def in_order(samples: Samples) -> list[tuple[str, list[tuple[str, str]], float]]:
    return sorted((name, sorted(labels.items()), value) for name, labels, value in samples)


@given(
    st.lists(
        st.tuples(st.text(max_size=8), st.text('"\\\n,={} né', max_size=8), VALUES), max_size=6
    )
)
def test_what_the_client_writes_is_read_as_by_its_own_parser(
    rows: list[tuple[str, str, float]],
) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("hydro_rows", "a gauge", ("stage", "of"), registry=registry)
    times = Histogram("hydro_seconds", "a histogram", ("stage",), registry=registry)
    for stage, of, value in rows:
        gauge.labels(stage, of).set(value)
        times.labels(stage).observe(abs(value))
    text = generate_latest(registry).decode()
    assert in_order(by_us(text)) == in_order(by_prometheus(text))


@given(
    st.one_of(st.text(), st.text('{}=,"\\ 1.e+-a', max_size=12).map("hydro_x".__add__)),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_line_that_is_odd_costs_no_other(odd: str, value: float) -> None:
    text = f"hydro_a 1\n{odd}\nhydro_b {value!r}\n"
    scrape = parse_scrape(text, 0.0)
    assert scrape.total("hydro_b") == value


def test_numbers_are_as_prometheus_writes_them() -> None:
    scrape = parse_scrape("hydro_a +Inf\nhydro_b 1e-3 1395066363000\nhydro_c NaN\n", 0.0)
    assert scrape.total("hydro_a") == math.inf
    assert scrape.total("hydro_b") == 0.001
    assert math.isnan(scrape.total("hydro_c"))
