"""Exact Hamming search over packed codes: all distances, the nearest k, all within a radius.

Results are ordered by distance, then by row (the order of insertion), so that ties have one order whatever the path and
the number of threads. Long work runs compiled (numba, `adaptive`), short work in NumPy (`plain`): importing the
compiler takes longer than a small search. Where numba is missing, or can't write its cache, NumPy does all.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import CodesError, ConfigError
from dtbh.index.hamming import plain
from dtbh.index.hamming.rows import Found, Rows, Which, choose
from dtbh.index.hamming.weighing import weighing
from dtbh.utils.device import cores
from dtbh.utils.packages import where_compiled

if TYPE_CHECKING:
    from dtbh.index.hamming.adaptive import Learned

LONGEST = 8  # words a code: longer codes are not compiled for
ALIKE = 8  # queries from which on the same code runs whatever their number
WORTH = 1 << 26  # query words times code words in NumPy that take as long as importing the compiler
_spent, _compiled = 0, False


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
    _check("queries", queries)
    _check("gallery", gallery)
    _check_same(queries, gallery)
    return plain.distances(queries, gallery)


def nearest(
    queries: NDArray[np.uint64],
    gallery: NDArray[np.uint64],
    k: int,
    *,
    rows: Which | None = None,
    threads: int | None = None,
) -> Found:
    """The nearest rows of each query, exactly.

    Beside the result, memory is bounded: it grows with k, but not with the number of queries or of codes.

    Args:
        queries: uint64 [q, w].
        gallery: uint64 [n, w].
        k: From 1; min(k, n) are given, n the number of rows that count.
        rows: Which rows of the gallery count: their numbers, ascending, or a bool mask. All by default.
        threads: From 1; as many as the process has cores by default.

    Returns:
        Distances int32 [q, min(k, n)] and rows int64 of the same shape, ordered by distance, then row.

    Raises:
        CodesError: Another dtype, shape or number of words; rows that don't ascend or don't exist.
        ConfigError: k or threads below 1.
    """
    _check("queries", queries)
    return Searcher(gallery, rows=rows).nearest(queries, k, threads=threads)


def within(
    queries: NDArray[np.uint64],
    gallery: NDArray[np.uint64],
    radius: int,
    *,
    rows: Which | None = None,
    threads: int | None = None,
) -> list[Found]:
    """All rows within a radius of each query.

    Args:
        queries: uint64 [q, w].
        gallery: uint64 [n, w].
        radius: The largest distance that counts, from 0.
        rows: Which rows of the gallery count, as in `nearest`.
        threads: As in `nearest`.

    Returns:
        For each query its distances (int32 [m]) and rows (int64 [m]), ordered by distance, then row.

    Raises:
        CodesError: Another dtype, shape or number of words; rows that don't ascend or don't exist.
        ConfigError: A negative radius, or threads below 1.
    """
    _check("queries", queries)
    return Searcher(gallery, rows=rows).within(queries, radius, threads=threads)


class Searcher:
    """One code set, to be searched again and again; it may be used from several threads.

    It learns while it searches. Where many rows share a code it comes to group them and to look at the distinct codes
    alone (4 bytes a row), and where radii are small and codes many it comes to look rows up in tables (about 17 bytes
    a row of 64 bits, 35 of 128). Each is done once the time it takes has gone into searching, and only where a sample
    shows that it pays. The codes must not change meanwhile.

    Args:
        gallery: uint64 [n, w]; it may be memory-mapped. Not copied where it is C-contiguous.
        rows: Which rows count: their numbers, ascending, or a bool mask [n]. All by default.

    Raises:
        CodesError: Another dtype or shape; rows that don't ascend or don't exist.
    """

    def __init__(self, gallery: NDArray[np.uint64], *, rows: Which | None = None) -> None:
        _check("gallery", gallery)
        self._rows = choose(gallery, rows)
        self._learned: Learned | None = None

    def __len__(self) -> int:
        """How many rows count."""
        return self._rows.count

    @property
    def distinct(self) -> int | None:
        """How many distinct codes a search looks at instead of all rows; None while it looks at all rows."""
        groups = None if self._learned is None else self._learned.groups
        return None if groups is None else groups.rows.count

    @property
    def tabled(self) -> bool:
        """Whether small radii are looked up in tables."""
        return self._learned is not None and self._learned.tables is not None

    def nearest(self, queries: NDArray[np.uint64], k: int, *, threads: int | None = None) -> Found:
        """As `dtbh.index.hamming.search.nearest`, of the rows that count."""
        _check("queries", queries)
        _check_same(queries, self._rows.words)
        return self._nearest(queries[:, None], k, threads)

    def asymmetric(
        self, queries: NDArray[np.uint64], weights: NDArray[np.uint8], k: int, *, threads: int | None = None
    ) -> Found:
        """The nearest rows of each query by asymmetric distance: the weights of the bits that differ, summed up.

        Args:
            queries: uint64 [q, w].
            weights: uint8 [q, bits], 0 to `dtbh.codes.SUREST`, of at most 64 w bits.
            k: As in `nearest`.
            threads: As in `nearest`.

        Returns:
            Distances int32 [q, min(k, n)] and rows int64 of the same shape, ordered by distance, then row.

        Raises:
            CodesError: Another dtype, shape or number of words.
            ConfigError: k or threads below 1.
        """
        _check("queries", queries)
        _check_same(queries, self._rows.words)
        return self._nearest(weighing(queries, weights), k, threads)

    def within(self, queries: NDArray[np.uint64], radius: int, *, threads: int | None = None) -> list[Found]:
        """As `dtbh.index.hamming.search.within`, of the rows that count."""
        _check("queries", queries)
        _check_same(queries, self._rows.words)
        check_radius(radius)
        threads, radius = _threads(threads), int(radius)
        learned = self._compiled(queries[:, None])
        if learned is None:
            return plain.within(queries, self._rows, radius)
        return learned.within(queries, radius, threads)

    def _nearest(self, asked: NDArray[np.uint64], k: int, threads: int | None) -> Found:
        """The nearest rows of queries, uint64 [q, 1 + levels, w], as `dtbh.index.hamming.scan.nearest` takes them."""
        check_k(k)
        threads, k = _threads(threads), min(int(k), len(self))
        if not len(asked) or not k:
            return np.empty((len(asked), k), np.int32), np.empty((len(asked), k), np.int64)
        learned = self._compiled(asked)
        if learned is None:
            return plain.nearest(asked, self._rows, k)
        return learned.nearest(asked, k, threads)

    def _compiled(self, asked: NDArray[np.uint64]) -> Learned | None:
        """What searches compiled, once there has been enough to do in this process, and if it is to be had."""
        global _spent, _compiled
        count, levels, words = asked.shape
        work = count * words * self._rows.span
        if self._learned is None and work and words <= LONGEST:
            _spent += work
            if _spent >= WORTH and (adaptive := _load(words)) is not None:
                self._learned, _compiled = adaptive.Learned(self._rows), True
        return self._learned if self._learned is not None and _runs(min(count, ALIKE), levels, words) else None


def compiled_already() -> bool:
    """Whether searching has come to run compiled in this process, so that more may be compiled at little cost."""
    return _compiled


def check_k(k: int) -> None:
    """Raise `ConfigError` unless ``k`` is a whole number from 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ConfigError(f"k, the number of hits, must be a whole number from 1, found {k!r}")


def check_radius(radius: int) -> None:
    """Raise `ConfigError` unless ``radius`` is a whole number from 0."""
    if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)) or radius < 0:
        raise ConfigError(f"radius must be a whole number from 0, found {radius!r}")


def _threads(threads: int | None) -> int:
    if threads is None:
        return cores()
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ConfigError(f"threads must be a whole number from 1, found {threads!r}")
    return int(threads)


@functools.cache
def _load(words: int) -> ModuleType | None:
    """What learns while it searches; None where codes of so many words can't be searched compiled."""
    if not _runs(1, 1, words):
        return None
    from dtbh.index.hamming import adaptive

    return adaptive


@functools.cache
def _runs(queries: int, levels: int, words: int) -> bool:
    """Whether such queries, [queries, levels, words], can be searched compiled."""

    def run() -> bool:
        from dtbh.index.hamming import scan

        asked = np.zeros((queries, levels, words), np.uint64)
        scan.nearest(asked, Rows(asked[0, :1], 1), 1, 1)
        return True

    return where_compiled(run) or False


def _check(name: str, words: NDArray[np.uint64]) -> None:
    if not isinstance(words, np.ndarray) or words.dtype != np.uint64:
        found = getattr(words, "dtype", type(words).__name__)
        raise CodesError(f"{name} must be packed uint64 words, found {found}; dtbh.codes.pack makes them")
    if words.ndim != 2 or words.shape[1] < 1:
        raise CodesError(f"{name} must be [number, words], found {list(words.shape)}")


def _check_same(queries: NDArray[np.uint64], gallery: NDArray[np.uint64]) -> None:
    if queries.shape[1] != gallery.shape[1]:
        raise CodesError(
            f"queries have {queries.shape[1]} words a code, the gallery {gallery.shape[1]}; "
            "encode both with the same run"
        )
