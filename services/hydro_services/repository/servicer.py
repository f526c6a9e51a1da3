"""The repository's gRPC service; Envoy transcodes it to HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.api import httpbody_pb2
from google.protobuf import struct_pb2

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_services import errors
from hydro_services.repository import download, messages
from hydro_services.repository.catalogue import Catalogue, ModelVersion
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.source import ModelSource

SERVICE = pb.DESCRIPTOR.services_by_name["RepositoryService"].full_name


class RepositoryServicer(pb_grpc.RepositoryServiceServicer):
    """Answers from the newest catalogue; files come from the sources, one for each root."""

    def __init__(self, feed: CatalogueFeed, *sources: ModelSource) -> None:
        self._feed = feed
        self._sources = sources

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Any
    ) -> pb.ListModelsResponse:
        roots = map(messages.root_message, self._feed.names, self._feed.away)
        models = map(self._message, self._feed.catalogue.versions)
        return pb.ListModelsResponse(models=models, roots=roots)

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        version = self._feed.catalogue.find(request.model, request.version)
        return pb.GetModelResponse(model=self._message(version))

    def _message(self, version: ModelVersion) -> pb.ModelVersion:
        return messages.to_message(version, self._feed.names[version.root])

    async def GetMetadata(self, request: pb.GetMetadataRequest, context: Any) -> struct_pb2.Struct:
        return messages.to_struct(self._feed.catalogue.find(request.model, request.version))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Any) -> struct_pb2.ListValue:
        version = self._feed.catalogue.find(request.model, request.version)
        return messages.list_paths(version)

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Any
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        version = self._feed.catalogue.find(request.model, request.version)
        source = self._sources[version.root]
        body = httpbody_pb2.HttpBody(content_type=download.content_type(request.path))
        if not version.file(request.path).stamp.size_bytes:
            yield body
        async for chunk in download.read_file(source, version, request.path):
            body.data = chunk
            yield body
            body = httpbody_pb2.HttpBody()

    async def Download(
        self, request: pb.DownloadRequest, context: Any
    ) -> AsyncIterator[pb.DownloadResponse]:
        version = self._feed.catalogue.find(request.model, request.version)
        if request.digest not in ("", version.digest):
            message = (
                f"model {version.model!r} version {version.version!r} has the digest"
                f" {version.digest}, not {request.digest}; get the model again, then download again"
            )
            raise errors.Aborted(message, model=version.model, version=version.version)
        source = self._sources[version.root]
        pieces = download.read_file(source, version, request.path, request.offset_bytes)
        async for chunk in pieces:
            yield pb.DownloadResponse(chunk=chunk)

    async def Watch(
        self, request: pb.WatchRequest, context: Any
    ) -> AsyncIterator[pb.WatchResponse]:
        last: pb.WatchResponse | None = None
        async for catalogue in self._feed.changes():
            response = _watch_response(catalogue)
            if response != last:
                yield response
            last = response
        raise errors.Unavailable("the repository is stopping; watch again")


def _watch_response(catalogue: Catalogue) -> pb.WatchResponse:
    response = pb.WatchResponse()
    for version in catalogue.versions:
        versions = response.models if version.is_published else response.others
        versions.append(messages.to_message(version, with_files=False))
    return response
