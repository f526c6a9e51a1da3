"""Takes as long to load as it is told: until the file exists that `gate.txt` names."""

import time
from pathlib import Path

GATE = Path(Path(__file__).with_name("gate.txt").read_text())

while not GATE.exists():
    time.sleep(0.05)

if "broken" in GATE.read_text():
    raise RuntimeError("the weights are broken")


class Model:
    def __init__(self, folder):
        pass

    def evaluate(self, columns):
        return {"echo": [f"{text}!" for text in columns["text"]]}
