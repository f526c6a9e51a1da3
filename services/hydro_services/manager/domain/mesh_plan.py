"""The mesh that follows from the state, for Envoy. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hydro_envoy import mesh as envoy
from hydro_envoy.policy import Access
from hydro_services.manager.domain import policies, sidecars
from hydro_services.manager.domain.readiness import (
    ReadyEndpoints,
    describe_blocker,
    is_passing,
    published_specs,
    published_stages,
    ready_endpoints,
)
from hydro_services.manager.domain.state import (
    REPOSITORY,
    Endpoint,
    Spec,
    Stages,
    State,
)


def build_mesh(state: State, base: envoy.Mesh) -> envoy.Mesh:
    """What Envoy is to do: the base with its gateway and API listeners, our backends and pipelines.

    A service stays a backend without endpoints, because live streams end with its cluster.
    """
    published, wanted = published_stages(state), published_specs(state)
    endpoints = ready_endpoints(state)
    # All is sorted: equal states make equal meshes, and an equal mesh is not published again.
    names = {REPOSITORY, *state.services} | {s.service for p in published.values() for s in p}
    return replace(
        base,
        backends=tuple(_build_backend(name, endpoints.get(name, ())) for name in sorted(names)),
        pipelines=tuple(
            _build_pipeline(wanted[name], published[name], state.access)
            for name in sorted(published)
        ),
        api_keys=state.api_keys or (),
        sidecars=base.sidecars + _build_sidecars(state),
        pending=_pending_pipelines(state, endpoints),
    )


def _pending_pipelines(state: State, ready: ReadyEndpoints) -> tuple[envoy.Pending, ...]:
    """The pipelines of which nothing serves yet."""
    waiting = (t for _, t in sorted(state.pending.items()) if t.asked and not t.published)
    return tuple(
        envoy.Pending(t.spec.name, has_failed=not is_passing(describe_blocker(t, state, ready)))
        for t in waiting
        if t.spec.name not in state.pipelines
    )


def _build_backend(name: str, endpoints: Iterable[Endpoint]) -> envoy.Backend:
    addresses = sorted(e.sidecar or e.traffic for e in endpoints)
    return envoy.Backend(name, tuple(addresses))


def _build_sidecars(state: State) -> tuple[envoy.Sidecar, ...]:
    """Of all processes that have one, whether ready or not: the manager reaches them by it."""
    endpoints = (each for _, each in sorted(state.endpoints.items()))
    return tuple(sidecars.endpoint_sidecar(e, e.sidecar) for e in endpoints if e.sidecar)


def _build_pipeline(spec: Spec, stages: Stages, access: Access | None) -> envoy.Pipeline:
    by_stage = policies.stage_policies(spec.policy)
    chains = {
        variant: tuple(
            envoy.Stage(
                s.service,
                s.model.key,
                s.name,
                policies.own_stage_policy(by_stage, spec, variant, s.name),
            )
            for s in found
        )
        for variant, found in spec.split(stages).items()
    }
    traffic = policies.mesh_traffic(spec.traffic, chains)
    policy = policies.mesh_policy(spec.policy, access)
    return envoy.Pipeline(spec.name, chains[envoy.MAIN], policy, traffic)
