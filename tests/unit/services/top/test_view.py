"""What `hydro top` makes of what the parts of a mesh tell."""

from __future__ import annotations

import pytest

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_services.cli import screen
from hydro_services.top.samples import Scrape, ScrapeDelta, parse_scrape, quantile
from hydro_services.top.view import MeshStatus, ProcessRow, StageRow, View, build_view

ENVOY = """
# TYPE envoy_hydro_requests counter
envoy_hydro_requests{hydro_pipeline="p",hydro_method="Serve",hydro_code="200"} 10
envoy_hydro_requests{hydro_pipeline="p",hydro_method="Serve",hydro_code="400"} 2
envoy_hydro_requests{hydro_pipeline="q",hydro_method="Serve",hydro_code="200"} 99
envoy_hydro_unanswered_requests{hydro_pipeline="p"} 2
envoy_hydro_request_ms_bucket{hydro_pipeline="p",hydro_method="Serve",le="10"} 5
envoy_hydro_request_ms_bucket{hydro_pipeline="p",hydro_method="Serve",le="20"} 10
envoy_hydro_request_ms_bucket{hydro_pipeline="p",hydro_method="Serve",le="+Inf"} 10
envoy_hydro_request_ms_bucket{hydro_pipeline="p",hydro_method="PredictStream",le="+Inf"} 70
envoy_server_memory_allocated{} 5000000
envoy_cluster_upstream_rq{envoy_cluster_name="x"} 1
"""
RUNTIME = """
hydro_stage_rows_total{pipeline="p",stage="s/m"} 40.0
hydro_stage_failed_rows_total{pipeline="p",stage="s/m",reason="MODEL_FAILED"} 2.0
hydro_stage_seconds_bucket{pipeline="p",stage="s/m",le="0.001"} 4.0
hydro_stage_seconds_bucket{pipeline="p",stage="s/m",le="+Inf"} 4.0
hydro_stage_calls_active{pipeline="p",stage="s/m"} 3.0
hydro_model_queue_rows{model="m"} 7.0
hydro_model_batch_rows_sum{model="m"} 40.0
hydro_model_batch_rows_count{model="m"} 10.0
process_cpu_seconds_total 1.0
process_resident_memory_bytes 2e+06
"""
NAMES = {("envoy", "gateway"): ENVOY, ("runtime", "s-1"): RUNTIME}


def told(at_s: float = 0.0, **texts: str) -> MeshStatus:
    """A mesh of one pipeline; what is not given is as if nothing had happened yet."""
    targets = [pb.MetricsTarget(part=part, instance=name) for part, name in NAMES]
    pipeline = pipeline_pb2.Pipeline(
        name="p", chain=["s/m"], state=pipeline_pb2.PIPELINE_STATE_READY
    )
    endpoint = pb.Endpoint(instance="s-1", ready=True)
    return MeshStatus(
        pb.GetStatusResponse(
            nodes=[pb.Node(id="gateway", role="gateway", lacking=1)], targets=targets
        ),
        [pipeline],
        [pb.Service(name="s", endpoints=[endpoint])],
        {key: parse_scrape(text, at_s) for key, text in NAMES.items() if texts.get(key[0], text)},
    )


def test_lines_are_read_with_their_labels() -> None:
    text = 'hydro_x{a="b",c="d \\"e\\" \\\\ f"} 3.5\nnonsense\nother{a="b"} 1\nhydro_y 2e3\n'
    found = parse_scrape(text, 1.0)
    assert found.values == {
        "hydro_x": [({"a": "b", "c": 'd "e" \\ f'}, 3.5)],
        "hydro_y": [({}, 2000.0)],
    }
    assert (found.total("hydro_x", a="b"), found.total("hydro_x", a="c")) == (3.5, 0)


def test_a_counter_that_fell_has_begun_anew() -> None:
    def scrape(at_s: float, value: float) -> Scrape:
        return parse_scrape(f'hydro_x{{a="b"}} {value}', at_s)

    assert ScrapeDelta(scrape(0, 10), scrape(2, 16)).rate("hydro_x") == 3
    assert ScrapeDelta(scrape(0, 10), scrape(2, 4)).rate("hydro_x") == 2
    assert ScrapeDelta(parse_scrape("", 0), scrape(2, 4)).rate("hydro_x") == 2


@pytest.mark.parametrize(
    ("q", "want"),
    [
        pytest.param(0.25, 5.0, id="in the first bucket"),
        pytest.param(0.5, 10.0, id="at a bound"),
        pytest.param(0.75, 15.0, id="between bounds"),
    ],
)
def test_a_quantile_lies_within_its_bucket(q: float, want: float) -> None:
    buckets = [({"le": le}, count) for le, count in (("10", 5.0), ("20", 10.0), ("+Inf", 10.0))]
    assert quantile(q, buckets) == want
    above = [({"le": "10"}, 1.0), ({"le": "+Inf"}, 4.0)]
    assert quantile(0.99, above) == 10.0, "what is above all bounds is at the last one"
    assert quantile(0.5, [({"le": "+Inf"}, 0.0)]) is None
    assert quantile(0.5, []) is None


def test_a_view_is_of_the_time_between_two_looks() -> None:
    nothing = MeshStatus(told().status, [], [], {key: Scrape(0.0, {}) for key in NAMES})
    found = build_view(nothing, told(2.0))
    (pipeline,) = found.pipelines
    assert (pipeline.requests_s, pipeline.errors_s) == (7.0, 2.0)
    assert (pipeline.p50_ms, round(pipeline.p99_ms or 0, 3)) == (10.0, 19.8), "without streams"
    assert pipeline.stages == (StageRow("s/m", 20.0, 1.0, 0.5, 0.99, 3),)
    assert found.processes == (
        ProcessRow("envoy", "gateway", "ready", None, 5.0, lacking=1),
        ProcessRow("runtime", "s-1", "ready", 50.0, 2.0, 7, 4.0),
    )


def test_at_the_first_look_nothing_has_happened_yet() -> None:
    (pipeline,) = build_view(None, told()).pipelines
    assert (pipeline.requests_s, pipeline.p50_ms, pipeline.state) == (0.0, None, "ready")


def test_a_part_that_is_away_is_shown_as_such() -> None:
    envoy, runtime = build_view(told(), told(2.0, envoy="")).processes
    assert (envoy.state, envoy.memory_mb, runtime.state) == ("does not answer", None, "ready")


def test_refusals_are_told_in_envoys_words() -> None:
    refusal = pb.Refusal(type="routes", name="p", message="no such filter")
    status = pb.GetStatusResponse(nodes=[pb.Node(id="g", refused=[refusal])])
    assert build_view(None, MeshStatus(status, [], [], {})).refusals == (
        "g refuses routes p: no such filter",
    )


def test_the_screen_aligns_and_marks_what_is_wrong() -> None:
    nothing = MeshStatus(told().status, [], [], {key: Scrape(0.0, {}) for key in NAMES})
    lines = screen.view_lines(build_view(nothing, told(2.0)))
    assert [screen.strip_styles(line) for line in lines] == [
        "PIPELINE / STAGE  STATE  REQ/S  ERR/S  ROWS/S  P50 MS  P99 MS  OPEN",
        "p                 ready    7.0    2.0            10.0    19.8",
        "└ s/m                             1.0    20.0    0.50    0.99     3",
        "",
        "PART     INSTANCE  STATE  CPU %   MB  QUEUE  BATCH  LACKS  NACKS",
        "envoy    gateway   ready      -  5.0      -      -      1      -",
        "runtime  s-1       ready   50.0  2.0      7    4.0      -      -",
    ]
    assert [line.startswith(screen.RED) for line in lines[1:3]] == [True, True]


def test_the_busiest_pipelines_are_shown_where_there_is_no_room_for_all() -> None:
    found = build_view(None, told())
    many = View(found.pipelines * 30, found.processes, ())
    lines = screen.view_lines(many, height=20)
    assert len(lines) <= 20
    assert any("… and 2" in line for line in lines)
    assert screen.fit_line(f"{screen.RED}abcdef{screen.PLAIN}", 4) == (
        f"{screen.RED}abc…{screen.PLAIN}"
    )
