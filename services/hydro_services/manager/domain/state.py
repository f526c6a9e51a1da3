"""What the manager knows: frozen values. Knows no gRPC; `transitions` change it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import chain, islice
from typing import NamedTuple, TypeAlias, TypeVar

from google.protobuf.json_format import MessageToDict

from hydro.manager.v1 import pipeline_pb2, policy_pb2
from hydro.runtime.v1 import signature_pb2
from hydro_envoy.address import Address
from hydro_envoy.headers import model_key
from hydro_envoy.mesh import MAIN
from hydro_envoy.policy import Access, ApiKey
from hydro_services.errors import HydroError
from hydro_services.manager.domain.references import Chain, StageReference

K = TypeVar("K")
V = TypeVar("V")

REPOSITORY = "repository"
"""The name under which the repository registers; every other service is a runtime's."""


class EndpointId(NamedTuple):
    """Names an endpoint for as long as the mesh lives, over restarts of its process."""

    service: str
    instance: str


class ModelPlacement(NamedTuple):
    """A model in an endpoint."""

    endpoint: EndpointId
    key: str


@dataclass(frozen=True, slots=True)
class Model:
    """A published version of a model."""

    name: str
    version: str
    format: str
    digest: str
    """SHA-256, hexadecimal."""
    signature: signature_pb2.Signature
    """Never changed."""

    @property
    def key(self) -> str:
        """Under which runtimes hold it and stages ask for it."""
        return model_key(self.name, self.version, self.digest)


@dataclass(frozen=True, slots=True)
class ResolvedStage:
    """A stage of a chain with its model resolved."""

    name: str
    """As the user wrote it."""
    service: str
    model: Model


Stages: TypeAlias = tuple[ResolvedStage, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """A pipeline as the user wants it."""

    name: str
    transport_type: str
    chains: Mapping[str, Chain]
    """By variant, the pipeline's own first and the shadow's last."""
    policy: policy_pb2.Policy = field(default_factory=policy_pb2.Policy)
    """Never changed, nor is the next."""
    traffic: pipeline_pb2.Traffic = field(default_factory=pipeline_pb2.Traffic)
    """Without what is output only."""

    @property
    def etag(self) -> str:
        """A hash of the content, 16 hexadecimal digits."""
        more = [MessageToDict(each) for each in (self.policy, self.traffic)]
        stages = list(map(str, self.chains[MAIN]))
        content = [self.name, self.transport_type, stages, *(more if any(more) else ())]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def references(self) -> Iterator[StageReference]:
        """The stages of all chains, one after the other."""
        return chain.from_iterable(self.chains.values())

    def split(self, stages: Stages) -> Mapping[str, Stages]:
        """The stages of all chains, one after the other, by variant."""
        rest = iter(stages)
        return {name: tuple(islice(rest, len(each))) for name, each in self.chains.items()}


@dataclass(frozen=True, slots=True)
class StoredPipeline:
    """A pipeline that is kept."""

    spec: Spec
    stages: Stages
    """What serves: of all its chains, see `Spec.split`."""
    target: Stages | None = None
    """What is to serve once it is loaded: the repository has something newer."""
    error: HydroError | None = None
    """Why the chain cannot be resolved any more; `stages` serve on."""


@dataclass(frozen=True, slots=True)
class PendingPipeline:
    """A pipeline that is wanted and does not serve yet: to users it is pending, or has failed."""

    spec: Spec
    stages: Stages = ()
    """(): its models cannot be had now; `error` says why."""
    published: bool = False
    """Its models are loaded, Envoy may have it."""
    error: HydroError | None = None
    """Why it does not go on. `Unavailable`: that passes by itself; else something has to change."""
    asked: bool = True
    """A user asked for it; else it is a newer version of a model, which takes over by itself."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One process of a service."""

    service: str
    instance: str
    address: Address
    """Where it takes our calls."""
    traffic: Address
    """Where Envoy sends the rows; often the same."""
    formats: tuple[str, ...]
    incarnation: str
    sidecar: Address | None = None
    """Where its sidecar takes what is for it from other machines."""
    metrics: Address | None = None
    """Where it tells its metrics."""

    @property
    def id(self) -> EndpointId:
        return EndpointId(self.service, self.instance)


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """The last try to load a model into an endpoint, which failed."""

    error: HydroError
    final: bool
    """Trying again will hardly help."""
    times: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class State:
    """All that the manager knows. Times are seconds of the event loop's clock."""

    pipelines: Mapping[str, StoredPipeline] = field(default_factory=dict)
    pending: Mapping[str, PendingPipeline] = field(default_factory=dict)
    services: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The formats that each runtime service serves; services stay known without endpoints."""
    endpoints: Mapping[EndpointId, Endpoint] = field(default_factory=dict)
    leases: Mapping[EndpointId, float] = field(default_factory=dict)
    """When each endpoint's lease ends."""
    loaded: Mapping[EndpointId, frozenset[str]] = field(default_factory=dict)
    """The keys of the models in each endpoint."""
    calls: frozenset[ModelPlacement] = frozenset()
    """Being loaded or unloaded."""
    failures: Mapping[ModelPlacement, LoadFailure] = field(default_factory=dict)
    idle: Mapping[ModelPlacement, float] = field(default_factory=dict)
    """Loaded models that nothing demands, and since when Envoy sends them no rows."""
    catalogue: tuple[Model, ...] | None = None
    """Published models, the versions of a model together and the latest last; None: not known."""
    unpublished: Mapping[tuple[str, str], HydroError] = field(default_factory=dict)
    """Why other versions of models cannot be had: by model and version. Unavailable: not yet."""
    refusals: Mapping[str, HydroError] = field(default_factory=dict)
    """By pipeline: what Envoy said against it."""
    api_keys: tuple[ApiKey, ...] | None = None
    """None: the manager was started without any."""
    access: Access | None = None
    """Who may call pipelines that do not say it; None: anyone."""
    awaited: Mapping[str, str] = field(default_factory=dict)
    """By pending pipeline: what Envoys and other managers still have to do, as a text for users."""
    lagging: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By pipeline: the sorted ids of the Envoys that are late with it; changes do not wait."""
    lagging_elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same of the Envoys of other managers."""
    agreed: bool = True
    """All managers demand the same models: what this one does not need, none needs."""
    is_warm: bool = True
    """All demanded models have been asked for: a snapshot takes nothing away that Envoys have."""
    applied: bool = False
    """Every Envoy that keeps up, one at least, has all that is published."""

    @property
    def names(self) -> list[str]:
        """Of the pipelines that users see: those that are kept, and those that are pending."""
        return sorted(self.pipelines.keys() | {n for n, t in self.pending.items() if t.asked})


def newest_spec(pipeline: StoredPipeline | None, pending: PendingPipeline | None) -> Spec | None:
    """What users asked for last: the pending spec, else the one that is kept."""
    if pending and pending.asked:
        return pending.spec
    return pipeline.spec if pipeline else None


Transition: TypeAlias = Callable[[State], State]
"""What happens. May refuse with an error of `hydro_services.errors`."""

_FIELDS = tuple(f.name for f in fields(State) if f.name != "leases")


def is_renewal(before: State, after: State) -> bool:
    """Whether nothing changed but how long leases hold."""
    return all(getattr(before, name) is getattr(after, name) for name in _FIELDS)


def drop_keys(mapping: Mapping[K, V], keys: Iterable[K]) -> Mapping[K, V]:
    """Without these keys; the same object where it has none of them."""
    gone = set(keys)
    return {k: v for k, v in mapping.items() if k not in gone} if gone & mapping.keys() else mapping
