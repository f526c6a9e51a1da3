"""Versions as messages: protobuf for gRPC, JSON for the metadata."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from google.protobuf import struct_pb2

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_runtimes import metadata
from hydro_services import errors
from hydro_services.codecs import signatures
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import Away


def to_message(
    version: ModelVersion, root: str = "", *, with_files: bool = True
) -> pb.ModelVersion:
    """A version as protobuf; `root`: the name of the root that has it."""
    message = pb.ModelVersion(
        model=version.model,
        version=version.version,
        format=version.format,
        digest=version.digest,
        reading=version.is_reading,
        root=root,
    )
    message.signature.inputs.extend(map(signatures.field_message, version.signature.inputs))
    message.signature.outputs.extend(map(signatures.field_message, version.signature.outputs))
    message.stages.extend(
        pb.ModelStage(name=part.name, uid=part.uid, depth=part.depth) for part in version.parts
    )
    if version.fitted:
        message.fitted.versions.update(version.fitted.versions)
        message.fitted.proven_rows = version.fitted.proven_rows
    if with_files:
        message.files.extend(
            pb.File(path=file.path, size_bytes=file.stamp.size_bytes, sha256=file.sha256)
            for file in version.files
        )
    if version.refused and version.error:
        message.error.CopyFrom(errors.to_status(version.error))
    return message


def root_message(name: str, away: Away | None) -> pb.Root:
    """A root, and since when it cannot be listed."""
    message = pb.Root(name=name)
    if away:
        message.error = away.error
        message.away_since.FromNanoseconds(away.since_ns)
    return message


def to_struct(version: ModelVersion) -> struct_pb2.Struct:
    """The metadata of a version as a JSON object."""
    fields: dict[str, Any] = {
        **metadata.make_document(version.model, version.signature),
        "version": version.version,
        "format": version.format,
        "digest": version.digest,
        "stages": [asdict(part) for part in version.parts],
        "files": [
            {"path": file.path, "sizeBytes": file.stamp.size_bytes, "sha256": file.sha256}
            for file in version.files
        ],
    }
    if version.fitted:
        versions, rows = dict(version.fitted.versions), version.fitted.proven_rows
        fields["fitted"] = {"versions": versions, "provenRows": rows}
    struct = struct_pb2.Struct()
    struct.update(fields)
    return struct


def list_paths(version: ModelVersion) -> struct_pb2.ListValue:
    """The paths of a version's files as a JSON array."""
    values = struct_pb2.ListValue()
    values.extend([file.path for file in version.files])
    return values
