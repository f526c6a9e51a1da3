"""Follows the repository: what it publishes becomes state."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import grpc.aio

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_services import errors, rpc
from hydro_services.manager.domain import call_plan, conversion, transitions
from hydro_services.manager.domain.sidecars import ProcessRoute
from hydro_services.manager.domain.state import Endpoint, State
from hydro_services.manager.engine.reconciler import Reconciler

logger = logging.getLogger(__name__)

RETRY_S = 0.3


async def follow_repository(reconciler: Reconciler, route: ProcessRoute) -> None:
    """Watches the repository that is registered, one after the other, until cancelled."""
    while True:
        present = await reconciler.until(lambda s: call_plan.find_repository(s) is not None, None)
        repository = call_plan.find_repository(present)
        assert repository
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(_watch_models(repository, reconciler, route))
            await reconciler.until(partial(_has_moved, repository), None)
            watch.cancel()


def _has_moved(repository: Endpoint, current: State) -> bool:
    return call_plan.find_repository(current) != repository


async def _watch_models(repository: Endpoint, reconciler: Reconciler, route: ProcessRoute) -> None:
    is_logged = False
    metadata = route.metadata(repository)
    async with rpc.open_channel(route.address(repository)) as channel:
        stub = pb_grpc.RepositoryServiceStub(channel)
        while True:
            try:
                async for response in stub.Watch(pb.WatchRequest(), metadata=metadata):
                    models = tuple(conversion.parse_model(model) for model in response.models)
                    others = dict(map(conversion.parse_unpublished, response.others))
                    event = partial(
                        transitions.replace_catalogue, catalogue=models, unpublished=others
                    )
                    await reconciler.apply(event)
                    is_logged = False
            except grpc.aio.AioRpcError as error:
                if not is_logged:
                    message = errors.from_rpc(error).message
                    extra = {"address": str(repository.address), "error": message}
                    logger.warning("repository does not answer, retrying", extra=extra)
                is_logged = True
            await asyncio.sleep(RETRY_S)
