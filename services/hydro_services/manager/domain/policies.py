"""Policies and traffic: what users may ask for, and what it is in the mesh's terms. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from google.protobuf.duration_pb2 import Duration

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro.manager.v1 import policy_pb2 as policy_pb
from hydro_envoy import headers, mesh
from hydro_envoy.policy import MAX_STREAMS, Access, LbPolicy, Policy, RateLimit, Retry, StagePolicy
from hydro_services.errors import InvalidArgument
from hydro_services.manager.domain import access, references
from hydro_services.manager.domain.state import Spec

MAX_VARIANTS = 16
MAX_HEADERS = 8
MAX_RETRIES = 100
MAX_S = 3600.0
MIN_FILL_S = 0.05
"""Envoy's least for the interval of a token bucket."""
HEADER = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,64}")
VALUE = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")
OURS = (headers.PREFIX, "x-envoy-", headers.SCOPE, "grpc-", headers.API_KEY, "authorization")
"""Headers that clients have no say in, that are not theirs to choose freely, or that are secret."""
_LB_POLICIES: dict[policy_pb.LbPolicy, LbPolicy] = {
    policy_pb.LB_POLICY_UNSPECIFIED: "least_request",
    policy_pb.LB_POLICY_LEAST_REQUEST: "least_request",
    policy_pb.LB_POLICY_ROUND_ROBIN: "round_robin",
    policy_pb.LB_POLICY_RANDOM: "random",
}


def check_policies(spec: Spec) -> None:
    """Checks all but the chains.

    Raises:
        InvalidArgument: a number is out of its range, a name is malformed, or a policy is for a
            stage that no chain has.
    """
    _check_policy(spec.policy)
    access.check_access(spec.policy)
    stages = set(map(str, spec.references))
    for name, wanted in spec.policy.stages.items():
        if name not in stages:
            there = ", ".join(sorted(stages))
            raise InvalidArgument(f"policy.stages has {name[:200]!r}, the stages are {there}")
        _check_stage(f"policy.stages[{name!r}]", wanted)
    _check_traffic(spec.traffic)


def _check_policy(policy: policy_pb.Policy) -> None:
    for name in ("rate_limit", "rate_limit_per_api_key"):
        if policy.HasField(name):
            limit, what = getattr(policy, name), f"policy.{_json_name(name)}"
            _check_range(f"{what}.requests", limit.requests, 1, 2**31)
            _check_seconds(f"{what}.per", limit, "per", MIN_FILL_S)
    _check_seconds("policy.timeout", policy, "timeout", 0.001)
    least = 1 if policy.retry.HasField("per_try_timeout") else 0
    _check_range("policy.retry.numRetries", policy.retry.num_retries, least, MAX_RETRIES)
    _check_seconds("policy.retry.perTryTimeout", policy.retry, "per_try_timeout", 0.001)
    _check_range("policy.maxMessageBytes", policy.max_message_bytes, 0, mesh.MAX_MESSAGE_BYTES)


def _check_stage(what: str, wanted: policy_pb.StagePolicy) -> None:
    if wanted.lb_policy not in _LB_POLICIES:
        raise InvalidArgument(f"{what}.lbPolicy is {wanted.lb_policy}, want an LbPolicy")
    if wanted.HasField("circuit_breaker"):
        got = wanted.circuit_breaker.max_requests
        _check_range(f"{what}.circuitBreaker.maxRequests", got, 1, MAX_STREAMS)
    outlier, what = wanted.outlier_detection, f"{what}.outlierDetection"
    failures = outlier.consecutive_gateway_failure
    _check_range(f"{what}.consecutiveGatewayFailure", failures, 0, 1000)
    _check_range(f"{what}.maxEjectionPercent", outlier.max_ejection_percent, 0, 100)
    for name in ("interval", "base_ejection_time"):
        _check_seconds(f"{what}.{_json_name(name)}", outlier, name, 0.01)


def _check_traffic(traffic: pb.Traffic) -> None:
    _check_range("the number of traffic.variants", len(traffic.variants), 0, MAX_VARIANTS)
    names = [variant.name for variant in traffic.variants]
    for variant in traffic.variants:
        references.check_name(variant.name, "the name of a variant")
        if variant.name in (mesh.MAIN, mesh.SHADOW) or names.count(variant.name) > 1:
            raise InvalidArgument(
                f"a variant is named {variant.name!r}, want distinct names, "
                f"and not {mesh.MAIN!r} or {mesh.SHADOW!r}"
            )
        _check_range(f"variant {variant.name!r}: weight", variant.weight, 0, 100)
        _check_headers(f"variant {variant.name!r}", variant.headers)
    total = sum(variant.weight for variant in traffic.variants)
    _check_range("the sum of the weights of traffic.variants", total, 0, 100)
    _check_range("traffic.shadow.percent", traffic.shadow.percent, 0, 100)
    if traffic.sticky_header:
        _check_header("traffic.stickyHeader", traffic.sticky_header)


def _check_headers(what: str, headers: Mapping[str, str]) -> None:
    _check_range(f"{what}: the number of headers", len(headers), 0, MAX_HEADERS)
    for name, value in headers.items():
        _check_header(f"{what}: a header", name)
        if not VALUE.fullmatch(value):
            raise InvalidArgument(
                f"{what}: header {name!r} is to be {value[:80]!r}, want 1 to 256 characters of "
                "ASCII without control characters, and no space at an end"
            )


def _check_header(what: str, name: str) -> None:
    if not HEADER.fullmatch(name) or name.lower().startswith(OURS):
        raise InvalidArgument(
            f"{what} is {name[:80]!r}, want the name of a header, at most 64 characters, "
            f"that does not start with {', '.join(map(repr, OURS))}"
        )


def _check_range(what: str, got: int, least: int, most: int) -> None:
    if not least <= got <= most:
        raise InvalidArgument(f"{what} is {got}, want {least} to {most}")


def _check_seconds(what: str, message: object, name: str, least: float) -> None:
    got = _duration_s(message, name)
    if got is not None and not least <= got <= MAX_S:
        raise InvalidArgument(f"{what} is {got:g} s, want {least:g} s to {MAX_S:g} s")


def _json_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _duration_s(message: object, name: str) -> float | None:
    """A Duration field in seconds; None: it is not set."""
    if not message.HasField(name):  # type: ignore[attr-defined]
        return None
    duration: Duration = getattr(message, name)
    return float(duration.seconds + duration.nanos / 1e9)


def mesh_policy(wanted: policy_pb.Policy, default: Access | None = None) -> Policy:
    """What is enforced before the chains run; `default` is who may call where nothing is said."""
    if not wanted.ByteSize():
        return Policy(access=default)
    return Policy(
        _mesh_rate_limit(wanted, "rate_limit"),
        _mesh_rate_limit(wanted, "rate_limit_per_api_key"),
        _duration_s(wanted, "timeout"),
        _mesh_retry(wanted),
        wanted.max_message_bytes or None,
        access.mesh_access(wanted, default),
    )


def _mesh_rate_limit(wanted: policy_pb.Policy, name: str) -> RateLimit | None:
    if not wanted.HasField(name):
        return None
    limit: policy_pb.RateLimit = getattr(wanted, name)
    return RateLimit(limit.requests, _duration_s(limit, "per") or 1.0)


def _mesh_retry(wanted: policy_pb.Policy) -> Retry:
    if not wanted.HasField("retry"):
        return Retry()
    return Retry(wanted.retry.num_retries, _duration_s(wanted.retry, "per_try_timeout"))


def stage_policies(wanted: policy_pb.Policy) -> dict[str, StagePolicy]:
    """By stage; stages that are not there have none."""
    return {name: _mesh_stage_policy(each) for name, each in wanted.stages.items()}


def own_stage_policy(
    by_stage: Mapping[str, StagePolicy], spec: Spec, variant: str, stage: str
) -> StagePolicy:
    """The policy of a stage; its circuit breaker counts what is this pipeline's, and no copies."""
    policy = by_stage.get(stage, StagePolicy())
    if policy.max_requests == MAX_STREAMS:
        return policy
    kind = mesh.SHADOW if variant == mesh.SHADOW else ""
    return replace(policy, breaker=f"{spec.name}@{kind}/{stage}")


def _mesh_stage_policy(wanted: policy_pb.StagePolicy) -> StagePolicy:
    usual, outlier = StagePolicy(), wanted.outlier_detection
    never = outlier.HasField("max_ejection_percent")
    return StagePolicy(
        _LB_POLICIES[wanted.lb_policy],
        wanted.circuit_breaker.max_requests or usual.max_requests,
        outlier.consecutive_gateway_failure or usual.consecutive_gateway_failure,
        _duration_s(outlier, "interval") or usual.interval_s,
        _duration_s(outlier, "base_ejection_time") or usual.base_ejection_time_s,
        outlier.max_ejection_percent if never else usual.max_ejection_percent,
    )


def mesh_traffic(wanted: pb.Traffic, chains: Mapping[str, tuple[mesh.Stage, ...]]) -> mesh.Traffic:
    """How requests are divided, given the chains by variant."""
    if not wanted.ByteSize():
        return mesh.Traffic()
    copied = wanted.shadow.percent if wanted.shadow.HasField("percent") else 100
    shadow = mesh.Shadow(chains[mesh.SHADOW], copied) if wanted.HasField("shadow") else None
    variants = tuple(_mesh_variants(wanted, chains))
    return mesh.Traffic(variants, shadow, wanted.sticky_header.lower())


def _mesh_variants(
    wanted: pb.Traffic, chains: Mapping[str, tuple[mesh.Stage, ...]]
) -> Iterator[mesh.Variant]:
    for each in wanted.variants:
        headers = tuple(sorted((name.lower(), value) for name, value in each.headers.items()))
        yield mesh.Variant(each.name, chains[each.name], each.weight, headers)
