"""scikit-learn's estimators: how they are saved, loaded and evaluated."""

from hydro_runtimes.scikit.export import save

__all__ = ["save"]
