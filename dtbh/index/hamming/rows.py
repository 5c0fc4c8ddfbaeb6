"""Which rows of a code set a search looks at: all, a run of them, a list, or those that are marked.

No code is copied.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import CodesError

Found = tuple[NDArray[np.int32], NDArray[np.int64]]
Which = NDArray[np.int64] | NDArray[np.bool_]
MARKED_FROM = 16  # where more than one row in so many passes, marks take less time than a list, and little room


@dataclass(frozen=True)
class Rows:
    """Codes, and which of their rows count.

    Attributes:
        words: uint64 [n, w], C-contiguous.
        count: How many rows count.
        first: The row number of the first code, where a run of a larger set is looked at.
        listed: int64 [count], ascending: the rows that count; None where all do, or ``marked`` says.
        marked: bool [n]: whether a row counts.
    """

    words: NDArray[np.uint64]
    count: int
    first: int = 0
    listed: NDArray[np.int64] | None = None
    marked: NDArray[np.bool_] | None = None

    @property
    def span(self) -> int:
        """How many places there are to look at: rows, or entries of the list."""
        return len(self.words) if self.listed is None else len(self.listed)


def choose(words: NDArray[np.uint64], rows: Which | None) -> Rows:
    """The form in which the rows that count are searched quickest.

    Args:
        words: uint64 [n, w].
        rows: Ascending row numbers, or a bool mask [n]; None for all.

    Raises:
        CodesError: Rows of another dtype or shape, not ascending, or out of range.
    """
    words = np.ascontiguousarray(words)
    if rows is None:
        return Rows(words, len(words))
    _check(rows, len(words))
    if rows.dtype == np.bool_:
        marked, count = np.asarray(rows, np.bool_), int(np.count_nonzero(rows))
        first, last = (int(marked.argmax()), len(marked) - 1 - int(marked[::-1].argmax())) if count else (0, -1)
    else:
        count = len(rows)
        first, last = (int(rows[0]), int(rows[-1])) if count else (0, -1)
    if last - first + 1 == count:
        return Rows(words[first : last + 1], count, first)
    if count * MARKED_FROM <= len(words):
        return Rows(words, count, listed=np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64))
    if rows.dtype != np.bool_:
        marked = np.zeros(len(words), np.bool_)
        marked[rows] = True
    return Rows(words, count, marked=marked)


def let_go(words: NDArray[np.uint64]) -> None:
    """Give back the memory in which this process saw a file that it maps read-only; the file is seen again at need."""
    if (found := _mapping(words)) is not None and hasattr(mmap, "MADV_DONTNEED"):
        found.madvise(mmap.MADV_DONTNEED)


def read_scattered(rows: NDArray[Any]) -> None:
    """Say of a mapped file that rows here and there are read: without, each brings hundreds of kilobytes with it."""
    if (found := _mapping(rows)) is not None and hasattr(mmap, "MADV_RANDOM"):
        found.madvise(mmap.MADV_RANDOM)


def read_ahead(rows: NDArray[Any], start: int, stop: int) -> None:
    """Have these rows of a mapped file read at once, the other way about."""
    if (found := _mapping(rows)) is not None and hasattr(mmap, "MADV_WILLNEED"):
        first = start * rows.strides[0] // mmap.PAGESIZE * mmap.PAGESIZE
        found.madvise(mmap.MADV_WILLNEED, first, max(1, stop * rows.strides[0] - first))


def _mapping(array: Any) -> Any | None:
    """The mapping of a whole file that is read only; None for other arrays."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base if isinstance(array, np.memmap) and array.mode == "r" else None


def _check(rows: Which, n: int) -> None:
    if rows.ndim != 1 or not (rows.dtype == np.bool_ or np.issubdtype(rows.dtype, np.integer)):
        raise CodesError(f"rows must be row numbers or a bool mask [{n}], found {rows.dtype} {list(rows.shape)}")
    if rows.dtype == np.bool_:
        if len(rows) != n:
            raise CodesError(f"a mask of {len(rows)} rows for {n} codes; give one value a code")
    elif len(rows) and not (rows[0] >= 0 and rows[-1] < n and bool((rows[1:] > rows[:-1]).all())):
        raise CodesError(f"rows must ascend, each once, from 0 to {n - 1}; sort them, or give a mask")
