"""What our modules log is logged, whatever a model has done to Python's logging."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import itertools, logging, logging.config, sys
from hydro_services import logs

before, model = logging.getLogger("hydro_services.before"), logging.getLogger("model")
logs.set_up_logging("WARNING", "part")
logging.getLogger("model.quiet").setLevel(logging.CRITICAL)
ACTIONS = {
    "disable": lambda: logging.disable(logging.CRITICAL),
    "level": lambda: logging.getLogger().setLevel(logging.CRITICAL),
    "handlers": lambda: logging.getLogger().handlers.clear(),
    "config": lambda: logging.config.dictConfig({"version": 1}),
    "force": lambda: logging.basicConfig(handlers=[logging.NullHandler()], force=True),
    "shutdown": logging.shutdown,
}
model.warning("first")
for names in itertools.product(ACTIONS, repeat=3):
    for name in names:
        ACTIONS[name]()
    before.warning("before %s", names)
    logging.getLogger("hydro_services.after." + "_".join(names)).warning("after %s", names)
    before.info("not this")
model.warning("not this either: it is the model's own")
"""


def test_our_modules_log_whatever_a_model_does_to_logging() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    said = [line["message"] for line in lines]
    assert said[0] == "first"
    assert said[1::2] == [text.replace("after", "before") for text in said[2::2]]
    assert len(said) == 1 + 2 * 6**3
    assert len(set(said)) == len(said), "each once"
