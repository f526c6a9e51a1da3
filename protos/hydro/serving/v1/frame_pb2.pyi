from google.rpc import error_details_pb2 as _error_details_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_BOOL: _ClassVar[DataType]
    DATA_TYPE_INT32: _ClassVar[DataType]
    DATA_TYPE_INT64: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]
    DATA_TYPE_FLOAT64: _ClassVar[DataType]
    DATA_TYPE_STRING: _ClassVar[DataType]
    DATA_TYPE_JSON: _ClassVar[DataType]

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_RAW: _ClassVar[Encoding]
    ENCODING_TYPED: _ClassVar[Encoding]
    ENCODING_JSON_ARRAY: _ClassVar[Encoding]
    ENCODING_NDJSON: _ClassVar[Encoding]
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_BOOL: DataType
DATA_TYPE_INT32: DataType
DATA_TYPE_INT64: DataType
DATA_TYPE_FLOAT32: DataType
DATA_TYPE_FLOAT64: DataType
DATA_TYPE_STRING: DataType
DATA_TYPE_JSON: DataType
ENCODING_UNSPECIFIED: Encoding
ENCODING_RAW: Encoding
ENCODING_TYPED: Encoding
ENCODING_JSON_ARRAY: Encoding
ENCODING_NDJSON: Encoding

class Frame(_message.Message):
    __slots__ = ("pipeline", "id", "table", "errors", "encoding", "failure", "final")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    id: str
    table: Table
    errors: _containers.RepeatedCompositeFieldContainer[RowError]
    encoding: Encoding
    failure: _status_pb2.Status
    final: bool
    def __init__(self, pipeline: _Optional[str] = ..., id: _Optional[str] = ..., table: _Optional[_Union[Table, _Mapping]] = ..., errors: _Optional[_Iterable[_Union[RowError, _Mapping]]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., failure: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., final: _Optional[bool] = ...) -> None: ...

class RowError(_message.Message):
    __slots__ = ("row", "status", "rows")
    ROW_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    row: int
    status: _status_pb2.Status
    rows: int
    def __init__(self, row: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., rows: _Optional[int] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("rows", "columns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "type", "shape", "data", "values", "validity", "offsets", "indices", "element_validity", "elements", "present", "sizes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_VALIDITY_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    values: Values
    validity: bytes
    offsets: bytes
    indices: bytes
    element_validity: bytes
    elements: Column
    present: bytes
    sizes: bytes
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ..., values: _Optional[_Union[Values, _Mapping]] = ..., validity: _Optional[bytes] = ..., offsets: _Optional[bytes] = ..., indices: _Optional[bytes] = ..., element_validity: _Optional[bytes] = ..., elements: _Optional[_Union[Column, _Mapping]] = ..., present: _Optional[bytes] = ..., sizes: _Optional[bytes] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("strings", "doubles", "integers", "bools")
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    DOUBLES_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    BOOLS_FIELD_NUMBER: _ClassVar[int]
    strings: _containers.RepeatedScalarFieldContainer[str]
    doubles: _containers.RepeatedScalarFieldContainer[float]
    integers: _containers.RepeatedScalarFieldContainer[int]
    bools: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, strings: _Optional[_Iterable[str]] = ..., doubles: _Optional[_Iterable[float]] = ..., integers: _Optional[_Iterable[int]] = ..., bools: _Optional[_Iterable[bool]] = ...) -> None: ...
