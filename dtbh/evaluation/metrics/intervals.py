"""How sure a mean is: the bootstrap over images, each drawn with all its sounds.

The sounds of one image are no independent draws: an interval over single sounds would be too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dtbh.data.manifest import Item
from dtbh.evaluation.metrics.counts import Floats, Ints
from dtbh.evaluation.metrics.ranking import Without, settled

RESAMPLES = 1000
CELLS = 4_000_000  # draws held at once: 64 MB


def clusters_of(items: Sequence[Item]) -> Ints:
    """The number of each item's cluster, int64 [n]: items of one pair share it, others stand alone."""
    number: dict[tuple[bool, str], int] = {}
    names = ((item.pair is None, item.id if item.pair is None else item.pair) for item in items)
    return np.array([number.setdefault(name, len(number)) for name in names], dtype=np.int64)


def interval(values: Floats, clusters: Ints, seed: int) -> tuple[float, float] | None:
    """95 % percentile bootstrap of the mean over queries, whole clusters drawn with replacement.

    Args:
        values: One figure in [0, 1] per query, float64 [q], without NaN.
        clusters: The number of each query's cluster, int64 [q].
        seed: The same seed gives the same interval.

    Returns:
        The 2.5th and the 97.5th percentile; None with fewer than two clusters.
    """
    _, inverse = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(inverse, values), np.bincount(inverse).astype(np.float64)
    if len(sums) < 2:
        return None
    alike = (counts == counts[0]).all()  # then every draw has as many queries, and half as much is looked up
    chance, batch = np.random.default_rng(seed), max(1, CELLS // len(sums))
    means = []
    for start in range(0, RESAMPLES, batch):
        drawn = chance.integers(0, len(sums), (min(batch, RESAMPLES - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / (counts.sum() if alike else counts[drawn].sum(axis=1)))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return min(float(low), 1.0), min(float(high), 1.0)


def mean_interval(
    values: Floats, clusters: Ints, seed: int, *, without: Without = "drop"
) -> tuple[float, float] | None:
    """``interval`` of ``ranking.mean``: NaN stands for queries without relevant items, and ``without`` decides."""
    counted = ~np.isnan(values) | (without == "zero")
    return interval(settled(values, without), clusters[counted], seed)
