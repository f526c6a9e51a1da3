from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_services import incarnation
from hydro_services.consul.registry import Registry
from hydro_services.consul.services import parse_instances, service_definition
from hydro_services.errors import InvalidArgument

ENDPOINT = pb.Endpoint(
    service="serving-scikit",
    instance="one",
    address="10.0.0.7:7001",
    traffic_address="10.0.0.7:7002",
    formats=["pickle", "skops"],
    incarnation="a",
)


@pytest.mark.parametrize(
    ("registry", "found"),
    [
        pytest.param("consul://a:1", [("a", 1)], id="one"),
        pytest.param("consul://a:1,10.0.0.7:2", [("a", 1), ("10.0.0.7", 2)], id="several"),
        pytest.param("consul://a", [("a", 8500)], id="the usual port"),
        pytest.param("consul://[::1]:1,[::1]", [("::1", 1), ("::1", 8500)], id="IPv6"),
        pytest.param("consul://a:1/", [("a", 1)], id="as a URL"),
    ],
)
def test_a_registry_names_agents(registry: str, found: list[tuple[str, int]]) -> None:
    assert Registry.parse(registry).agents == tuple(found)
    assert Registry.parse(str(Registry.parse(registry))) == Registry.parse(registry)


@pytest.mark.parametrize("registry", ["", "a:1", "consul://", "consul://a:x", "consul://a:1,,b:2"])
def test_a_malformed_registry_is_refused_with_what_is_wanted(registry: str) -> None:
    with pytest.raises(InvalidArgument, match=r"want 'consul://<host>:<port>'"):
        Registry.parse(registry)


def entry(endpoint: pb.Endpoint, *statuses: str) -> dict[str, Any]:
    """As a health query answers with what was registered."""
    told = service_definition(endpoint)
    service = {
        "ID": told["service_id"],
        "Service": told["name"],
        "Address": told["address"],
        "Port": told["port"],
        "Meta": told["meta"],
    }
    checks = [{"Status": status} for status in statuses]
    return {"Node": {"Address": "10.0.0.1"}, "Service": service, "Checks": checks}


@pytest.mark.parametrize("other", [{}, {"sidecar_address": "10.0.0.7:7003"}], ids=str)
def test_an_endpoint_comes_back_from_consul_as_it_was_registered(other: dict[str, Any]) -> None:
    endpoint = pb.Endpoint(**other)
    endpoint.MergeFrom(ENDPOINT)
    (found,) = parse_instances([entry(endpoint, "passing", "passing")]).values()
    assert (found.endpoint, found.passing) == (endpoint, True)


def test_a_check_asks_this_incarnation_where_the_rows_go_and_passes_at_once() -> None:
    check = service_definition(ENDPOINT)["check"]
    assert (check["grpc"], check["status"]) == ("10.0.0.7:7002/a", "passing")


def test_one_check_that_fails_is_enough() -> None:
    (found,) = parse_instances([entry(ENDPOINT, "passing", "critical")]).values()
    assert not found.passing


@pytest.mark.parametrize("order", [1, -1])
def test_of_an_endpoint_that_is_there_twice_the_one_that_passes_counts(order: int) -> None:
    moved = pb.Endpoint(instance="one", address="10.0.0.7:8", incarnation="b")
    moved.service = ENDPOINT.service
    entries = [entry(ENDPOINT, "critical"), entry(moved, "passing")][::order]
    assert [each.endpoint for each in parse_instances(entries).values()] == [moved]


LIFE = st.tuples(st.booleans(), st.one_of(st.just(0), st.integers(1, 99)), st.integers(1, 99))
"""Whether it passes, when it began in ms (0: its name does not tell), the index in Consul."""


@given(st.lists(LIFE, min_size=1, max_size=6, unique=True))
def test_of_the_lives_of_an_endpoint_that_pass_the_one_that_began_last_counts(
    lives: list[tuple[bool, int, int]],
) -> None:
    entries = []
    for passes, started_ms, index in lives:
        endpoint = pb.Endpoint()
        endpoint.MergeFrom(ENDPOINT)
        endpoint.incarnation = incarnation.new(started_ms * 1_000_000) if started_ms else "old"
        found = entry(endpoint, "passing" if passes else "critical")
        found["Service"]["ModifyIndex"] = index
        entries.append(found)
    (chosen,) = parse_instances(entries).values()
    started_ms = incarnation.started_ms(chosen.endpoint.incarnation)
    assert (chosen.passing, started_ms, chosen.index) == max(lives)
