"""Precision and recall within a Hamming radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dtbh.errors import DataError
from dtbh.evaluation.metrics.counts import Floats, Ints
from dtbh.evaluation.metrics.ranking import Without, has_relevant


@dataclass(frozen=True)
class RadiusPoint:
    """Precision and recall of what lies within a Hamming radius, mean over queries.

    Attributes:
        radius: In bits.
        precision: Mean over the queries that retrieve something. Where papers count the others as 0, that is
            ``precision * answered``.
        recall: Mean over all queries.
        answered: Share of the queries that retrieve something.
    """

    radius: int
    precision: float
    recall: float
    answered: float


def within_radius(relevant: Ints, total: Ints, *, without: Without = "drop") -> tuple[RadiusPoint, ...]:
    """Precision and recall within each radius at which something changes; no ties arise, a radius takes whole buckets.

    A query that retrieves nothing at a radius has no precision there and is left out of that point, so the
    first points may stand on few queries: ``answered`` says on how many.

    Args:
        relevant: Relevant items at each distance, int64 [q, bits + 1].
        total: All items at each distance, int64 [q, bits + 1].
        without: What becomes of queries without relevant items, as in ``mean``.

    Raises:
        DataError: No query has a relevant item.
    """
    return radius_points(radius_sums(relevant, total, without=without))


def radius_sums(relevant: Ints, total: Ints, *, without: Without = "drop") -> Floats:
    """What ``radius_points`` divides, and can be added over blocks of queries: float64 [5, bits + 1].

    At each radius the sums of precision and of recall, the queries that retrieve something, all queries, and
    the items that stand at that very distance.
    """
    if without != "zero":
        has = has_relevant(relevant)
        relevant, total = relevant[has], total[has]
    found, retrieved = np.cumsum(relevant, axis=1), np.cumsum(total, axis=1)
    return np.stack([
        (found / np.maximum(retrieved, 1)).sum(axis=0),
        (found / np.maximum(found[:, -1:], 1)).sum(axis=0),
        (retrieved > 0).sum(axis=0),
        np.full(total.shape[1], len(total)),
        total.sum(axis=0),
    ])  # fmt: skip


def radius_points(sums: Floats) -> tuple[RadiusPoint, ...]:
    """The points of summed ``radius_sums``: only those radii at which something stands."""
    precision, recall, some, queries, here = sums
    if not queries.any():
        raise DataError("none of the queries has a relevant item in the gallery; check the labels")
    return tuple(
        RadiusPoint(int(r), precision[r] / some[r], min(recall[r] / queries[r], 1.0), some[r] / queries[r])
        for r in np.flatnonzero(here)
    )
