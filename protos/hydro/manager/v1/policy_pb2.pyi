import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LbPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LB_POLICY_UNSPECIFIED: _ClassVar[LbPolicy]
    LB_POLICY_LEAST_REQUEST: _ClassVar[LbPolicy]
    LB_POLICY_ROUND_ROBIN: _ClassVar[LbPolicy]
    LB_POLICY_RANDOM: _ClassVar[LbPolicy]
LB_POLICY_UNSPECIFIED: LbPolicy
LB_POLICY_LEAST_REQUEST: LbPolicy
LB_POLICY_ROUND_ROBIN: LbPolicy
LB_POLICY_RANDOM: LbPolicy

class Policy(_message.Message):
    __slots__ = ("rate_limit", "rate_limit_per_api_key", "timeout", "retry", "max_message_bytes", "stages", "access")
    class StagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: StagePolicy
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[StagePolicy, _Mapping]] = ...) -> None: ...
    RATE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    RATE_LIMIT_PER_API_KEY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    rate_limit: RateLimit
    rate_limit_per_api_key: RateLimit
    timeout: _duration_pb2.Duration
    retry: Retry
    max_message_bytes: int
    stages: _containers.MessageMap[str, StagePolicy]
    access: Access
    def __init__(self, rate_limit: _Optional[_Union[RateLimit, _Mapping]] = ..., rate_limit_per_api_key: _Optional[_Union[RateLimit, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., max_message_bytes: _Optional[int] = ..., stages: _Optional[_Mapping[str, StagePolicy]] = ..., access: _Optional[_Union[Access, _Mapping]] = ...) -> None: ...

class Access(_message.Message):
    __slots__ = ("anyone", "api_keys", "jwt")
    ANYONE_FIELD_NUMBER: _ClassVar[int]
    API_KEYS_FIELD_NUMBER: _ClassVar[int]
    JWT_FIELD_NUMBER: _ClassVar[int]
    anyone: bool
    api_keys: ApiKeyAccess
    jwt: JwtAccess
    def __init__(self, anyone: _Optional[bool] = ..., api_keys: _Optional[_Union[ApiKeyAccess, _Mapping]] = ..., jwt: _Optional[_Union[JwtAccess, _Mapping]] = ...) -> None: ...

class ApiKeyAccess(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class JwtAccess(_message.Message):
    __slots__ = ("issuer", "audiences", "jwks", "claims")
    class ClaimsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    AUDIENCES_FIELD_NUMBER: _ClassVar[int]
    JWKS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    audiences: _containers.RepeatedScalarFieldContainer[str]
    jwks: _struct_pb2.Struct
    claims: _containers.ScalarMap[str, str]
    def __init__(self, issuer: _Optional[str] = ..., audiences: _Optional[_Iterable[str]] = ..., jwks: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., claims: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RateLimit(_message.Message):
    __slots__ = ("requests", "per")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    requests: int
    per: _duration_pb2.Duration
    def __init__(self, requests: _Optional[int] = ..., per: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("num_retries", "per_try_timeout")
    NUM_RETRIES_FIELD_NUMBER: _ClassVar[int]
    PER_TRY_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    num_retries: int
    per_try_timeout: _duration_pb2.Duration
    def __init__(self, num_retries: _Optional[int] = ..., per_try_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StagePolicy(_message.Message):
    __slots__ = ("circuit_breaker", "outlier_detection", "lb_policy")
    CIRCUIT_BREAKER_FIELD_NUMBER: _ClassVar[int]
    OUTLIER_DETECTION_FIELD_NUMBER: _ClassVar[int]
    LB_POLICY_FIELD_NUMBER: _ClassVar[int]
    circuit_breaker: CircuitBreaker
    outlier_detection: OutlierDetection
    lb_policy: LbPolicy
    def __init__(self, circuit_breaker: _Optional[_Union[CircuitBreaker, _Mapping]] = ..., outlier_detection: _Optional[_Union[OutlierDetection, _Mapping]] = ..., lb_policy: _Optional[_Union[LbPolicy, str]] = ...) -> None: ...

class CircuitBreaker(_message.Message):
    __slots__ = ("max_requests",)
    MAX_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    max_requests: int
    def __init__(self, max_requests: _Optional[int] = ...) -> None: ...

class OutlierDetection(_message.Message):
    __slots__ = ("consecutive_gateway_failure", "interval", "base_ejection_time", "max_ejection_percent")
    CONSECUTIVE_GATEWAY_FAILURE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    BASE_EJECTION_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_EJECTION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    consecutive_gateway_failure: int
    interval: _duration_pb2.Duration
    base_ejection_time: _duration_pb2.Duration
    max_ejection_percent: int
    def __init__(self, consecutive_gateway_failure: _Optional[int] = ..., interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., base_ejection_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_ejection_percent: _Optional[int] = ...) -> None: ...
