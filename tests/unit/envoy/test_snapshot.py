from __future__ import annotations

import pytest
from envoy_client import snapshot_of

from hydro_envoy.errors import DanglingReference, DuplicateName
from hydro_envoy.snapshot import Ref, ResourceChange, ResourceType, Snapshot, diff, make_resource

CLUSTER, ENDPOINTS, LISTENER, FILTER, SCOPE, ROUTES, _ = ResourceType


def test_resources_are_sorted_whatever_their_order() -> None:
    made = [make_resource(CLUSTER, n, b"x") for n in "cab"]
    assert list(Snapshot.from_resources(made).resources[CLUSTER]) == ["a", "b", "c"]


def test_two_resources_of_one_name_are_refused() -> None:
    with pytest.raises(DuplicateName, match="two clusters named 'a'"):
        Snapshot.from_resources(
            [make_resource(CLUSTER, "a", b"x"), make_resource(CLUSTER, "a", b"y")]
        )


def test_a_snapshot_whose_references_are_there_is_well() -> None:
    snapshot_of({"p": ("a", "b"), "q": ("b",)}).check()


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        (ROUTES, CLUSTER, "a"),
        (CLUSTER, ENDPOINTS, "a"),
        (SCOPE, ROUTES, "r-p"),
    ],
    ids=["route to no cluster", "cluster without endpoints", "scope without routes"],
)
def test_a_reference_to_nothing_is_refused_and_names_both_sets(
    source: ResourceType, target: ResourceType, name: str
) -> None:
    whole = snapshot_of({"p": ("a", "b")})
    rest = [r for t in whole.resources.values() for r in t.values() if r.ref != Ref(target, name)]
    with pytest.raises(DanglingReference) as raised:
        Snapshot.from_resources(rest).check()
    assert name in raised.value.missing
    assert set(raised.value.named) - set(raised.value.present) == set(raised.value.missing)
    assert f"missing {name}" in str(raised.value)


def test_endpoints_that_no_cluster_names_are_refused() -> None:
    whole = snapshot_of({"p": ("a",)}).plus([make_resource(ENDPOINTS, "orphan", b"x")])
    with pytest.raises(DanglingReference, match="unused orphan"):
        whole.check()


def test_the_closure_has_all_that_a_pipeline_needs() -> None:
    closure = snapshot_of({"p": ("a",), "q": ("b",)}).closure([Ref(SCOPE, "p")])
    assert closure == {Ref(SCOPE, "p"), Ref(ROUTES, "r-p"), Ref(CLUSTER, "a"), Ref(ENDPOINTS, "a")}


def test_a_diff_says_what_is_added_changed_and_removed_in_order_of_sending() -> None:
    old = snapshot_of({"p": ("a",), "q": ("a",)})
    new = snapshot_of({"q": ("a",), "r": ("a",)}, cluster_a="new")
    found = [(c.type, c.name, c.action) for c in diff(old, new)]
    assert found == [
        (CLUSTER, "a", "change"),
        (SCOPE, "p", "remove"),
        (SCOPE, "r", "add"),
        (ROUTES, "r-p", "remove"),
        (ROUTES, "r-r", "add"),
    ]


def test_equal_snapshots_do_not_differ_and_have_one_version() -> None:
    one, other = snapshot_of({"p": ("a",)}), snapshot_of({"p": ("a",)})
    assert diff(one, other) == ()
    assert one.versions == other.versions
    assert one.versions != snapshot_of({"p": ("b",)}).versions


def test_a_change_has_what_was_and_what_is() -> None:
    (change,) = diff(Snapshot(), Snapshot.from_resources([make_resource(LISTENER, "l", b"x")]))
    assert change == ResourceChange(LISTENER, "l", None, make_resource(LISTENER, "l", b"x"))


def test_a_long_list_of_names_is_cut_in_the_message() -> None:
    error = DanglingReference("route", "cluster", [f"c{i:02}" for i in range(20)], [])
    assert "c07 and 12 more" in str(error)
    assert len(error.missing) == 20
