"""Where each part of the mesh tells its metrics, as the manager knows it, also for Prometheus.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_services.manager.domain.state import REPOSITORY
from hydro_services.manager.engine.reconciler import Reconciler

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often it is looked whether there are others."""


def list_targets(reconciler: Reconciler, own: Address) -> list[pb.MetricsTarget]:
    """All that are known, sorted; `own` is the manager's address."""
    targets = [
        pb.MetricsTarget(address=str(own), part="manager", service="manager", instance="manager")
    ]
    for node in (each.node for each in reconciler.hub.nodes()):
        targets.append(
            pb.MetricsTarget(
                address=node.metrics, part="envoy", service=node.role, instance=node.id
            )
        )
    for each in reconciler.state.endpoints.values():
        part = "repository" if each.service == REPOSITORY else "runtime"
        targets.append(
            pb.MetricsTarget(
                address=str(each.metrics or ""),
                part=part,
                service=each.service,
                instance=each.instance,
            )
        )
    return sorted((t for t in targets if t.address), key=lambda t: (t.part, t.instance))


def targets_json(targets: Sequence[pb.MetricsTarget]) -> list[dict[str, Any]]:
    """As Prometheus reads them. A process that starts anew is the same instance."""
    return [
        {
            "targets": [each.address],
            "labels": {"part": each.part, "service": each.service, "instance": each.instance},
        }
        for each in targets
    ]


class TargetsFile:
    """A list for Prometheus's file_sd."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""

    async def keep_written(self, look: Callable[[], Sequence[pb.MetricsTarget]]) -> None:
        """Writes the file when there is something else to write, until cancelled."""
        while True:
            text = json.dumps(targets_json(look()), indent=1) + "\n"
            if text != self._text:
                await asyncio.to_thread(self._write, text)
            await asyncio.sleep(LOOK_S)

    def _write(self, text: str) -> None:
        new = self._path.with_suffix(".new")
        try:
            new.write_text(text)
            os.replace(new, self._path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            logger.warning("targets not written", extra={"path": str(self._path), "error": reason})
        else:
            self._text = text
