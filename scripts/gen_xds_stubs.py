"""Writes type stubs of the installed xds-protos into typings/, which git ignores.

xds-protos ships generated modules without types. Their descriptors are all that protoc needs to
write stubs. With these mypy refuses a field that a message does not have. Nothing is done when the
stubs of this version are there.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

TYPINGS = Path(__file__).resolve().parents[1] / "typings"
PACKAGES = ("envoy/", "udpa/", "validate/", "xds/")
"""Not google/, which has stubs of its own."""


def main() -> None:
    xds_protos = importlib.metadata.distribution("xds-protos")
    stamp = TYPINGS / f".xds-protos-{xds_protos.version}"
    if stamp.exists():
        return
    names = [str(path) for path in xds_protos.files or ()]
    modules = [name for name in names if name.startswith(PACKAGES) and name.endswith("_pb2.py")]
    shutil.rmtree(TYPINGS, ignore_errors=True)
    TYPINGS.mkdir()
    write_stubs([descriptor(name) for name in modules])
    stamp.touch()


def descriptor(path: str) -> FileDescriptor:
    """What the generated module at this path describes."""
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    described: FileDescriptor = module.DESCRIPTOR
    return described


def write_stubs(files: list[FileDescriptor]) -> None:
    """Lets protoc write a stub for each file, and another for the calls of its services."""
    services = [file.name for file in files if file.services_by_name]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as image:
        image.write(closure(files).SerializeToString())
        image.flush()
        protoc(f"--pyi_out={TYPINGS}", image.name, [file.name for file in files])
        protoc(f"--mypy_grpc_out=quiet:{TYPINGS}", image.name, services)


def protoc(out: str, image: str, names: list[str]) -> None:
    """Runs protoc on an image; its plugin is found beside this Python."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={image}", out]
    subprocess.run([*command, *names], check=True, env={**os.environ, "PATH": search})


def closure(files: list[FileDescriptor]) -> descriptor_pb2.FileDescriptorSet:
    """These files and all that they import, each after what it imports."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in found:
            return
        for imported in file.dependencies:
            add(imported)
        found[file.name] = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(found[file.name])

    for file in files:
        add(file)
    return descriptor_pb2.FileDescriptorSet(file=found.values())


if __name__ == "__main__":
    main()
