"""The numbers of the inference of topics, as Spark's own libraries give them."""

from __future__ import annotations

import numpy as np

from hydro_runtimes.spark.stages.lda import _draw_gamma, _spark_digamma

DRAWN = [
    1.1087889344105906,
    0.8618287373694173,
    0.9767380018006188,
    1.1158035200628527,
    1.2185643025721586,
    1.1933691000521032,
]
"""By breeze's Gamma(100, 0.01) with the seed 1421925485."""


def test_each_document_starts_where_it_does_in_spark() -> None:
    np.testing.assert_allclose(_draw_gamma(6, 100.0), DRAWN, rtol=1e-14)


def test_digamma_has_the_error_of_sparks() -> None:
    """By commons-math's Gamma.digamma; without the error it is -0.5772156649."""
    np.testing.assert_allclose(_spark_digamma(np.array([1.0])), [-0.5772156677920679], rtol=1e-12)
