"""Messages of the mesh as JSON, and as the texts that tables show."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from hydro.runtime.v1 import signature_pb2
from hydro.serving.v1 import frame_pb2


def message_json(message: Message) -> dict[str, Any]:
    """As the HTTP API writes it."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def field_text(field: signature_pb2.Field) -> str:
    """For example `price: float64`, `features: float64[4]`, `tags: string[-1]?`."""
    type = frame_pb2.DataType.Name(field.type).removeprefix("DATA_TYPE_").lower()
    shape = f"[{','.join(map(str, field.shape))}]" if field.shape else ""
    return f"{field.name}: {type}{shape}{'?' if field.nullable else ''}"


def state_text(name: str) -> str:
    """The last word of an enum's value: "ready" for PIPELINE_STATE_READY."""
    return name.rpartition("_")[2].lower()


def size_text(size_bytes: int) -> str:
    """For example "1.2 MB"."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
