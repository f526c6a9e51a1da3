"""Gives the text back, says who does so, and is slow where it is told to be."""

import os
import time
from pathlib import Path


class Model:
    def __init__(self, folder):
        self.prefix = (folder / "prefix.txt").read_text().strip()
        self.slow = Path(os.environ["HYDRO_TEST_FOLDER"]) / f"slow-{os.getpid()}"

    def evaluate(self, columns):
        if self.slow.exists():
            time.sleep(float(self.slow.read_text()))
        texts = columns["text"]
        return {
            "here": [self.prefix + text for text in texts],
            "here_process": [os.getpid()] * len(texts),
        }
