"""Clients of the manager, the repository and the gateway, with deadlines and typed errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Sequence,
)
from functools import partial
from typing import TypeAlias, TypeVar

import grpc
import grpc.aio
from google.api import httpbody_pb2
from google.protobuf.message import Message

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import manager_service_pb2_grpc as manager_grpc
from hydro.manager.v1 import pipeline_pb2 as pipeline_pb
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository_grpc
from hydro.serving.v1 import frame_pb2 as frame_pb
from hydro.serving.v1 import prediction_service_pb2 as prediction_pb
from hydro.serving.v1 import prediction_service_pb2_grpc as prediction_grpc
from hydro_envoy.address import Address
from hydro_services import errors, reachability, resuming, rpc
from hydro_services.codecs.whole_lines import LineCutter, split_lines
from hydro_services.reachability import Tls

T = TypeVar("T")
Metadata: TypeAlias = tuple[tuple[str, str], ...]

CALL_S = 10.0
CHANGE_S = 60.0
"""How long a change of a pipeline may take: it is answered once its models are loaded."""
CONNECT_S = 5.0
NDJSON = "application/x-ndjson"


@contextlib.asynccontextmanager
async def connect_channel(
    part: str, address: Address, tls: Tls | grpc.ChannelCredentials | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel that is connected.

    Calls of the classes below raise classes of `errors`. What calls on the channel itself raise is
    converted to them when it leaves the context.

    Args:
        part: what is expected there, such as "manager"; for messages.
        address: where.
        tls: whom to trust there; None: clear text.

    Raises:
        errors.Unreachable: nothing answers there now.
        errors.CannotConnect: what answers is not trusted, or is not the part that is expected.
    """
    credentials = tls.credentials if isinstance(tls, Tls) else tls
    async with rpc.open_channel(address, tls=credentials) as channel:
        if not await _is_ready(channel):
            raise await reachability.explain_unreachable(part, address, tls)
        with convert_errors():
            yield channel


@contextlib.contextmanager
def convert_errors() -> Iterator[None]:
    """Converts what calls raise inside to classes of `errors`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc(error) from None


async def _is_ready(channel: grpc.aio.Channel) -> bool:
    """Whether it connects; a connection that is refused is not retried."""
    refused = grpc.ChannelConnectivity.TRANSIENT_FAILURE
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_S):
            state = channel.get_state(try_to_connect=True)
            while state not in (grpc.ChannelConnectivity.READY, refused):
                await channel.wait_for_state_change(state)
                state = channel.get_state()
            return state is grpc.ChannelConnectivity.READY
    return False


def bearer_metadata(key: str) -> Metadata:
    """The metadata with which a call shows the key; () for an empty one."""
    return (("authorization", f"Bearer {key}"),) if key else ()


class _Api:
    """Unary calls."""

    _metadata: Metadata

    async def _ask(
        self, method: Callable[..., Awaitable[T]], request: Message, limit_s: float = CALL_S
    ) -> T:
        with convert_errors():
            return await method(request, timeout=limit_s, metadata=self._metadata)


class Manager(_Api):
    """Pipelines and services; raises what the RPCs of ManagerService are documented with."""

    def __init__(self, channel: grpc.aio.Channel, admin_key: str = "") -> None:
        self._stub = manager_grpc.ManagerServiceStub(channel)
        self._metadata = bearer_metadata(admin_key)

    async def list_pipelines(self) -> Sequence[pipeline_pb.Pipeline]:
        """By name."""
        request = manager_pb.ListPipelinesRequest()
        return (await self._ask(self._stub.ListPipelines, request)).pipelines

    async def get_pipeline(self, name: str) -> pipeline_pb.Pipeline:
        request = manager_pb.GetPipelineRequest(name=name)
        return await self._ask(self._stub.GetPipeline, request)

    async def apply_pipeline(
        self, pipeline: pipeline_pb.Pipeline, timeout_s: float = CHANGE_S
    ) -> pipeline_pb.Pipeline:
        """Creates or replaces it; answers when it serves.

        What is not ready in time stays pending, and becomes ready by itself.
        """
        request = manager_pb.CreatePipelineRequest(pipeline=pipeline)
        return await self._ask(self._stub.CreatePipeline, request, timeout_s)

    async def watch_pipeline(self, name: str) -> AsyncIterator[pipeline_pb.Pipeline]:
        """The pipeline as it is, and again after each change, while there is one; never ends."""
        request = manager_pb.WatchPipelinesRequest(name=name)
        with convert_errors():
            async for response in self._stub.WatchPipelines(request, metadata=self._metadata):
                for pipeline in response.pipelines:
                    if pipeline.name == name:
                        yield pipeline

    async def plan_pipeline(
        self, pipeline: pipeline_pb.Pipeline
    ) -> Sequence[manager_pb.ResourceChange]:
        """What applying it would change in Envoy, by type and name."""
        request = manager_pb.PlanPipelineRequest(pipeline=pipeline)
        return (await self._ask(self._stub.PlanPipeline, request)).changes

    async def delete_pipeline(self, name: str) -> None:
        request = manager_pb.DeletePipelineRequest(name=name)
        await self._ask(self._stub.DeletePipeline, request, CHANGE_S)

    async def get_status(self) -> manager_pb.GetStatusResponse:
        """Which Envoys are connected, and where the metrics of each part are."""
        request = manager_pb.GetStatusRequest()
        return await self._ask(self._stub.GetStatus, request)

    async def list_services(self) -> Sequence[manager_pb.Service]:
        """By name."""
        request = manager_pb.ListServicesRequest()
        return (await self._ask(self._stub.ListServices, request)).services


class Repository(_Api):
    """Models; raises what the RPCs of RepositoryService are documented with."""

    def __init__(self, channel: grpc.aio.Channel, admin_key: str = "") -> None:
        self._stub = repository_grpc.RepositoryServiceStub(channel)
        self._metadata = bearer_metadata(admin_key)

    async def list_models(self) -> Sequence[repository_pb.ModelVersion]:
        """Every version, published or refused, by name and version."""
        request = repository_pb.ListModelsRequest()
        return (await self._ask(self._stub.ListModels, request)).models

    async def get_model(self, model: str, version: str = "") -> repository_pb.ModelVersion:
        """One version; the latest where none is given."""
        request = repository_pb.GetModelRequest(model=model, version=version)
        return (await self._ask(self._stub.GetModel, request)).model


class Gateway(_Api):
    """Predictions; raises what the RPCs of PredictionService are documented with."""

    def __init__(self, channel: grpc.aio.Channel, key: str = "") -> None:
        """`key`: an API key, or a token of whom the pipeline trusts."""
        self._channel = channel
        self._stub = prediction_grpc.PredictionServiceStub(channel)
        self._metadata = bearer_metadata(key)

    async def predict(self, frame: frame_pb.Frame) -> frame_pb.Frame:
        """Sends a frame through the pipeline that it names."""
        return await self._ask(self._stub.Predict, frame, CHANGE_S)

    async def predict_stream(
        self, frames: AsyncIterable[frame_pb.Frame]
    ) -> AsyncGenerator[frame_pb.Frame]:
        """Frames as they come, each answered in order; every frame names the pipeline.

        Goes on when an instance that it runs through dies: frames that were under way there are
        answered with a `failure`, UNAVAILABLE, each in its place; others go to another instance.

        Raises:
            errors.HydroError: nothing was answered at all, or the pipeline was deleted.
        """
        call = partial(self._stub.PredictStream, metadata=self._metadata)
        stream = resuming.ResumingStream(_FRAMES, call, self._channel.channel_ready)
        async with contextlib.aclosing(stream.answers(frames)) as answers:
            with convert_errors():
                async for frame in answers:
                    yield frame

    async def serve(
        self, pipeline: str, pieces: AsyncIterable[bytes], content_type: str
    ) -> AsyncIterator[bytes]:
        """Sends a body of JSON rows in pieces; yields a body of the same type in pieces."""

        async def requests() -> AsyncIterator[prediction_pb.ServeRequest]:
            name = pipeline
            async for piece in pieces:
                yield _serve_request(name, piece, content_type)
                name = ""

        with convert_errors():
            async for body in self._stub.Serve(requests(), metadata=self._metadata):
                yield body.data

    async def serve_lines(
        self, pipeline: str, pieces: AsyncIterable[bytes]
    ) -> AsyncGenerator[bytes]:
        """Sends rows as NDJSON, cut anywhere; yields whole lines, one for each row, in order.

        Goes on as `predict_stream` does: rows that were under way on an instance that dies are
        answered with `{"error": ...}`, UNAVAILABLE, each in its place.

        Raises:
            errors.HydroError: as `predict_stream`.
        """

        async def requests() -> AsyncIterator[prediction_pb.ServeRequest]:
            async for lines in _whole_lines(pieces):
                yield _serve_request(pipeline, lines, NDJSON)

        call = partial(self._stub.Serve, metadata=self._metadata)
        stream = resuming.ResumingStream(_LINES, call, self._channel.channel_ready)
        async with contextlib.aclosing(stream.answers(requests())) as answers:
            with convert_errors():
                async for body in answers:
                    yield body.data


def _serve_request(pipeline: str, piece: bytes, content_type: str) -> prediction_pb.ServeRequest:
    body = httpbody_pb2.HttpBody(content_type=content_type, data=piece)
    return prediction_pb.ServeRequest(pipeline=pipeline, body=body)


async def _whole_lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines that each piece completes, as one piece; the last line gets a line end."""
    cutter = LineCutter()
    async for piece in pieces:
        if lines := cutter.feed(piece):
            yield lines
    if last := cutter.end():
        yield last + b"\n"


def _count_rows(body: bytes) -> int:
    """Lines that are not blank, as the runtime counts them."""
    return len(split_lines(body))


def _lost_frame(frame: frame_pb.Frame, places: int, error: errors.HydroError) -> frame_pb.Frame:
    return frame_pb.Frame(id=frame.id, failure=errors.to_status(error))


def _lost_lines(
    request: prediction_pb.ServeRequest, places: int, error: errors.HydroError
) -> httpbody_pb2.HttpBody:
    from hydro_services.codecs import json_rows  # late: numpy is needed only when a stream breaks

    row = errors.row_json(errors.to_status(error))
    return httpbody_pb2.HttpBody(content_type=NDJSON, data=json_rows.write_lines([row] * places))


_FRAMES = resuming.StreamKind(lambda _: 1, lambda _: 1, _lost_frame, in_flight=256)
_LINES = resuming.StreamKind(
    lambda request: _count_rows(request.body.data),
    lambda body: _count_rows(body.data),
    _lost_lines,
    in_flight=20_000,
)
