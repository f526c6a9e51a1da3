"""Models that load when a test lets them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from whole_mesh import ROOT

SLOW = ROOT / "tests" / "e2e" / "slow" / "scikit" / "slow"


@dataclass(frozen=True)
class SlowModel:
    """A model of a folder of models; its processes wait for its gate."""

    folder: Path
    gate: Path

    @classmethod
    def create(cls, models: Path, name: str, gates: Path) -> SlowModel:
        """A copy of its own, of which nobody has heard before; not trusted yet."""
        folder, gate = models / "scikit" / name, gates / f"{name}.gate"
        staging = gates / name
        shutil.copytree(SLOW, staging, ignore=shutil.ignore_patterns("__pycache__"))
        metadata = staging / "metadata.json"
        metadata.write_text(metadata.read_text().replace('"slow"', f'"{name}"'))
        (staging / "gate.txt").write_text(str(gate))
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging.rename(folder)  # whole from the first moment
        return cls(folder, gate)

    def open(self, word: str = "") -> None:
        """Lets it load; or, with "broken", has loading fail."""
        new = self.gate.with_suffix(".new")
        new.write_text(word)
        new.rename(self.gate)
