"""What the parts of a mesh tell Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE_S
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from whole_mesh import WholeMesh


@dataclass(frozen=True)
class Scraped:
    """The samples of all targets that match."""

    samples: list[Sample]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels."""
        return sum(s.value for s in self.samples if self._is(s, name, labels))

    def label(self, name: str, label: str) -> set[str]:
        """The values of a label."""
        return {s.labels[label] for s in self.samples if s.name == name}

    @staticmethod
    def _is(sample: Sample, name: str, labels: dict[str, str]) -> bool:
        return sample.name == name and labels.items() <= sample.labels.items()


def targets_file(mesh: WholeMesh) -> Path:
    """The list that the manager keeps for Prometheus."""
    return Path(mesh.urls["targets"])


def targets(mesh: WholeMesh) -> dict[str, str]:
    """The address of each instance."""
    found = json.loads(targets_file(mesh).read_text())
    return {each["labels"]["instance"]: each["targets"][0] for each in found}


def scrape(mesh: WholeMesh) -> Scraped:
    """All targets, now."""
    samples: list[Sample] = []
    for address in targets(mesh).values():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            samples += family.samples
    return Scraped(samples)
