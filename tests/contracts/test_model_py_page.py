"""The page that shows how to serve a model of one's own does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from frames import answers, columns_of

from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model-py.md"
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_model_of_the_page_answers(tmp_path: Path) -> None:
    blocks = dict(BLOCK.findall(PAGE.read_text()))
    train = (
        blocks.pop("train") + 'print(smf.ols("spend ~ age + city", frame).fit().predict(frame)[0])'
    )
    ran = subprocess.run(
        [sys.executable, "-c", train], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    for name, text in blocks.items():
        (tmp_path / name).write_text(text)
    model = load(tmp_path, {digest_folder(tmp_path)})
    frame = pd.DataFrame({"age": [20, 30], "city": ["Paris", "Rome"]})
    spend = answers(model, columns_of(frame, model))["spend"]
    np.testing.assert_allclose(spend[0], float(ran.stdout), rtol=1e-12)
