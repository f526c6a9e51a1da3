"""Ends its process as a row says, and notes each run; gives other texts back."""

import asyncio
import ctypes
import multiprocessing
import os
import re
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ENDS = {
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hold": lambda: re.match(r"(a+)+$", "a" * 60 + "b"),
    "thread": lambda: threading.Thread(target=os.abort).start() or time.sleep(5),
}
RUNS = Path(os.environ["HYDRO_TEST_FOLDER"]) / "runs"


RAISES = {
    "interrupt": KeyboardInterrupt(),
    "leave": SystemExit(3),
    "generator": GeneratorExit(),
    "cancel": asyncio.CancelledError(),
    "deep": RecursionError("too deep"),
    "memory": MemoryError(),
    "stop": StopIteration(1),
}


def double(number):
    return 2 * number


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        texts = columns["text"]
        for text in texts:
            word, _, _ = text.partition(" ")
            if word in ENDS:
                with RUNS.open("a") as file:
                    file.write(f"{text} {os.getpid()}\n")
                ENDS[word]()
            if word in RAISES:
                raise RAISES[word]
            if word == "slow":
                time.sleep(0.3)
            if word == "pool":
                with multiprocessing.Pool(2) as pool:
                    assert pool.map(double, [1, 2]) == [2, 4]
                assert [*ProcessPoolExecutor(1).map(double, [1, 2])] == [2, 4]
        return {"answer": [f"{text}!" for text in texts]}
