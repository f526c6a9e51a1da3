"""Between protobuf messages and what the manager knows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import pipeline_pb2 as pipeline_pb
from hydro.manager.v1 import policy_pb2 as policy_pb
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro_envoy.address import Address
from hydro_envoy.mesh import MAIN, SHADOW
from hydro_services import errors
from hydro_services.errors import HydroError, InvalidArgument, Unavailable
from hydro_services.manager.domain import policies, references
from hydro_services.manager.domain.references import Chain
from hydro_services.manager.domain.state import (
    REPOSITORY,
    Endpoint,
    Model,
    ResolvedStage,
    Spec,
    Stages,
    StoredPipeline,
)

_Holder: TypeAlias = pipeline_pb.Pipeline | pipeline_pb.Variant | pipeline_pb.Shadow

TRANSPORTS = ("http", "grpc")
MAX_FORMATS = 32
RESERVED = ("gateway", "manager", "pipes")
"""Names of Envoy clusters and listeners that are not a service's."""


def parse_spec(message: pipeline_pb.Pipeline) -> Spec:
    """What the user wants, checked as far as that goes without knowing services and models.

    Raises:
        InvalidArgument: the name, the transport type, a chain, the policy or the traffic is
            malformed.
    """
    references.check_name(message.name, "name")
    transport = message.transport_type or TRANSPORTS[0]
    if transport not in TRANSPORTS:
        raise InvalidArgument(f"transportType is {transport[:80]!r}, want 'http' or 'grpc'")
    spec = _build_spec(message, transport)
    policies.check_policies(spec)
    return spec


def _build_spec(message: pipeline_pb.Pipeline, transport: str) -> Spec:
    policy, traffic = policy_pb.Policy(), pipeline_pb.Traffic()
    policy.CopyFrom(message.policy)
    traffic.CopyFrom(message.traffic)
    for variant in traffic.variants:
        variant.ClearField("stages")
    if traffic.HasField("shadow"):
        traffic.shadow.ClearField("stages")
    return Spec(message.name, transport, _parse_chains(message), policy, traffic)


def _parse_chains(message: pipeline_pb.Pipeline) -> dict[str, Chain]:
    """By variant, parsed."""
    chains: dict[str, Chain] = {}
    for variant, holder in _chain_holders(message):
        with references.errors_of_variant(variant):
            chains[variant] = references.parse_chain(holder.chain)
    return chains


def parse_endpoint(message: manager_pb.Endpoint) -> Endpoint:
    """What registers.

    Raises:
        InvalidArgument: a field is missing or malformed.
    """
    for name in ("service", "instance", "incarnation"):
        if not references.VERSION.fullmatch(getattr(message, name)):
            got = getattr(message, name)[:80]
            raise InvalidArgument(f"{name} is {got!r}, want at most 63 letters, digits, '-_.'")
    if message.service in RESERVED:
        raise InvalidArgument(f"service is {message.service!r}, want another: the mesh uses it")
    if message.service != REPOSITORY and not 1 <= len(message.formats) <= MAX_FORMATS:
        count = len(message.formats)
        raise InvalidArgument(f"there are {count} formats, want 1 to {MAX_FORMATS} for a runtime")
    for format in message.formats:
        if not references.VERSION.fullmatch(format):
            raise InvalidArgument(f"a format is {format[:80]!r}, want at most 63 letters, digits")
    endpoint = Endpoint(
        message.service,
        message.instance,
        _parse_address(message.address),
        _parse_address(message.traffic_address or message.address),
        tuple(sorted(message.formats)),
        message.incarnation,
        _parse_address(message.sidecar_address) if message.sidecar_address else None,
        _parse_address(message.metrics_address) if message.metrics_address else None,
    )
    for at in (endpoint.address, endpoint.traffic) if endpoint.sidecar else ():
        if not at.is_loopback:
            raise InvalidArgument(f"address is {at}, want one on loopback: it has a sidecar")
    return endpoint


def _parse_address(address: str) -> Address:
    try:
        parsed = Address.parse(address)
    except ValueError:
        parsed = Address("", 0)
    if not parsed.ip or parsed.ip.is_unspecified or not parsed.port:
        raise InvalidArgument(
            f"address is {address[:80]!r}, want the '<IP address>:<port>' at which others reach it"
        )
    return parsed


def parse_model(message: repository_pb.ModelVersion) -> Model:
    """What the repository publishes."""
    return Model(message.model, message.version, message.format, message.digest, message.signature)


def parse_unpublished(message: repository_pb.ModelVersion) -> tuple[tuple[str, str], HydroError]:
    """A version that the repository does not publish, by model and version, and why."""
    key = (message.model, message.version)
    if message.HasField("error") and not message.reading:
        return key, errors.from_status(message.error)
    text = f"model {message.model!r} version {message.version!r} is being read by the repository"
    facts = {"model": message.model, "version": message.version, "awaits": "read"}
    return key, Unavailable(text, **facts)


def endpoint_message(endpoint: Endpoint, *, ready: bool = False) -> manager_pb.Endpoint:
    """An endpoint as users see it and as it is stored."""
    return manager_pb.Endpoint(
        service=endpoint.service,
        instance=endpoint.instance,
        address=str(endpoint.address),
        traffic_address=str(endpoint.traffic) if endpoint.traffic != endpoint.address else "",
        formats=endpoint.formats,
        incarnation=endpoint.incarnation,
        metrics_address=str(endpoint.metrics or ""),
        ready=ready,
        sidecar_address=str(endpoint.sidecar or ""),
    )


def pipeline_record(pipeline: StoredPipeline) -> pipeline_pb.Pipeline:
    """A pipeline as it is stored."""
    return pipeline_message(pipeline.spec, pipeline.stages)


def has_unknown_fields(message: Message) -> bool:
    """Whether a newer version has put something into it that this one does not know."""
    if len(UnknownFieldSet(message)):
        return True
    return any(
        has_unknown_fields(inner)
        for field, value in message.ListFields()
        if field.type == field.TYPE_MESSAGE
        for inner in _submessages(value)
    )


def _submessages(value: Any) -> Iterator[Message]:
    """Those of a field: its own, or those of a list; of a map the values."""
    if isinstance(value, Message):
        yield value
    else:
        values = value.values() if isinstance(value, Mapping) else value
        yield from (each for each in values if isinstance(each, Message))


def parse_stored_spec(record: pipeline_pb.Pipeline) -> Spec:
    """What the user wants of a pipeline that is stored.

    Raises:
        InvalidArgument: a chain is malformed.
    """
    return _build_spec(record, record.transport_type)


def parse_pipeline_record(record: pipeline_pb.Pipeline) -> StoredPipeline:
    """The inverse of `pipeline_record`. Raises as `parse_stored_spec`."""
    spec = _build_spec(record, record.transport_type)
    names = map(str, spec.references)
    stages = (stage for _, each in _chain_holders(record) for stage in each.stages)
    return StoredPipeline(
        spec, tuple(_parse_stage(n, s) for n, s in zip(names, stages, strict=True))
    )


def _parse_stage(name: str, stage: pipeline_pb.PipelineStage) -> ResolvedStage:
    # The format decides which service may load a model; a stage has its service already.
    model = Model(stage.model, stage.version, "", stage.digest, stage.signature)
    return ResolvedStage(name, stage.service, model)


def pipeline_message(spec: Spec, stages: Stages) -> pipeline_pb.Pipeline:
    message = pipeline_pb.Pipeline(
        name=spec.name,
        transport_type=spec.transport_type,
        chain=map(str, spec.chains[MAIN]),
        etag=spec.etag,
    )
    if spec.policy.ByteSize():
        message.policy.CopyFrom(spec.policy)
    if spec.traffic.ByteSize():
        message.traffic.CopyFrom(spec.traffic)
    chains = spec.split(stages)
    for name, holder in _chain_holders(message):
        holder.stages.extend(_stage_message(stage) for stage in chains[name])
    return message


def _chain_holders(message: pipeline_pb.Pipeline) -> Iterator[tuple[str, _Holder]]:
    """What has the stages of each chain, by variant, in the order of `Spec.chains`."""
    yield MAIN, message
    for variant in message.traffic.variants:
        yield variant.name, variant
    if message.traffic.HasField("shadow"):
        yield SHADOW, message.traffic.shadow


def _stage_message(stage: ResolvedStage) -> pipeline_pb.PipelineStage:
    return pipeline_pb.PipelineStage(
        service=stage.service,
        model=stage.model.name,
        version=stage.model.version,
        digest=stage.model.digest,
        signature=stage.model.signature,
    )
