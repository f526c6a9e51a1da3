"""Gives the start of the text back, says whose model it is, and is slow where it is told to be."""

import os
import time
from pathlib import Path


class Model:
    def __init__(self, folder):
        self.prefix = (folder / "prefix.txt").read_text().strip()
        # Of the runtime, also where a fork of it evaluates.
        self.process = os.getpid()
        self.slow = Path(os.environ["HYDRO_TEST_FOLDER"]) / f"slow-{self.process}"

    def evaluate(self, columns):
        if self.slow.exists():
            time.sleep(float(self.slow.read_text()))
        texts = columns["text"]
        return {
            "there": [self.prefix + text[:64] for text in texts],
            "there_process": [self.process] * len(texts),
        }
