"""The same measures over real values: what stood there before the signs, or methods that make no codes.

Distances are exact, in float64; ties are rare among real values, but where values repeat they are averaged as among
codes. Distances are held for a few queries at a time, never for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dtbh.errors import ConfigError, DataError
from dtbh.evaluation.metrics.counts import Block, Floats, Ints, alike, check_labels, in_threads
from dtbh.evaluation.metrics.labels import SharedLabels

T = TypeVar("T")
METRICS = ("euclidean", "cosine")
CELLS = 250_000  # distances that a thread holds at once: 2 MB, and the tables made of them several times as much
COLUMNS = 8192  # gallery items whose values are held as float64 at once


def each_block(
    work: Callable[[Block], T],
    queries: npt.NDArray[np.floating[Any]],
    gallery: npt.NDArray[np.floating[Any]],
    metric: str,
    query_labels: Ints,
    gallery_labels: Ints,
    *,
    own: Ints,
    shared: SharedLabels | None = None,
) -> Iterator[T]:
    """Count, for each query and each of its distances, the gallery items and the relevant ones among them.

    Args:
        work: What is done with the counts of some queries, called in several threads at once. A block has as many
            columns as the gallery has items; those that no distance needs are 0.
        queries: float [q, d].
        gallery: float [n, d].
        metric: ``"euclidean"``, or ``"cosine"``: 1 less the cosine of the angle.
        query_labels: As in ``counts.each_block``, int [q].
        gallery_labels: Likewise, int [n].
        own: Likewise, int [q].
        shared: Likewise.

    Yields:
        What ``work`` gives, in the queries' order.

    Raises:
        ConfigError: No such metric.
        DataError: As in ``counts.each_block``; or, for cosines, a vector of zeros.
    """
    if metric not in METRICS:
        raise ConfigError(f"metric {metric!r}: there are {' and '.join(METRICS)}")
    check_labels(len(queries), len(gallery), query_labels, gallery_labels)
    # What is alike in the gallery must tie, and not differ by how a product was summed up: it is compared once.
    different, same = np.unique(gallery, axis=0, return_inverse=True)
    scale = _scale(metric, queries, different)

    def count(rows: slice) -> T:
        distances = _distances(metric, queries[rows].astype(np.float64), different, scale)[:, same.reshape(-1)]
        return work(_counted(rows, distances, query_labels[rows], gallery_labels, own[rows], shared))

    return in_threads(count, len(queries), max(1, CELLS // len(gallery)), f"comparing embeddings, {metric}")


def _scale(metric: str, queries: npt.NDArray[Any], gallery: npt.NDArray[Any]) -> Floats:
    """Of each gallery vector its squared length, or for cosines its length."""
    squares: Floats = np.einsum("nd,nd->n", gallery, gallery, dtype=np.float64)
    if metric == "euclidean":
        return squares
    if not (squares.all() and queries.any(axis=1).all()):
        raise DataError("a vector of zeros has no direction, and so no cosine with another; take euclidean distances")
    return np.asarray(np.sqrt(squares))


def _distances(metric: str, queries: Floats, gallery: npt.NDArray[Any], scale: Floats) -> Floats:
    """What orders the gallery as its distances do, float64 [b, n]: what is the same for a query's items is left out."""
    found = np.empty((len(queries), len(gallery)))
    for start in range(0, len(gallery), COLUMNS):
        some = slice(start, start + COLUMNS)
        products = queries @ gallery[some].T.astype(np.float64)
        found[:, some] = scale[some] - 2 * products if metric == "euclidean" else -products / scale[some]
    return found


def _counted(
    rows: slice, distances: Floats, query_labels: Ints, gallery_labels: Ints, own: Ints, shared: SharedLabels | None
) -> Block:
    """The tables of some queries: one column for each of a query's different distances, nearest first."""
    b, n = distances.shape
    mine = np.flatnonzero(own >= 0)
    distances[mine, own[mine]] = np.inf
    order = np.argsort(distances, axis=1)
    ordered = np.take_along_axis(distances, order, axis=1)
    number = np.pad(np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1), ((0, 0), (1, 0)))
    places = np.empty((b, n), dtype=np.int64)
    np.put_along_axis(places, order, number, axis=1)
    cells = places + np.arange(b)[:, None] * n
    ranked = np.isfinite(distances)
    earned, good = alike(query_labels, gallery_labels, shared)
    good &= ranked
    relevant, total = (np.bincount(cells[chosen], minlength=b * n).reshape(b, n) for chosen in (good, ranked))
    gains = grades = None
    if shared is not None and earned is not None:
        gains = np.bincount(cells[good], earned[good], b * n).reshape(b, n).astype(np.int64)
        grades = shared.grades(query_labels, gallery_labels, own)
    return Block(rows, relevant, total, np.zeros((b, 0)), np.full(b, np.nan), lambda q, g: places[q, g], gains, grades)
