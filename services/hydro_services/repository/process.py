"""The repository's process: watchers and a gRPC server, registered with the manager."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_services import default_addresses, errors, metrics, registration, rpc
from hydro_services.consul.registry import Registry
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.folder import FolderSource
from hydro_services.repository.metrics import read_metrics
from hydro_services.repository.published_paths import PublishedPaths
from hydro_services.repository.roots import Root, make_labels, make_names
from hydro_services.repository.servicer import SERVICE, RepositoryServicer
from hydro_services.repository.source import ModelSource
from hydro_services.repository.stores.open_store import open_store
from hydro_services.repository.watcher import SourceWatcher
from hydro_services.security import credential

START_S = 5.0
"""How long models may be read before those that have been are offered."""


@dataclass(frozen=True, slots=True)
class Config:
    """Options of a repository."""

    models: tuple[Root, ...]
    """The folders and stores with `<framework>/<model>[/<version>]`."""
    instance: str
    """The name of this process; the same after a restart."""
    listen: Address = ANY_PORT
    """Of the gRPC server; port 0 binds a free one."""
    manager: Address = default_addresses.XDS
    """The manager's gRPC."""
    metrics: Address = ANY_PORT
    """For Prometheus; port 0 takes a free one."""
    token_file: Path | None = None
    """The file with the token that is shown to the manager on one machine; None: none is."""
    sidecar: Address | None = None
    """Where its sidecar takes calls from other machines; None: it has no sidecar."""
    registry: Registry | None = None
    """Consul; None: the manager has the registry."""
    data: Path | None = None
    """The folder for what is stored over restarts, made if need be; None: nothing is, and all roots
    are folders."""
    store_bytes: int = 20 << 30
    """What the copies of each store may take."""


async def run(config: Config) -> None:
    """Serves until cancelled; calls under way may then finish.

    Raises:
        errors.FailedPrecondition: a folder of models cannot be read.
        errors.InvalidArgument: the library of a store is not installed.
        errors.Unavailable: the address cannot be bound.
    """
    token_file = None if config.sidecar else config.token_file
    labels = make_labels(config.models)
    published = PublishedPaths(config.data / "published.json" if config.data else None, labels)
    feed = CatalogueFeed(labels, published, make_names(config.models))
    sources = [_open_source(root, config) for root in config.models]
    watchers = [SourceWatcher(source, feed, root) for root, source in enumerate(sources)]
    await asyncio.gather(*(watcher.start(START_S) for watcher in watchers))
    async with (
        metrics.serve_metrics(config.metrics, functools.partial(read_metrics, feed)) as scraped,
        rpc.serve(
            config.listen,
            lambda server: pb_grpc.add_RepositoryServiceServicer_to_server(
                RepositoryServicer(feed, *sources), server
            ),
            (SERVICE,),
            check=credential.make_check(token_file, SERVICE, credential.check_traffic),
        ) as served,
    ):
        endpoint = registration.describe_process(
            "repository", config.instance, served.address, sidecar=config.sidecar, metrics=scraped
        )
        await served.answer_for(endpoint.incarnation)
        registry = config.registry or config.manager
        try:
            async with (
                registration.keep_registered(registry, endpoint, token_file),
                asyncio.TaskGroup() as group,
            ):
                for watcher in watchers:
                    group.create_task(watcher.run())
        finally:
            feed.close()


def _open_source(root: Root, config: Config) -> ModelSource:
    if not root.scheme:
        return FolderSource(root.folder)
    if fault := root.find_fault(lambda module: find_spec(module) is not None):
        raise errors.InvalidArgument(fault)
    assert config.data, "copies of stores need a folder"
    return open_store(root, config.data / "stores", config.store_bytes)
