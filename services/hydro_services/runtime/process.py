"""A runtime process: serves its models until it is cancelled, then drains."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import grpc.aio

from hydro.runtime.v1 import runtime_service_pb2_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.mesh import MAX_MESSAGE_BYTES
from hydro_runtimes import model_formats
from hydro_runtimes.errors import UntrustedModel
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.load import load
from hydro_services import default_addresses, errors, http2, metrics, registration, rpc, tracing
from hydro_services.consul.registry import Registry
from hydro_services.runtime import data_port, evaluation_journal, rerun_outcomes
from hydro_services.runtime.control import RuntimeServicer
from hydro_services.runtime.crashes import Crashes
from hydro_services.runtime.fetch import CACHE_BYTES, Cache
from hydro_services.runtime.host import Host
from hydro_services.runtime.metrics import metrics_reader
from hydro_services.security import credential, private_files
from hydro_services.security.trusted_models import read_trusted

logger = logging.getLogger(__name__)

CONTROL = "hydro.runtime.v1.RuntimeService"
SWITCH_S = 0.0005
"""Seconds that a worker thread may keep the interpreter while the event loop waits for it."""
YOUNG = 50_000
"""Objects that are made before Python looks for cycles among them: rows have none, and a thousand
of them are thousands of objects."""
RUNNING, CRASHES, RERUNS = "running", "crashes", "reruns"
"""In the cache: what is evaluated, which models ended their processes, and with which rows."""
FOLLOW_S = 1.0
EVICT_EACH = 30
"""Times that."""


@dataclass(frozen=True, slots=True)
class Config:
    """The options of a runtime process."""

    service: str
    """For example "serving-scikit"; the first part of a stage."""
    manager: Address = default_addresses.XDS
    """The manager's gRPC."""
    registry: Registry | None = None
    """Consul; None: the manager keeps the registry."""
    listen: Address = ANY_PORT
    """For rows, from Envoy; port 0 takes a free one."""
    control: Address = ANY_PORT
    """For the manager's calls that load and unload models, and for reflection."""
    instance: str = ""
    """The same after a restart; empty: of service, host and process id."""
    cache: Path = Path(".hydro/cache")
    """Where models are kept."""
    cache_bytes: int = CACHE_BYTES
    """Of all that are kept there, but for those that are loaded."""
    token_file: Path | None = None
    """Has the token that manager and process show each other on one machine; None: none does."""
    sidecar: Address | None = None
    """Where its sidecar takes what is for it from other machines; then `manager` is
    where the sidecar takes its calls to others. None: it has none."""
    trusted: Path | None = None
    """The file with digests of models that may run their own code; none: none may."""
    formats: tuple[str, ...] = ()
    """Of models; empty: those of the service of that name."""
    max_message_bytes: int = MAX_MESSAGE_BYTES
    """Of a message or a body."""
    metrics: Address = ANY_PORT
    """For Prometheus; port 0 takes a free one."""
    zipkin: Address | None = None
    """The Zipkin server that takes spans."""
    otlp: Address | None = None
    """The OpenTelemetry collector that takes spans, by gRPC."""

    def absolute(self) -> Config:
        """With paths that stay right where a model changes the folder of the process."""
        return replace(
            self,
            cache=self.cache.absolute(),
            token_file=self.token_file and self.token_file.absolute(),
            trusted=self.trusted and self.trusted.absolute(),
        )


async def run(config: Config, ready: Callable[[Address], None] = lambda _: None) -> None:
    """Serves until cancelled; calls `ready` with the address once it listens.

    When cancelled, it first says so to whoever asks for its health, then is taken out of the
    manager's list, then takes no new calls and lets those under way finish.

    Raises:
        errors.HydroError: it cannot start.
    """
    # The default, 5 ms, is how long the loop would wait while a model computes in Python.
    sys.setswitchinterval(SWITCH_S)
    # All that is imported by now is never looked at again for cycles.
    gc.freeze()
    gc.set_threshold(YOUNG)
    # Not as this process was started itself: only what is forked has the modules of models.
    multiprocessing.set_start_method("fork", force=True)
    names = served_formats(config)
    config = config.absolute()
    private_files.make_private_folder(config.cache)
    token_file = None if config.sidecar else config.token_file
    egress = config.manager if config.sidecar else None
    cache = Cache(config.cache, egress, config.cache_bytes, token_file)
    crashes, health = _read_crashes(config.cache), data_port.Health()

    def register(target: grpc.aio.Server) -> None:
        runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server(RuntimeServicer(host), target)

    async with contextlib.AsyncExitStack() as stack:
        # Before any model is loaded: loading runs a model's code, too.
        journal = stack.enter_context(evaluation_journal.open_journal(config.cache / RUNNING))
        rerun_folder = config.cache / RERUNS
        rerun_outcomes.remove_old(rerun_folder)
        load_model = build_loader(config, names)
        host = Host(cache.fetch, load_model, crashes, journal, cache.release, rerun_folder)
        listen = rpc.resolve_address(config.listen)
        spans = tracing.export_spans(config.zipkin, config.otlp, config.service)
        exporter = await stack.enter_async_context(spans)
        answers = data_port.build_handlers(
            host, config.max_message_bytes, health, exporter, token_file
        )
        check = credential.make_check(token_file, CONTROL)
        serving = rpc.serve(config.control, register, (CONTROL,), check=check)
        served = await stack.enter_async_context(serving)
        scraping = metrics.serve_metrics(config.metrics, metrics_reader(host, exporter))
        scraped = await stack.enter_async_context(scraping)
        port = await stack.enter_async_context(http2.serve(*listen, answers))
        traffic = listen._replace(port=port)
        endpoint = registration.describe_process(
            config.service,
            config.instance or _instance_name(config.service),
            served.address,
            traffic=traffic,
            sidecar=config.sidecar,
            metrics=scraped,
            formats=names,
        )
        # Consul and the manager ask for this incarnation by name; before it is set, none is
        # answered for.
        health.incarnation = endpoint.incarnation
        await stack.enter_async_context(
            registration.keep_registered(config.registry or config.manager, endpoint, token_file)
        )
        # Entered last, so it ends first: Envoy looks elsewhere while the registration still stands.
        stack.callback(health.stop)
        ready(traffic)
        await _maintain(crashes, cache)


def _read_crashes(folder: Path) -> Crashes:
    """With what ended the processes that were here before."""
    crashes = Crashes(folder / CRASHES)
    crashes.trim()
    for death in evaluation_journal.read_deaths(folder / RUNNING):
        crashes.add(death.model, death.reason)
        if death.traceback:
            logger.error(
                "traceback of the process",
                extra={"model": death.model, "traceback": death.traceback},
            )
    crashes.refresh()
    return crashes


async def _maintain(crashes: Crashes, cache: Cache) -> NoReturn:
    """Learns of the crashes of other processes, and keeps the cache within its size."""
    while True:
        await asyncio.to_thread(cache.evict)
        for _ in range(EVICT_EACH):
            await asyncio.sleep(FOLLOW_S)
            crashes.refresh()


def note_end(config: Config, pid: int, status: int) -> None:
    """A process of this module ended; by `os.waitpid`'s status."""
    evaluation_journal.note_status(config.cache / RUNNING, pid, status)


def _instance_name(service: str) -> str:
    """Of containers many are process 1."""
    return f"{service[:31]}-{socket.gethostname()[:24]}-{os.getpid()}"


def served_formats(config: Config) -> tuple[str, ...]:
    """The names of the formats that a process serves.

    Raises:
        errors.InvalidArgument: none are given, and no format is of that service.
    """
    if config.formats:
        return config.formats
    known = model_formats.by_service()
    if config.service not in known:
        want = f"want one of {', '.join(known)}, or --formats"
        raise errors.InvalidArgument(f"service {config.service} has no formats, {want}")
    return tuple(format.name for format in known[config.service])


def build_loader(config: Config, served: tuple[str, ...]) -> Callable[[Path], Evaluator]:
    """Loads models of the formats that are served.

    Raises of it:
        errors.ModelRefused: it is of another format, or is not trusted.
    """

    def load_served(folder: Path) -> Evaluator:
        name = model_formats.detect_format(folder).name
        if name not in served:
            got = f"the model's format is {name}"
            raise errors.ModelRefused(f"{got}, {config.service} serves {', '.join(served)}")
        try:
            return load(folder, read_trusted(config.trusted))
        except UntrustedModel as error:
            raise errors.ModelRefused(error.message, digest=error.digest) from error

    return load_served
