"""What models declare, as messages and back."""

from __future__ import annotations

from hydro.runtime.v1 import signature_pb2
from hydro.serving.v1 import frame_pb2
from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature

_PREFIX = "DATA_TYPE_"


def field_message(field: Field) -> signature_pb2.Field:
    """A declared field as a message."""
    return signature_pb2.Field(
        name=field.name,
        type=f"{_PREFIX}{field.type.name}",
        shape=field.shape,
        nullable=field.nullable,
        optional=field.optional,
        replaces=field.replaces,
        nominal=field.nominal,
    )


def signature_message(signature: Signature) -> signature_pb2.Signature:
    """A signature as a message."""
    return signature_pb2.Signature(
        inputs=[field_message(field) for field in signature.inputs],
        outputs=[field_message(field) for field in signature.outputs],
    )


def parse_signature(message: signature_pb2.Signature) -> Signature:
    """The inverse of `signature_message`."""
    return Signature(
        tuple(_parse_field(field) for field in message.inputs),
        tuple(_parse_field(field) for field in message.outputs),
    )


def _parse_field(message: signature_pb2.Field) -> Field:
    return Field(
        name=message.name,
        type=DataType[frame_pb2.DataType.Name(message.type).removeprefix(_PREFIX)],
        shape=tuple(message.shape),
        nullable=message.nullable,
        optional=message.optional,
        replaces=message.replaces,
        nominal=tuple(message.nominal),
    )
