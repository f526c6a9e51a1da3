"""Does as the text says: raises, takes its time, or gives the text back."""

import time
from pathlib import Path


class Model:
    def __init__(self, folder):
        self.prefix = (folder / "prefix.txt").read_text().strip()

    def evaluate(self, columns):
        for text in columns["text"]:
            word, _, argument = text.partition(" ")
            if word == "raise":
                raise RuntimeError(argument)
            if word == "pause":
                Path(argument).touch()  # tells that it has begun
                time.sleep(1)
            if word == "hang" or (word == "hang-once" and not Path(argument).exists()):
                Path(argument).touch()
                time.sleep(60)
        return {"echo": [self.prefix + text for text in columns["text"]]}
