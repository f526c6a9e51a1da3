from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from hydro.manager.v1 import manager_service_pb2
from hydro.serving.v1 import prediction_service_pb2
from hydro_envoy.resources.descriptors import descriptor_set


def test_every_file_comes_after_its_imports() -> None:
    found = FileDescriptorSet.FromString(descriptor_set([manager_service_pb2.DESCRIPTOR]))
    seen: set[str] = set()
    for file in found.file:
        assert set(file.dependency) <= seen
        seen.add(file.name)
    assert "hydro/manager/v1/manager_service.proto" in seen
    assert "google/api/http.proto" in seen


def test_equal_files_give_equal_bytes_whatever_their_order() -> None:
    files = [manager_service_pb2.DESCRIPTOR, prediction_service_pb2.DESCRIPTOR]
    assert descriptor_set(files) == descriptor_set(files[::-1] * 2)
