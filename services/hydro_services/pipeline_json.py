"""A pipeline as people write it: JSON, in which an unknown field is an error.

Source: ProtoJSON, https://protobuf.dev/programming-guides/json.
"""

from __future__ import annotations

from google.protobuf.json_format import Parse, ParseError

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services.errors import InvalidArgument

WANT = 'want {"name": "...", "transportType": "http", "chain": ["SERVICE/MODEL", ...]}'


def parse_pipeline(text: str | bytes) -> pb.Pipeline:
    """The pipeline.

    Raises:
        InvalidArgument: it is not JSON, not a pipeline, or has a field that pipelines do not have.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        if not text.lstrip().startswith("{"):
            raise ValueError(f"got {text[:40]!r}, which is not a JSON object")
        return Parse(text, pb.Pipeline())
    except (ParseError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"{' '.join(str(error).split())}; {WANT}") from None
