"""A thread for a model: one that hangs holds up no other model, nor the end of the process."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Task = tuple[Future[Any], Callable[[], Any]]


class Worker(Executor):
    """Runs what it is given, one thing at a time, in a thread that ends with the worker.

    Unlike those of ThreadPoolExecutor, the thread is a daemon: nothing waits for it at exit.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._begun = False
        weakref.finalize(self, self._tasks.put, None).atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queues a call; the thread starts with the first one."""
        future: Future[T] = Future()
        self._tasks.put((future, lambda: fn(*args, **kwargs)))
        if not self._begun:
            self._begun = True
            threading.Thread(target=_run, args=(self._tasks,), name=self._name, daemon=True).start()
        return future


def _run(tasks: queue.SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        future, call = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        del task, future, call  # What they hold may be the worker itself.
