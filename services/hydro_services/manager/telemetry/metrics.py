"""What the manager tells Prometheus: pipelines, endpoints, models, and what Envoys have."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_envoy.snapshot import Resource
from hydro_envoy.xds.node_status import NodeVersions
from hydro_services.manager.domain import pipeline_views, readiness
from hydro_services.manager.domain.state import State
from hydro_services.manager.engine.reconciler import Reconciler
from hydro_services.metrics import Family, Reading

VERSION_BITS = 48
"""Of a version as a number, which Prometheus keeps exactly."""
_STATES = {
    pb.PIPELINE_STATE_PENDING: "pending",
    pb.PIPELINE_STATE_READY: "ready",
    pb.PIPELINE_STATE_FAILED: "failed",
}


def metrics_reader(reconciler: Reconciler) -> Callable[[], Reading]:
    """Takes the state, which never changes, and what the hub knows."""

    def take() -> Reading:
        state, now = reconciler.state, reconciler.clock()
        hub, nodes = reconciler.hub, reconciler.hub.versions()
        nacks = dict(hub.nacks)
        return lambda: (*_state_families(state, now), *_xds_families(nodes, nacks))

    return take


def _state_families(state: State, now: float) -> Iterator[Family]:
    pipelines_by_state = Counter(
        each.state for each in pipeline_views.describe_pipelines(state, state.names)
    )
    yield Family(
        "hydro_pipelines",
        "gauge",
        "Pipelines by state",
        ("state",),
        [((name,), float(pipelines_by_state[number])) for number, name in _STATES.items()],
    )
    yield Family(
        "hydro_endpoints",
        "gauge",
        "Processes with a lease, by whether they take traffic",
        ("service", "ready"),
        _endpoint_values(state),
    )
    yield Family(
        "hydro_lease_seconds",
        "gauge",
        "Until the lease of a process ends, if it is not renewed",
        ("service", "instance"),
        [(id, max(0.0, expires - now)) for id, expires in state.leases.items()],
    )
    yield Family(
        "hydro_service_models",
        "gauge",
        "Models in the processes of a service, by state",
        ("service", "state"),
        _model_values(state),
    )


def _endpoint_values(state: State) -> Iterator[tuple[tuple[str, str], float]]:
    ready = {
        service: len(tuple(each)) for service, each in readiness.ready_endpoints(state).items()
    }
    every = Counter(id.service for id in state.endpoints)
    for service in sorted({*state.services, *every}):
        yield (service, "true"), float(ready.get(service, 0))
        yield (service, "false"), float(every[service] - ready.get(service, 0))


def _model_values(state: State) -> Iterator[tuple[tuple[str, str], float]]:
    counts = Counter[tuple[str, str]]()
    for id, keys in state.loaded.items():
        counts[id.service, "loaded"] += len(keys)
    counts.update((placement.endpoint.service, "changing") for placement in state.calls)
    counts.update((placement.endpoint.service, "failed") for placement in state.failures)
    for service in sorted(state.services):
        for name in ("loaded", "changing", "failed"):
            yield (service, name), float(counts[service, name])


def _xds_families(
    nodes: Sequence[NodeVersions], nacks: Mapping[tuple[str, str], int]
) -> Iterator[Family]:
    tables = [
        (each.node.id, type_, each.wanted[type_], held)
        for each in nodes
        for type_, held in each.held.items()
    ]
    refusing = nacks.keys() | {(node, type_.label) for node, type_, _, _ in tables}
    yield Family(
        "hydro_xds_connected",
        "gauge",
        "Envoys that are connected",
        ("node", "role"),
        [((each.node.id, each.node.role), 1.0) for each in nodes],
    )
    yield Family(
        "hydro_xds_wanted_version",
        "gauge",
        "Version, as a number, of what an Envoy should have of a type",
        ("node", "type"),
        [((node, type_.label), version_number(wanted)) for node, type_, wanted, _ in tables],
    )
    yield Family(
        "hydro_xds_version",
        "gauge",
        "The same of what an Envoy has acknowledged; equal when it has all",
        ("node", "type"),
        [((node, type_.label), version_number(held)) for node, type_, _, held in tables],
    )
    yield Family(
        "hydro_xds_lacking_resources",
        "gauge",
        "Resources of which an Envoy has not the present version, or has too many",
        ("node", "type"),
        [
            ((node, type_.label), _count_lacking(held, wanted))
            for node, type_, wanted, held in tables
        ],
    )
    yield Family(
        "hydro_xds_nacks",
        "counter",
        "Refusals by Envoys",
        ("node", "type"),
        [(key, float(nacks.get(key, 0))) for key in sorted(refusing)],
    )


def version_number(table: Mapping[str, Resource]) -> float:
    """Of resources by name, whatever their order."""
    checksums = (zlib.crc32(f"{name} {each.version}".encode()) for name, each in table.items())
    return float(sum(checksums) % 2**VERSION_BITS)


def _count_lacking(held: Mapping[str, Resource], wanted: Mapping[str, Resource]) -> float:
    differ = sum(1 for n, r in wanted.items() if n not in held or held[n].version != r.version)
    return float(differ + len(held.keys() - wanted.keys()))
