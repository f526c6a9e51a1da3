"""The models of this process: fetched, loaded, offered by key, unloaded."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from google.rpc import status_pb2

from hydro.runtime.v1 import runtime_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_envoy.headers import model_key
from hydro_runtimes.errors import ModelError
from hydro_runtimes.evaluator import Evaluator
from hydro_services import errors
from hydro_services.codecs import signatures
from hydro_services.runtime.batch import Batcher
from hydro_services.runtime.crashes import Crashes
from hydro_services.runtime.evaluation import describe_exception
from hydro_services.runtime.evaluation_journal import EvaluationJournal, EvaluationRecord
from hydro_services.runtime.rerun_outcomes import RerunOutcomes
from hydro_services.runtime.worker import Worker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelId:
    """A version of a model by its content."""

    model: str
    version: str
    digest: str

    @property
    def key(self) -> str:
        """The name under which stages ask for it."""
        return model_key(self.model, self.version, self.digest)


class Fetch(Protocol):
    """Brings a model's files to this machine."""

    async def __call__(self, id: ModelId, repository: Address) -> Path:
        """The folder with the files, whose digest has been verified."""
        ...


@dataclass(frozen=True, slots=True)
class HostedModel:
    """What is known of a model in this process."""

    id: ModelId
    state: pb.ModelState
    batcher: Batcher | None = None
    error: status_pb2.Status | None = None

    def message(self) -> pb.LoadedModel:
        """The model as the manager lists it."""
        evaluator = self.batcher.evaluator if self.batcher else None
        return pb.LoadedModel(
            key=self.id.key,
            model=self.id.model,
            version=self.id.version,
            digest=self.id.digest,
            state=self.state,
            signature=signatures.signature_message(evaluator.signature) if evaluator else None,
            error=self.error,
        )


class Host:
    """Owns the models of this process. Used from the event loop only."""

    def __init__(
        self,
        fetch: Fetch,
        load: Callable[[Path], Evaluator],
        crashes: Crashes | None = None,
        journal: EvaluationJournal | None = None,
        release: Callable[[ModelId], None] = lambda id: None,
        rerun_folder: Path | None = None,
    ) -> None:
        """Starts empty.

        Args:
            fetch: gets a model's folder.
            load: makes an evaluator of it.
            crashes: knows the models that are out, and is told of those that end a process.
            journal: notes what is evaluated.
            release: told, in any thread, when a folder that was fetched is not used any more.
            rerun_folder: keeps how rows ended that were run again.
        """
        self._fetch = fetch
        self._load = load
        self._crashes = crashes or Crashes()
        self._journal = journal or EvaluationJournal()
        self._release = release
        self._rerun_folder = rerun_folder
        self._models: dict[str, HostedModel] = {}
        self._loading: dict[str, asyncio.Task[HostedModel]] = {}
        self.refused = 0
        """Calls for models that are not here."""

    @property
    def models(self) -> Mapping[str, HostedModel]:
        """By key; those that are out for a time have failed."""
        return {key: self._with_suspension(key, hosted) for key, hosted in self._models.items()}

    def _with_suspension(self, key: str, hosted: HostedModel) -> HostedModel:
        suspension = self._crashes.suspension(key)
        if suspension is None:
            return hosted
        status = errors.to_status(suspension)
        return replace(hosted, state=pb.MODEL_STATE_FAILED, error=status)

    def get(self, key: str) -> Batcher:
        """The model that a stage asks for.

        Raises:
            errors.Unavailable: it is not loaded here (any more); another instance may have it.
            errors.ModelSuspended: it ends its processes, and is out for a time.
        """
        if suspension := self._crashes.suspension(key):
            self.refused += 1
            raise suspension
        hosted = self._models.get(key)
        # UNAVAILABLE, so that Envoy tries another process: the manager routes only to those that
        # have it, but news travels.
        if hosted is None or hosted.batcher is None:
            self.refused += 1
            raise errors.Unavailable(f"model {key} is not loaded here; try again", model=key)
        return hosted.batcher

    async def load(self, id: ModelId, repository: Address) -> HostedModel:
        """Loads a model, or joins who is loading it already. Cancelling does not stop the load.

        Raises:
            errors.HydroError: it cannot be fetched or loaded.
        """
        hosted = self._models.get(id.key)
        if suspension := self._crashes.suspension(id.key):
            if hosted is None:
                self._models[id.key] = HostedModel(id, pb.MODEL_STATE_FAILED)
            raise suspension
        if hosted and hosted.state == pb.MODEL_STATE_LOADED:
            return hosted
        # Two managers may ask at the same time.
        if id.key not in self._loading:
            task = asyncio.create_task(self._fetch_and_load(id, repository))
            self._loading[id.key] = task
            task.add_done_callback(lambda task: self._on_loaded(id.key, task))
        # The load goes on where one of those that wait for it gives up.
        return await asyncio.shield(self._loading[id.key])

    def _on_loaded(self, key: str, task: asyncio.Task[HostedModel]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()  # Told by the hosted model, also where nobody waits any more.

    async def _fetch_and_load(self, id: ModelId, repository: Address) -> HostedModel:
        hosted = HostedModel(id, pb.MODEL_STATE_LOADING)
        worker, record = Worker(f"model {id.key}"), self._journal.record(id.key)
        self._models[id.key] = hosted
        try:
            folder = await self._fetch(id, repository)
            try:
                loop = asyncio.get_running_loop()
                # In the model's own thread, where it will be evaluated: libraries may tie what they
                # load to it.
                evaluator = await loop.run_in_executor(worker, self._load_evaluator, folder, record)
            except BaseException:
                self._release(id)
                raise
        except errors.HydroError as error:
            self._mark_failed(hosted, error)
            raise
        except Exception as error:
            internal = errors.new_internal()
            logger.exception(
                "bringing a model raised", extra={"model": id.key, **internal.metadata}
            )
            self._mark_failed(hosted, internal)
            raise internal from error
        crashed = partial(self._crashes.add, id.key)
        outcomes = RerunOutcomes(self._rerun_folder, id.key)
        batcher = Batcher(
            evaluator, worker, record=record, crashed=crashed, rerun_outcomes=outcomes
        )
        weakref.finalize(batcher, self._release, id).atexit = False  # after the last call
        # It may have been unloaded while it was loading, and loaded anew: then this one is not it.
        if self._models.get(id.key) is not hosted:
            raise errors.Aborted(f"model {id.key} was unloaded while it was loading")
        self._models[id.key] = replace(hosted, state=pb.MODEL_STATE_LOADED, batcher=batcher)
        logger.info("model loaded", extra={"model": id.key})
        return self._models[id.key]

    def _mark_failed(self, hosted: HostedModel, error: errors.HydroError) -> None:
        key = hosted.id.key
        logger.warning("model not loaded", extra={"model": key, "error": error.message})
        if self._models.get(key) is hosted:
            status = errors.to_status(error)
            self._models[key] = replace(hosted, state=pb.MODEL_STATE_FAILED, error=status)

    def _load_evaluator(self, folder: Path, record: EvaluationRecord) -> Evaluator:
        try:
            with record:
                return self._load(folder)
        except errors.HydroError:
            raise
        except ModelError as error:
            raise errors.ModelRefused(error.message) from error
        except BaseException as error:  # SystemExit and its like are the model's, not for us
            logger.exception("loading raised", extra={"path": str(folder)})
            reason = f"the model's own code failed to load: {describe_exception(error)}"
            raise errors.ModelRefused(reason) from error

    def unload(self, key: str) -> None:
        """No longer offers a model; calls that hold it finish."""
        if self._models.pop(key, None):
            logger.info("model unloaded", extra={"model": key})
