"""The descriptors that Envoy transcodes by."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2


def descriptor_set(files: Iterable[FileDescriptor]) -> bytes:
    """A serialised FileDescriptorSet of the files and all they import, each after its imports.

    With the details of google.rpc.Status, which no file imports but any error may carry: without
    their descriptors Envoy answers an error with an empty body.

    Equal files give equal bytes, whatever their order.
    """
    found: dict[str, FileDescriptor] = {}
    for each in (error_details_pb2.DESCRIPTOR, *sorted(files, key=lambda f: f.name)):
        _collect_files(each, found)
    result = FileDescriptorSet()
    for each in found.values():
        each.CopyToProto(result.file.add())
    return result.SerializeToString(deterministic=True)


def _collect_files(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    for imported in sorted(file.dependencies, key=lambda f: f.name):
        _collect_files(imported, found)
    found.setdefault(file.name, file)
