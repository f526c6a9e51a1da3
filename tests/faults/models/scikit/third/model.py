"""Gives the text back, and says whose model it is."""

import os


class Model:
    def __init__(self, folder):
        self.process = os.getpid()  # of the runtime, also where a fork of it evaluates

    def evaluate(self, columns):
        texts = columns["text"]
        return {"third": texts, "third_process": [self.process] * len(texts)}
