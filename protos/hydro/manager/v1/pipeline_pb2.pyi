from google.rpc import status_pb2 as _status_pb2
from hydro.manager.v1 import policy_pb2 as _policy_pb2
from hydro.runtime.v1 import signature_pb2 as _signature_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PipelineState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIPELINE_STATE_UNSPECIFIED: _ClassVar[PipelineState]
    PIPELINE_STATE_PENDING: _ClassVar[PipelineState]
    PIPELINE_STATE_READY: _ClassVar[PipelineState]
    PIPELINE_STATE_FAILED: _ClassVar[PipelineState]
PIPELINE_STATE_UNSPECIFIED: PipelineState
PIPELINE_STATE_PENDING: PipelineState
PIPELINE_STATE_READY: PipelineState
PIPELINE_STATE_FAILED: PipelineState

class Pipeline(_message.Message):
    __slots__ = ("name", "transport_type", "chain", "etag", "state", "stages", "error", "policy", "traffic", "lagging", "pending")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    LAGGING_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    name: str
    transport_type: str
    chain: _containers.RepeatedScalarFieldContainer[str]
    etag: str
    state: PipelineState
    stages: _containers.RepeatedCompositeFieldContainer[PipelineStage]
    error: _status_pb2.Status
    policy: _policy_pb2.Policy
    traffic: Traffic
    lagging: _containers.RepeatedScalarFieldContainer[str]
    pending: Pipeline
    def __init__(self, name: _Optional[str] = ..., transport_type: _Optional[str] = ..., chain: _Optional[_Iterable[str]] = ..., etag: _Optional[str] = ..., state: _Optional[_Union[PipelineState, str]] = ..., stages: _Optional[_Iterable[_Union[PipelineStage, _Mapping]]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., policy: _Optional[_Union[_policy_pb2.Policy, _Mapping]] = ..., traffic: _Optional[_Union[Traffic, _Mapping]] = ..., lagging: _Optional[_Iterable[str]] = ..., pending: _Optional[_Union[Pipeline, _Mapping]] = ...) -> None: ...

class PipelineStage(_message.Message):
    __slots__ = ("service", "model", "version", "digest", "signature")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    service: str
    model: str
    version: str
    digest: str
    signature: _signature_pb2.Signature
    def __init__(self, service: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., signature: _Optional[_Union[_signature_pb2.Signature, _Mapping]] = ...) -> None: ...

class Traffic(_message.Message):
    __slots__ = ("variants", "shadow", "sticky_header")
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    STICKY_HEADER_FIELD_NUMBER: _ClassVar[int]
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    shadow: Shadow
    sticky_header: str
    def __init__(self, variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., shadow: _Optional[_Union[Shadow, _Mapping]] = ..., sticky_header: _Optional[str] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("name", "chain", "weight", "headers", "stages")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    chain: _containers.RepeatedScalarFieldContainer[str]
    weight: int
    headers: _containers.ScalarMap[str, str]
    stages: _containers.RepeatedCompositeFieldContainer[PipelineStage]
    def __init__(self, name: _Optional[str] = ..., chain: _Optional[_Iterable[str]] = ..., weight: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., stages: _Optional[_Iterable[_Union[PipelineStage, _Mapping]]] = ...) -> None: ...

class Shadow(_message.Message):
    __slots__ = ("chain", "percent", "stages")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    chain: _containers.RepeatedScalarFieldContainer[str]
    percent: int
    stages: _containers.RepeatedCompositeFieldContainer[PipelineStage]
    def __init__(self, chain: _Optional[_Iterable[str]] = ..., percent: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[PipelineStage, _Mapping]]] = ...) -> None: ...
