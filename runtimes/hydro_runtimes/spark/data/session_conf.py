"""What a Spark session would have set, as far as answers depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.casts import Mode


@dataclass(frozen=True, slots=True)
class SessionConf:
    """Stated in metadata.json beside a model."""

    ansi: bool | None = None
    """spark.sql.ansi.enabled; None: the default of the Spark that saved the model."""
    zone: str = "UTC"
    """spark.sql.session.timeZone."""

    def __post_init__(self) -> None:
        """Raises ValueError where there is no such zone."""
        zones.zone_of(self.zone)

    def evaluation_mode(self, saved: Saved) -> Mode:
        """How statements of a stage are evaluated: with ANSI since Spark 4.0."""
        ansi = self.ansi
        if ansi is None:
            ansi = not saved.version or saved.version[0] >= 4
        return Mode(ansi, zones.zone_of(self.zone))
