import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from hydro.manager.v1 import manager_service_pb2 as _manager_service_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterEndpointRequest(_message.Message):
    __slots__ = ("endpoint",)
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    endpoint: _manager_service_pb2.Endpoint
    def __init__(self, endpoint: _Optional[_Union[_manager_service_pb2.Endpoint, _Mapping]] = ...) -> None: ...

class RegisterEndpointResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: _duration_pb2.Duration
    def __init__(self, lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DeregisterEndpointRequest(_message.Message):
    __slots__ = ("service", "instance", "incarnation")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance: str
    incarnation: str
    def __init__(self, service: _Optional[str] = ..., instance: _Optional[str] = ..., incarnation: _Optional[str] = ...) -> None: ...

class DeregisterEndpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
