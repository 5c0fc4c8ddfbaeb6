"""Searching every code that counts, at the machine's speed: blocks of queries, all cores.

With few queries each core takes a part of the codes, with many each takes some of the queries; the answers are the
same. Importing this needs numba.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming import kernels, planes
from dtbh.index.hamming.rows import Found, Rows
from dtbh.index.hamming.weighing import farthest

T = TypeVar("T")
Keys = tuple[NDArray[np.int64], NDArray[np.int64]]  # of all queries one after the other, and how many each has
WIDEST = 8  # words a code; longer codes are not compiled for
QUERIES = 128  # queries over a block of codes at once
SHARED = 16  # with as many queries for each core, cores share the queries, not the codes
HELD = 1 << 21  # keys of a block of queries, 16 MB
PART = 1 << 22  # query words times code words that are worth a thread
MANY = 4  # from so many queries on, putting codes in planes pays, or turning them
PADDING = np.iinfo(np.int64).max


def nearest(asked: NDArray[np.uint64], rows: Rows, k: int, threads: int) -> Found:
    """The nearest rows; at least k must count.

    Args:
        asked: uint64 [q, 1 + levels, w], as `dtbh.index.hamming.weighing.weighing` makes it; of no level bits have no
            weights.
        rows: Whose codes of w words are looked at.
        k: From 1.
        threads: From 1.

    Returns:
        Distances int32 [q, k] and rows int64 [q, k].
    """
    patterns, radius = _patterns(asked), farthest(asked)
    keys = np.empty((len(asked), k), np.int64)
    blocks, parts = _plan(len(asked), rows, max(1, min(QUERIES, HELD // k)), threads)

    def fill(block: slice) -> None:
        tables = [_table(*found, k) for found in _each(partial(_search, patterns[block], rows, k, radius), parts)]
        keys[block] = np.sort(np.concatenate(tables, axis=1), axis=1)[:, :k]

    for _ in _each(fill, blocks, threads if len(parts) == 1 else 1):
        pass
    return split(keys, rows.first)


def within(queries: NDArray[np.uint64], rows: Rows, radius: int, threads: int) -> list[Found]:
    """For each query the distances and rows of all within a radius."""
    patterns, k = _patterns(queries[:, None]), rows.span + 1
    radius = min(radius, 64 * queries.shape[1])
    blocks, parts = _plan(len(queries), rows, SHARED, threads)

    def find(block: slice) -> list[Found]:
        pieces = [_pieces(*found) for found in _each(partial(_search, patterns[block], rows, k, radius), parts)]
        return [split(np.sort(np.concatenate(of_query)), rows.first) for of_query in zip(*pieces, strict=True)]

    found = _each(find, blocks, threads if len(parts) == 1 else 1)
    return [one for of_block in found for one in of_block]


def split(keys: NDArray[np.int64], first: int) -> Found:
    """Keys as distances and rows, of which ``first`` is the first."""
    return (keys >> kernels.ROW_BITS).astype(np.int32), (keys & ((1 << kernels.ROW_BITS) - 1)) + first


def _search(patterns: NDArray[np.uint64], rows: Rows, k: int, radius: int, part: slice) -> Keys:
    """The keys of a block of queries in a part of the rows; the lengths of tuples are known when compiling."""
    width, levels = (0,) * _width(rows.words.shape[1]), (0,) * (patterns.shape[1] - 1)
    # Half bytes are looked up where the processor can, if that is quicker than to count: of bits that weigh alike only
    # where they are not counted in vectors, and there weighed bits of any number of queries.
    many, asked = len(patterns) >= MANY, patterns[:0]
    if (planes.usable() and (many or planes.quickest())) if levels else (many and planes.quickest()):
        asked = patterns[[*range(len(patterns)), *[-1] * (len(patterns) % 2)]]
    tables = planes.tables(asked)
    turned = (0,) if len(width) > 1 and many else ()
    found = kernels.arguments(rows)
    return kernels.search(patterns, *found, part.start, part.stop, k, radius, width, levels, turned, tables)


def _plan(queries: int, rows: Rows, size: int, threads: int) -> tuple[list[slice], list[slice]]:
    """Blocks of at most ``size`` queries, and parts of the rows; one part where threads share the queries."""
    threads = min(threads, max(1, queries * rows.span * rows.words.shape[1] // PART))
    if queries < SHARED * threads:
        return _slices(queries, -(-queries // size)), _slices(rows.span, threads)
    return _slices(queries, max(threads, -(-queries // size))), [slice(0, rows.span)]


def _slices(length: int, count: int) -> list[slice]:
    """``count`` slices of nearly one size that cover ``range(length)``."""
    edges = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _each(work: Callable[[slice], T], slices: list[slice], threads: int | None = None) -> Iterator[T]:
    """The results in order; each slice by a thread of its own, or by as many threads as are given."""
    threads = min(len(slices), threads or len(slices))
    if threads < 2:
        yield from map(work, slices)
        return
    with ThreadPoolExecutor(threads, "search") as pool:
        yield from pool.map(work, slices)


def _patterns(asked: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Queries padded to 1, 2, 4 or 8 words: uint64 [q, 1 + levels, words]."""
    padded = np.zeros((*asked.shape[:2], _width(asked.shape[2])), np.uint64)
    padded[:, :, : asked.shape[2]] = asked
    return padded


def _width(words: int) -> int:
    assert words <= WIDEST
    return 1 << (words - 1).bit_length()


def _table(keys: NDArray[np.int64], counts: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Keys of all queries as [q, up to k]; queries that have fewer are padded with a key beyond all others."""
    widest = int(counts.max(initial=0))
    if (counts == widest).all():
        return keys.reshape(len(counts), widest)
    table = np.full((len(counts), widest), PADDING)
    table[np.arange(widest) < counts[:, None]] = keys
    return table


def _pieces(keys: NDArray[np.int64], counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The keys of each query."""
    return np.split(keys, np.cumsum(counts)[:-1])
