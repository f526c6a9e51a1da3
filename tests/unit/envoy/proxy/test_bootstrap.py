from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydro_envoy.address import Address
from hydro_envoy.proxy.bootstrap import Bootstrap, bootstrap_json
from hydro_envoy.proxy.manager_cluster import managers_json
from hydro_envoy.snapshot import MANAGER_CLUSTER

WANTED = Bootstrap("node-1", "sidecar", Address("10.0.0.1", 8082), Address("127.0.0.1", 9901))


def test_a_node_says_who_it_is() -> None:
    node = json.loads(bootstrap_json(WANTED))["node"]
    assert node == {"id": "node-1", "cluster": "hydro", "metadata": {"role": "sidecar"}}


def test_the_one_static_cluster_is_the_manager() -> None:
    (cluster,) = json.loads(bootstrap_json(WANTED))["static_resources"]["clusters"]
    assert cluster["name"] == MANAGER_CLUSTER
    assert '"port_value": 8082' in json.dumps(cluster)


def test_configuration_comes_by_incremental_ads() -> None:
    dynamic = json.loads(bootstrap_json(WANTED))["dynamic_resources"]
    assert dynamic["ads_config"]["api_type"] == "DELTA_GRPC"
    assert dynamic["cds_config"]["initial_fetch_timeout"] == "0s", "never ready with nothing"


def test_admin_is_for_this_machine_alone_unless_told() -> None:
    assert Bootstrap("n", "gateway", Address("h", 1)).admin == Address("127.0.0.1", 0)


def test_envoy_drains_for_who_has_the_key_alone() -> None:
    def paths(wanted: Bootstrap) -> str:
        return json.dumps(json.loads(bootstrap_json(wanted))["admin"]["allow_paths"])

    assert "drain" not in paths(WANTED)
    assert '{"exact": "/drain_listeners?k"}' in paths(replace(WANTED, drain_key="k"))
    assert "'k'" not in repr(replace(WANTED, drain_key="k"))


def test_metrics_are_one_path_of_the_admin_api() -> None:
    where = Address("10.0.0.2", 9902)
    wanted = Bootstrap("n", "gateway", Address("h", 1), Address("127.0.0.1", 9901), where)
    found = json.loads(bootstrap_json(wanted))
    assert found["node"]["metadata"]["metrics"] == "10.0.0.2:9902"
    (listener,) = found["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "10.0.0.2", "port_value": 9902}
    assert json.dumps(listener).count('"match"') == 1
    assert json.loads(bootstrap_json(WANTED))["static_resources"]["listeners"] == []


def manager_cluster(wanted: Bootstrap) -> dict[str, Any]:
    (cluster,) = json.loads(bootstrap_json(wanted))["static_resources"]["clusters"]
    assert isinstance(cluster, dict)
    return cluster


def test_of_several_managers_those_that_are_ill_are_left() -> None:
    cluster = manager_cluster(replace(WANTED, more=(Address("10.0.0.2", 8083),)))
    assert all(port in json.dumps(cluster["load_assignment"]) for port in ("8082", "8083"))
    assert cluster["health_checks"]
    assert "health_checks" not in manager_cluster(WANTED), "there is no other to go to"


def test_managers_may_be_read_from_a_file() -> None:
    cluster = manager_cluster(replace(WANTED, managers=Path("/run/managers.json")))
    assert "/run/managers.json" in json.dumps(cluster["eds_cluster_config"])
    assert "load_assignment" not in cluster
    (resource,) = json.loads(managers_json([Address("10.0.0.2", 2), Address("10.0.0.1", 1)]))[
        "resources"
    ]
    assert resource["cluster_name"] == cluster["name"]
    assert [
        each["endpoint"]["address"]["socket_address"]["address"]
        for each in resource["endpoints"][0]["lb_endpoints"]
    ] == ["10.0.0.1", "10.0.0.2"]
