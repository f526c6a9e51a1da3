"""The settings of a Spark session that answers depend on."""

from __future__ import annotations

from dataclasses import dataclass

from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.mode import Mode


@dataclass(frozen=True, slots=True)
class SessionConf:
    """As metadata.json states them beside a model. Source: SQLConf, 4.3.0."""

    ansi: bool | None = None
    """spark.sql.ansi.enabled; None means the default of the Spark that saved the model."""
    zone: str = "UTC"
    """spark.sql.session.timeZone."""

    def __post_init__(self) -> None:
        """Raises ValueError where there is no such zone."""
        zones.zone_of(self.zone)

    @property
    def reading_mode(self) -> Mode:
        """The mode in which values of stated types are read."""
        return Mode(True, zones.zone_of(self.zone))

    def evaluation_mode(self, saved: Saved) -> Mode:
        """The mode in which a stage's statements are evaluated: by default with ANSI since 4.0."""
        ansi = self.ansi
        if ansi is None:
            ansi = not saved.version or saved.version[0] >= 4
        return Mode(ansi, zones.zone_of(self.zone))
