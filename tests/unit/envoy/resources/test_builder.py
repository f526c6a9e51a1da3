from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshes import (
    backend,
    gateway,
    manager_api_listener,
    mesh_of,
    pipeline,
    repository_api_listener,
)

from hydro_envoy.address import Address
from hydro_envoy.errors import DanglingReference, DuplicateName
from hydro_envoy.headers import Position
from hydro_envoy.mesh import Mesh, Pending, Shadow, Traffic, Variant
from hydro_envoy.policy import LbPolicy, Policy, RateLimit, Retry, StagePolicy
from hydro_envoy.resources.builder import Builder, listener_ref, pipeline_ref
from hydro_envoy.resources.display import to_json
from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot, diff

CLUSTER, ENDPOINTS, LISTENER, FILTER, SCOPE, ROUTES, _ = ResourceType


@pytest.fixture(scope="module")
def builder() -> Builder:
    return Builder()


def bodies(snapshot: Snapshot) -> list[tuple[ResourceType, str, bytes]]:
    return [(r.type, r.name, r.body) for t in snapshot.resources.values() for r in t.values()]


def shown(resource: Resource | None) -> Any:
    assert resource is not None
    return json.loads(to_json(resource))


def cluster_of(snapshot: Snapshot, name: str) -> str:
    return next(c for c in snapshot.resources[CLUSTER] if c.startswith(f"{name}-"))


def test_equal_meshes_give_equal_bytes_whatever_the_order() -> None:
    mesh = mesh_of({"p": ("a", "b"), "q": ("b", "c")})
    turned = replace(mesh, backends=mesh.backends[::-1], pipelines=mesh.pipelines[::-1])
    assert bodies(Builder().build(mesh)) == bodies(Builder().build(turned))


def test_a_cluster_keeps_its_name_and_content_when_endpoints_change(builder: Builder) -> None:
    mesh = mesh_of({"p": ("a",)})
    old = builder.build(mesh)
    new = builder.build(replace(mesh, backends=(backend("a", Address("::1", 1)),)))
    assert old.resources[CLUSTER] == new.resources[CLUSTER]
    assert old.resources[ENDPOINTS] != new.resources[ENDPOINTS]


def test_a_change_to_one_pipeline_rebuilds_only_that_pipeline(builder: Builder) -> None:
    pipelines = {f"p{i}": ("a",) for i in range(5)}
    old = builder.build(mesh_of(pipelines))
    new = builder.build(mesh_of(pipelines | {"p3": ("a", "a")}))
    changed = [
        ref for ref in old.closure([pipeline_ref(n) for n in pipelines])
        if old.get(ref) is not new.get(ref)
    ]  # fmt: skip
    assert {r for r in changed if old.get(r) != new.get(r)} == {
        Ref(ROUTES, "pipeline/p3"),
        Ref(SCOPE, "p3"),
    }


def test_a_route_has_its_stages_as_filters_and_the_last_as_upstream(builder: Builder) -> None:
    snapshot = builder.build(mesh_of({"p": ("a", "b", "c")}))
    (host,) = shown(snapshot.get(Ref(ROUTES, "pipeline/p")))["virtual_hosts"]
    (route,) = host["routes"]
    assert route["route"]["cluster"] == cluster_of(snapshot, "c@last")
    filters = route["typed_per_filter_config"]["chain"]["filter_chain"]["filters"]
    services = [f["typed_config"]["grpc_service"]["envoy_grpc"] for f in filters]
    names = [s["cluster_name"] for s in services]
    assert names == [cluster_of(snapshot, "a"), cluster_of(snapshot, "b")]


def test_a_pipeline_of_one_stage_has_no_filters_of_stages(builder: Builder) -> None:
    snapshot = builder.build(mesh_of({"p": ("a",)}))
    (host,) = shown(snapshot.get(Ref(ROUTES, "pipeline/p")))["virtual_hosts"]
    assert host["routes"][0]["typed_per_filter_config"].keys() == {"whole_answer"}


def test_what_reads_like_a_command_is_passed_on_as_it_is(builder: Builder) -> None:
    odd = pipeline("p", "a", "a")
    odd = replace(odd, stages=tuple(replace(s, model="100%REQ(x)%") for s in odd.stages))
    mesh = replace(mesh_of({"p": ("a", "a")}), pipelines=(odd,))
    text = to_json(builder.build(mesh).get(Ref(ROUTES, "pipeline/p")))
    assert text.count("100%%REQ(x)%%") == 2


@pytest.mark.parametrize(
    ("index", "stages", "want"),
    [(0, 1, "only"), (0, 2, "first"), (1, 2, "last"), (1, 3, "middle"), (2, 3, "last")],
)
def test_a_stage_knows_its_position(index: int, stages: int, want: str) -> None:
    assert Position.at(index, stages).value == want


def test_an_api_listener_leads_to_its_backend_or_to_the_manager(builder: Builder) -> None:
    mesh = Mesh(
        gateway(),
        api_listeners=(manager_api_listener(), repository_api_listener()),
        backends=(backend("repository", Address("127.0.0.1", 1)),),
    )
    snapshot = builder.build(mesh)
    references = snapshot.closure([listener_ref("repository")])
    assert Ref(CLUSTER, cluster_of(snapshot, "repository")) in references
    assert snapshot.closure([listener_ref("manager")]) == {listener_ref("manager")}
    assert '"cluster": "manager"' in to_json(snapshot.get(listener_ref("manager")))


def test_a_backend_without_endpoints_is_served_as_unavailable(builder: Builder) -> None:
    mesh = replace(mesh_of({"p": ("a",)}), backends=(backend("a"),))
    snapshot = builder.build(mesh)
    for assignment in snapshot.resources[ENDPOINTS].values():
        assert "lb_endpoints" not in shown(assignment)["endpoints"][0]


def test_a_stage_on_no_backend_is_refused(builder: Builder) -> None:
    mesh = replace(mesh_of({"p": ("a", "b")}), backends=(backend("a"),))
    with pytest.raises(DanglingReference) as raised:
        builder.build(mesh)
    assert (raised.value.source, raised.value.missing) == ("pipeline", ("b",))


def test_an_api_listener_of_no_backend_is_refused(builder: Builder) -> None:
    with pytest.raises(DanglingReference, match="API listener resources name backend"):
        builder.build(Mesh(gateway(), api_listeners=(repository_api_listener(),)))


@pytest.mark.parametrize(
    ("mesh", "kind"),
    [
        (replace(mesh_of({"p": ("a",)}), backends=(backend("a"), backend("a"))), "backend"),
        (replace(mesh_of({"p": ("a",)}), pipelines=(pipeline("p", "a"),) * 2), "scope"),
        (Mesh(gateway(), api_listeners=(manager_api_listener(),) * 2), "listener"),
    ],
    ids=["backends", "pipelines", "API listeners"],
)
def test_two_of_one_name_are_refused(builder: Builder, mesh: Mesh, kind: str) -> None:
    with pytest.raises(DuplicateName) as raised:
        builder.build(mesh)
    assert raised.value.kind == kind


def test_a_warm_start_builds_nothing_and_gives_the_same(tmp_path: Path) -> None:
    """In a process of its own, to see that what builds is not even imported."""
    mesh = mesh_of({"p": ("a", "b")})
    builder = Builder(tmp_path)
    cold = builder.build(mesh)
    builder.close()
    script = (
        "import sys; from pathlib import Path; from meshes import mesh_of;"
        "from hydro_envoy.resources.builder import Builder;"
        f"s = Builder(Path({str(tmp_path)!r})).build(mesh_of({{'p': ('a', 'b')}}));"
        "assert 'envoy_data_plane' not in sys.modules;"
        "print(sorted(s.versions.values()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(sorted(cold.versions.values()))


def test_a_resource_is_shown_as_json() -> None:
    assert to_json(None) == ""


# ---- policies


def of(name: str, *chain: str, **more: Any) -> Mesh:
    mesh = mesh_of({name: chain, "other": chain})
    first, other = mesh.pipelines
    return replace(mesh, pipelines=(replace(first, **more), other))


def changed(old: Snapshot, new: Snapshot) -> list[tuple[str, str]]:
    return [(change.action, change.name) for change in diff(old, new)]


def test_a_pipeline_with_policies_has_a_front_and_others_stay_as_they_are(builder: Builder) -> None:
    plain = builder.build(of("p", "a", "b"))
    limited = builder.build(of("p", "a", "b", policy=Policy(rate_limit=RateLimit(9))))
    assert changed(plain, limited) == [
        ("add", "p@main"),
        ("change", "pipeline/p"),
        ("add", "pipeline/p@main"),
    ]


def test_a_changed_weight_or_limit_is_one_changed_resource(builder: Builder) -> None:
    def build(weight: int, **policy: Any) -> Snapshot:
        traffic = Traffic((Variant("canary", pipeline("c", "b").stages, weight),))
        return builder.build(of("p", "a", "b", traffic=traffic, policy=Policy(**policy)))

    assert changed(build(10), build(20)) == [("change", "pipeline/p")]
    assert changed(build(10), build(10, timeout_s=1.0)) == [("change", "pipeline/p")]


def test_a_front_waits_for_its_chains(builder: Builder) -> None:
    traffic = Traffic(shadow=Shadow(pipeline("s", "b").stages))
    snapshot = builder.build(of("p", "a", "b", traffic=traffic))
    closure = snapshot.closure([pipeline_ref("p")])
    scopes = {ref.name for ref in closure if ref.type is SCOPE}
    assert scopes == {"p", "p@main", "p@shadow"}
    assert Ref(CLUSTER, "shadows") in closure


def test_a_circuit_breaker_is_a_cluster_that_only_counts(builder: Builder) -> None:
    plain = of("p", "a", "b")
    first = replace(plain.pipelines[0].stages[0], policy=StagePolicy(max_requests=3))
    stages = (first, plain.pipelines[0].stages[1])
    with_policy = builder.build(of("p", "a", "b", stages=stages))
    before = builder.build(plain)
    added = [c.name for c in diff(before, with_policy) if c.type is CLUSTER]
    assert [name.rpartition("-")[0] for name in added] == ["a"]
    assert before.resources[CLUSTER].items() <= with_policy.resources[CLUSTER].items()
    cluster = shown(with_policy.get(Ref(CLUSTER, added[0])))
    assert cluster["circuit_breakers"]["thresholds"][0]["max_requests"] == 3
    assert "health_checks" not in cluster
    breaker = with_policy.get(Ref(CLUSTER, added[0]))
    assert breaker
    (behind,) = {r.name for r in breaker.references}
    assert "health_checks" in shown(before.get(Ref(CLUSTER, behind)))
    assert {Ref(CLUSTER, added[0]), Ref(CLUSTER, behind)} <= with_policy.closure(
        [pipeline_ref("p")]
    )


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["least_request", "random"]),
            st.sampled_from([1, 5, 100_000]),
            st.sampled_from([1.0, 2.0]),
        ),
        max_size=8,
    )
)
@settings(max_examples=25, deadline=None)
def test_what_is_health_checked_follows_what_differs_and_not_how_many_there_are(
    builder: Builder, wanted: list[tuple[LbPolicy, int, float]]
) -> None:
    pipelines = []
    for i, (lb_policy, most, interval) in enumerate(wanted):
        breaker = f"p{i}" if most < 100_000 else ""
        policy = StagePolicy(lb_policy, most, interval_s=interval, breaker=breaker)
        first, last = pipeline(f"p{i}", "a", "b").stages
        pipelines.append(
            replace(pipeline(f"p{i}", "a", "b"), stages=(replace(first, policy=policy), last))
        )
    mesh = replace(of("p", "a", "b"), pipelines=tuple(pipelines))
    clusters = [shown(each) for each in builder.build(mesh).resources[CLUSTER].values()]
    checked = [c for c in clusters if "health_checks" in c]
    settings_of_a = {(lb, interval) for lb, _, interval in wanted} | {("least_request", 1.0)}
    assert len([c for c in checked if c["name"].startswith("a-")]) == len(settings_of_a)
    limits = [c["circuit_breakers"]["thresholds"][0]["max_requests"] for c in clusters]
    assert sorted(n for n in limits if n < 100) == sorted(n for _, n, _ in wanted if n < 100)


def test_a_front_is_shown_as_json(builder: Builder) -> None:
    policy = Policy(RateLimit(9), RateLimit(1), 1.0, Retry(2, 0.5), 1000)
    snapshot = builder.build(of("p", "a", policy=policy))
    text = to_json(snapshot.get(Ref(ROUTES, "pipeline/p")))
    assert '"max_tokens": 9' in text
    assert '"num_retries": 2' in text


def test_a_pipeline_that_is_pending_has_a_route_that_changes_in_place(builder: Builder) -> None:
    mesh = replace(mesh_of({"p": ("a",)}), pending=(Pending("q"),))
    waiting = builder.build(mesh)
    assert waiting.get(pipeline_ref("q"))
    routes = Ref(ROUTES, "pipeline/q")
    body = json.loads(to_json(waiting.get(routes)))
    answer = body["virtual_hosts"][0]["routes"][0]["direct_response"]
    assert answer["status"] == 503
    assert answer["body"]["inline_string"].startswith("pipeline 'q' does not serve yet")
    served = builder.build(mesh_of({"p": ("a",), "q": ("a",)}))
    changes = {(c.action, c.type, c.name) for c in diff(waiting, served)}
    assert changes == {("change", ROUTES, "pipeline/q")}, "never absent in between"
    failed = builder.build(replace(mesh, pending=(Pending("q", has_failed=True),)))
    assert [c.name for c in diff(waiting, failed)] == ["pipeline/q"]
    gone = builder.build(mesh_of({"p": ("a",)}))
    assert [c.action for c in diff(waiting, gone)] == ["remove", "remove"]
