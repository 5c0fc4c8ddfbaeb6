"""Exact Hamming search in NumPy: for few codes, and where compiled code can't be had.

Memory is bounded: it grows with k, but not with the number of queries or of codes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming.rows import Found, Rows
from dtbh.index.hamming.weighing import weighed

GALLERY_BLOCK = 1 << 16
CELLS = 1 << 20  # query times gallery cells worked on at once: some 30 MB


def distances(queries: NDArray[np.uint64], gallery: NDArray[np.uint64]) -> NDArray[np.int32]:
    """All distances, int32 [q, n]."""
    result = np.empty((len(queries), len(gallery)), np.int32)
    for some in _slices(len(queries), max(1, CELLS // GALLERY_BLOCK)):
        for part in _slices(len(gallery), GALLERY_BLOCK):
            result[some, part] = _block(queries[some, None], gallery[part])
    return result


def nearest(asked: NDArray[np.uint64], rows: Rows, k: int) -> Found:
    """As `dtbh.index.hamming.scan.nearest`."""
    n = max(len(rows.words), 1)
    keys = np.empty((len(asked), k), np.int64)
    for some in _slices(len(asked), max(1, CELLS // (GALLERY_BLOCK + k))):
        # distance * n + row: no two keys are alike, so any selection algorithm gives the same order.
        best = np.empty((len(keys[some]), 0), np.int64)
        for here, codes in _parts(rows):
            near = _block(asked[some], codes).astype(np.int64) * n + here
            best = _smallest(np.concatenate([best, near], axis=1), k)
        keys[some] = np.sort(best, axis=1)
    return (keys // n).astype(np.int32), keys % n + rows.first


def within(queries: NDArray[np.uint64], rows: Rows, radius: int) -> list[Found]:
    """For each query the distances and rows of all within a radius."""
    return [_within(query[None], rows, radius) for query in queries]


def _within(query: NDArray[np.uint64], rows: Rows, radius: int) -> Found:
    """The rows within the radius of one query [1, w]."""
    found_distances, found_rows = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for here, codes in _parts(rows):
        near = _block(query[None], codes)[0]
        inside = np.flatnonzero(near <= radius)
        found_distances.append(near[inside])
        found_rows.append(here[inside] + rows.first)
    all_distances, all_rows = np.concatenate(found_distances), np.concatenate(found_rows)
    order = np.argsort(all_distances, kind="stable")
    return all_distances[order], all_rows[order]


def _parts(rows: Rows) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Row numbers and codes of all rows that count, some at a time."""
    for part in _slices(rows.span, GALLERY_BLOCK):
        here = np.arange(part.start, part.stop)
        if rows.listed is not None:
            here = rows.listed[part]
        elif rows.marked is not None:
            here = here[rows.marked[part]]
        yield here, rows.words[part] if rows.listed is None and rows.marked is None else rows.words[here]


def _block(asked: NDArray[np.uint64], gallery: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Distances int32 [q, n] of a block that fits in memory, one word at a time."""
    total = np.zeros((len(asked), len(gallery)), np.int32)
    for word in range(gallery.shape[1]):
        signs, levels = asked[:, 0, word, None], asked[:, 1:, word, None].swapaxes(0, 1)
        total += weighed(signs ^ gallery[None, :, word], levels)
    return total


def _smallest(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k smallest keys of each row, in any order; all of them where there are no more."""
    return keys if keys.shape[1] <= k else np.partition(keys, k - 1, axis=1)[:, :k]


def _slices(n: int, size: int) -> Iterator[slice]:
    """Slices that cover ``range(n)``, each of at most ``size``."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
