"""Exact Hamming search over packed codes: all distances, the nearest k, all within a radius.

Comes in: uint64 words as `dtbh.codes.pack` makes them; the gallery may be memory-mapped. Results are ordered
by distance, then by row (the order of insertion), so that ties have one order everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import CodesError, ConfigError

GALLERY_BLOCK = 1 << 16
CELLS = 1 << 20  # query times gallery cells worked on at once: some 30 MB

Found = tuple[NDArray[np.int32], NDArray[np.int64]]


def distances(queries: NDArray[np.uint64], gallery: NDArray[np.uint64]) -> NDArray[np.int32]:
    """All Hamming distances.

    Args:
        queries: uint64 [q, w].
        gallery: uint64 [n, w].

    Returns:
        int32 [q, n], each from 0 to 64 w.

    Raises:
        CodesError: Another dtype, shape or number of words.
    """
    _check(queries, gallery)
    result = np.empty((len(queries), len(gallery)), np.int32)
    for some in _blocks(len(queries), max(1, CELLS // GALLERY_BLOCK)):
        for part in _blocks(len(gallery), GALLERY_BLOCK):
            result[some, part] = _block(queries[some], gallery[part])
    return result


def nearest(queries: NDArray[np.uint64], gallery: NDArray[np.uint64], k: int) -> Found:
    """The nearest rows of each query, exactly.

    Beside the result, memory is bounded: it grows with k, but not with the number of queries or of codes.

    Args:
        queries: uint64 [q, w].
        gallery: uint64 [n, w].
        k: From 1; min(k, n) are given.

    Returns:
        Distances int32 [q, min(k, n)] and rows int64 of the same shape, ordered by distance, then row.

    Raises:
        CodesError: Another dtype, shape or number of words.
        ConfigError: k below 1.
    """
    _check(queries, gallery)
    check_k(k)
    n = len(gallery)
    k = min(k, n)
    keys = np.empty((len(queries), k), np.int64)
    for some in _blocks(len(queries), max(1, CELLS // (GALLERY_BLOCK + k))):
        # distance * n + row: no two keys are alike, so any selection algorithm gives the same order.
        best = np.empty((len(queries[some]), 0), np.int64)
        for part in _blocks(n, GALLERY_BLOCK):
            here = _block(queries[some], gallery[part]).astype(np.int64) * n + np.arange(part.start, part.stop)
            best = _smallest(np.concatenate([best, here], axis=1), k)
        keys[some] = np.sort(best, axis=1)
    rows = keys % max(n, 1)
    return (keys // max(n, 1)).astype(np.int32), rows


def within(queries: NDArray[np.uint64], gallery: NDArray[np.uint64], radius: int) -> list[Found]:
    """All rows within a radius of each query.

    Args:
        queries: uint64 [q, w].
        gallery: uint64 [n, w].
        radius: The largest distance that counts, from 0.

    Returns:
        For each query its distances (int32 [m]) and rows (int64 [m]), ordered by distance, then row.

    Raises:
        CodesError: Another dtype, shape or number of words.
        ConfigError: A negative radius.
    """
    _check(queries, gallery)
    if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)) or radius < 0:
        raise ConfigError(f"radius must be a whole number from 0, found {radius!r}")
    return [_within(query[None], gallery, int(radius)) for query in queries]


def check_k(k: int) -> None:
    """Raise `ConfigError` unless ``k`` is a whole number from 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ConfigError(f"k, the number of hits, must be a whole number from 1, found {k!r}")


def _within(query: NDArray[np.uint64], gallery: NDArray[np.uint64], radius: int) -> Found:
    """The rows within the radius of one query [1, w]."""
    found_distances, found_rows = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for part in _blocks(len(gallery), GALLERY_BLOCK):
        here = _block(query, gallery[part])[0]
        rows = np.flatnonzero(here <= radius)
        found_distances.append(here[rows])
        found_rows.append(rows + part.start)
    all_distances, all_rows = np.concatenate(found_distances), np.concatenate(found_rows)
    order = np.argsort(all_distances, kind="stable")
    return all_distances[order], all_rows[order]


def _block(queries: NDArray[np.uint64], gallery: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Distances int32 [q, n] of a block that fits in memory, one word at a time."""
    total = np.zeros((len(queries), len(gallery)), np.int32)
    for word in range(gallery.shape[1]):
        total += np.bitwise_count(queries[:, word, None] ^ gallery[None, :, word])
    return total


def _smallest(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The k smallest keys of each row, in any order; all of them where there are no more."""
    return keys if keys.shape[1] <= k else np.partition(keys, k - 1, axis=1)[:, :k]


def _blocks(n: int, size: int) -> Iterator[slice]:
    """Slices that cover ``range(n)``, each of at most ``size``."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _check(queries: NDArray[np.uint64], gallery: NDArray[np.uint64]) -> None:
    for name, words in (("queries", queries), ("gallery", gallery)):
        if not isinstance(words, np.ndarray) or words.dtype != np.uint64:
            found = getattr(words, "dtype", type(words).__name__)
            raise CodesError(f"{name} must be packed uint64 words, found {found}; dtbh.codes.pack makes them")
        if words.ndim != 2 or words.shape[1] < 1:
            raise CodesError(f"{name} must be [number, words], found {list(words.shape)}")
    if queries.shape[1] != gallery.shape[1]:
        raise CodesError(
            f"queries have {queries.shape[1]} words a code, the gallery {gallery.shape[1]}; "
            "encode both with the same run"
        )
